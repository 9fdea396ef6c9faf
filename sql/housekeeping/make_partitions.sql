SELECT control.make_partitions(%(period)s, %(performed_by)s)
