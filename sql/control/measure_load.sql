SELECT control.measure_load(%(load_id)s)
