SELECT operations, opened, resolved FROM control.note_operations(%(at_most)s, %(performed_by)s)
