-- Who is connected, what do they wait for, and how long has their statement run? The longest transaction first.
SELECT pid, application, state, wait_event_type, wait_event, blocked_by, query_seconds, transaction_seconds
FROM control.database_activity
ORDER BY transaction_seconds DESC NULLS LAST, pid
