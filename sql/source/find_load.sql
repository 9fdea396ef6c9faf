SELECT load_id
FROM source.load
WHERE period = %(period)s AND file_sha256 = %(file_sha256)s AND mapping_sha256 = %(mapping_sha256)s AND status = 'LOADED'
