SELECT control.resolve_incidents(%(kinds)s, %(subject)s, %(period)s, %(how_it_ends)s, %(before)s, %(reason)s, %(performed_by)s)
