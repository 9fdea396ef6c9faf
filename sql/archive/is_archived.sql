SELECT control.is_archived(%(period)s, %(layer)s)
