SELECT load_id FROM control.unprocessed_load WHERE period = %(period)s ORDER BY load_id
