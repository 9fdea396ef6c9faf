SELECT load_id, file_name FROM source.load WHERE status = 'LOADED' AND file_name NOT LIKE %(pattern)s ORDER BY load_id LIMIT 1
