-- The schema of pgstattuple, when it is installed and the reader may use it.
SELECT n.nspname AS schema
FROM pg_extension e
JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pgstattuple' AND has_schema_privilege(n.oid, 'USAGE')
  AND has_function_privilege(to_regprocedure(format('%%I.pgstatindex(regclass)', n.nspname)), 'EXECUTE')
