SELECT gate, condition FROM control.failed_conditions(%(batch_id)s)
