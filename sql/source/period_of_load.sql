SELECT period FROM source.load WHERE load_id = %(load_id)s
