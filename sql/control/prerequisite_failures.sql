SELECT rule, problem, fix FROM control.prerequisite_failures(%(period)s)
