SELECT load_id, file_name, period FROM source.load WHERE load_id = ANY(%(loads)s) ORDER BY load_id
