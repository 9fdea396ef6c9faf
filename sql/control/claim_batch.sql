-- See control.stager_of.
SELECT pg_advisory_lock_shared(hashtext('ledger_assets.staging ' || %(batch_id)s), %(attempt)s)
