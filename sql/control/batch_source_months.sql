SELECT DISTINCT l.period FROM control.batch_load JOIN source.load l USING (load_id) WHERE batch_id = %(batch_id)s
