SELECT staging.finish_worker(%(batch_id)s, %(attempt)s, %(worker_number)s, %(records)s, %(first_je_number)s,
                             %(last_je_number)s, %(lines)s, %(header_leaf)s, %(line_leaf)s, %(started_at)s,
                             %(seal_version)s::smallint, %(dictionary_hash)s, %(block_hashes)s::bytea[])
