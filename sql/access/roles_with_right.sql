-- The roles that may call a function, or read a table, of this name.
SELECT r.rolname
FROM pg_roles r
WHERE r.rolname = ANY (%(roles)s) AND r.rolname <> 'ledger_owner'
  AND (EXISTS (SELECT FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
               WHERE f.proname = %(name)s AND pg_get_userbyid(n.nspowner) = 'ledger_owner' AND has_function_privilege(r.oid, f.oid, 'EXECUTE'))
    OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relname = %(name)s AND pg_get_userbyid(n.nspowner) = 'ledger_owner' AND has_table_privilege(r.oid, c.oid, 'SELECT'))
    OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = %(name)s AND has_schema_privilege(r.oid, n.oid, 'USAGE')))
ORDER BY r.rolname
