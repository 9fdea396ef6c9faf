SELECT kind, subject, detail, fix FROM control.closing_obstacle WHERE period = %(period)s ORDER BY kind DESC, subject
