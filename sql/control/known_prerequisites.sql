SELECT name AS prerequisite, description, required FROM control.prerequisite ORDER BY name
