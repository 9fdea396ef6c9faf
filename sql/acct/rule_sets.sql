SELECT r.rule_set, r.version, count(t.template_id) AS templates, r.prepared_by, coalesce(r.approved_by, 'NOT APPROVED') AS approved_by,
       left(r.content_hash, 12) AS content
FROM acct.rule_set r
LEFT JOIN acct.journal_template t ON t.rule_set = r.rule_set AND t.rule_version = r.version
WHERE r.rule_set <> 'year-end' -- the program's own, of which nobody sees templates
GROUP BY r.rule_set, r.version
ORDER BY r.rule_set, r.version
