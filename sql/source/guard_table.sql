SELECT source.guard_table(%(the_table)s::regclass, %(is_leaf)s)
