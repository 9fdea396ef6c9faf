SELECT staging.require_attempt(%(batch_id)s, %(attempt)s)
