-- A delivery and the incident that it is about.
SELECT d.delivery_id, d.channel, d.message, d.tries, i.incident_id, i.kind, i.severity, i.period, i.batch_id, i.check_name, i.title, i.expected,
       i.actual, i.what_to_do, i.runbook, i.run_id, i.details, i.opened_at, i.times_seen, i.resolved_at,
       (SELECT h.detail FROM control.incident_history h WHERE h.incident_id = i.incident_id AND h.happened = 'RESOLVED'
        ORDER BY h.history_id DESC LIMIT 1) AS resolved_by
FROM control.alert_delivery d JOIN control.incident i USING (incident_id)
WHERE d.delivery_id = %(delivery_id)s
