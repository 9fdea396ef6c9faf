SELECT rule, problem, fix FROM control.preflight_failures(%(period)s, %(first_period)s)
