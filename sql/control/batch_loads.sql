SELECT load_id FROM control.batch_load WHERE batch_id = %(batch_id)s ORDER BY load_id
