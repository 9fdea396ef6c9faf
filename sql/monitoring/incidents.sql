-- Open incidents by severity, every severity; messages that could not be sent; when somebody last looked for new incidents.
SELECT s.severity,
       (SELECT count(*) FROM control.incident i WHERE i.severity = s.severity AND i.resolved_at IS NULL) AS incidents,
       (SELECT count(*) FROM control.undelivered_alert) AS undelivered,
       (SELECT max(looked_at) FROM control.incident_source) AS looked_at
FROM (VALUES ('INFO'), ('WARNING'), ('ERROR'), ('CRITICAL')) AS s (severity)
