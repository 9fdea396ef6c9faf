-- What can become an incident, the severest first.
SELECT kind, severity, ends_with, says, what_to_do FROM control.incident_kind ORDER BY control.severity_rank(severity) DESC, kind
