SELECT rule, problem, fix FROM control.archive_obstacles(%(period)s, %(layer)s, %(active_months)s)
