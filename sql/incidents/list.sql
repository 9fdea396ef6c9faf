-- Incidents with what became of each message about them, newest last.
SELECT i.incident_id, i.kind, i.severity, i.period, i.batch_id, i.check_name, i.subject, i.title, i.expected, i.actual, i.what_to_do, i.runbook,
       i.run_id, i.details, i.opened_at, i.last_seen_at, i.times_seen, i.resolved_at,
       coalesce((SELECT jsonb_agg(jsonb_build_object('channel', d.channel, 'message', d.message, 'status', d.status, 'tries', d.tries,
                                                     'sent_at', d.sent_at, 'next_try_at', d.next_try_at, 'last_error', d.last_error)
                                  ORDER BY d.delivery_id)
                 FROM control.alert_delivery d WHERE d.incident_id = i.incident_id), '[]') AS deliveries
FROM control.incident i
WHERE (%(period)s::text IS NULL OR i.period = %(period)s) AND (i.resolved_at IS NULL OR NOT %(only_open)s)
ORDER BY i.incident_id
