SELECT period, partition FROM control.missing_partitions(%(ahead)s)
