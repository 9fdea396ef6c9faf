SELECT control.measure_origin(%(batch_id)s)
