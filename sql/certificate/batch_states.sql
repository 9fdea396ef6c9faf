SELECT batch_id, state FROM control.batch WHERE batch_id = ANY (%(batch_ids)s)
