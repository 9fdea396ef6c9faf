SELECT count(*) + 1 FROM control.archive WHERE period = %(period)s AND layer = %(layer)s
