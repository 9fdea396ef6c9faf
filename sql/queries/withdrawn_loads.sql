-- Loads that were withdrawn, the latest first: their rows are no longer there to be found.
SELECT load_id, period, file_name FROM source.load WHERE status = 'WITHDRAWN' ORDER BY withdrawn_at DESC LIMIT 3
