-- Dagster keeps its runs and events in tables that it makes and alters itself: as the engine, which may do so in this
-- database. What is there from before goes to it.
DO $$
DECLARE
    engine  CONSTANT regrole := 'ledger_engine';
    command text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ledger_assets.hand_over_dagster'));  -- several processes may start at once
    IF NOT has_schema_privilege(engine, 'public', 'CREATE') THEN
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA public TO %s', engine);
    END IF;
    FOR command IN
        SELECT format('ALTER %s %s OWNER TO %s', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, engine)
        FROM pg_class c
        WHERE relnamespace = 'public'::regnamespace AND relowner <> engine AND relkind IN ('r', 'S')
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
      UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO %s', oid::regtype, engine)
        FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e' AND typowner <> engine
    LOOP
        EXECUTE command;
    END LOOP;
END $$;
