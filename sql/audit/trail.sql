-- The trail in its order, each operation beside its link, either of them missing where it is not there. Every field as the text
-- that is hashed, made here and not by a function of the database, which would have to be trusted.
SELECT c.position, coalesce(c.operation_id, o.operation_id) AS linked_operation_id, c.version, c.previous_hash, c.hash,
       o.operation_id::text AS operation_id, o.batch_id, o.period, o.operation, o.performed_by,
       CASE WHEN isfinite(o.performed_at) THEN (extract(epoch FROM o.performed_at) * 1000000)::bigint::text
            ELSE o.performed_at::text END AS performed_at,
       o.client_address::text AS client_address, o.client_agent, o.database_role, o.role_taken, o.state_before, o.state_after,
       o.outcome, o.details::text AS details
FROM audit.operation_chain c
FULL JOIN audit.batch_operation o ON o.operation_id = c.operation_id
WHERE (%(period)s::text IS NULL OR o.period = %(period)s)
  AND (%(batch_id)s::text IS NULL OR o.batch_id = %(batch_id)s)
  AND (%(since)s::timestamptz IS NULL OR o.performed_at >= %(since)s)
ORDER BY c.position, o.operation_id
