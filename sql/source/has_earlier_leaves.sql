SELECT EXISTS (SELECT FROM source.load WHERE period = %(period)s AND leaf IS NOT NULL)
