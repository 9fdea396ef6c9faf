SELECT source.open_load(%(period)s, %(file_name)s, %(file_sha256)s, %(mapping_sha256)s, %(loaded_by)s)
