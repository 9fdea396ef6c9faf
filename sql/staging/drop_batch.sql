SELECT control.drop_staged_leaves(%(batch_id)s)
