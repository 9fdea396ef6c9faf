-- The roles of the ledger (docs/access.md). Roles belong to the server, not to a database: someone who sets up another
-- ledger on it may be making the same ones at this moment.
--
-- Who runs this becomes a member of all of them: an owner can hand things over to ledger_owner only as its member. A
-- superuser is everything already.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('ledger_owner',   'NOLOGIN'),
            ('ledger_engine',  'LOGIN'),
            ('batch_admin',    'NOLOGIN'),
            ('batch_operator', 'NOLOGIN'),
            ('finance_viewer', 'NOLOGIN'),
            ('auditor',        'NOLOGIN')) AS roles (name, login)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.login);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        -- From PostgreSQL 16 on, whoever made a role is its member, but may neither use it nor take it on.
        IF NOT pg_has_role(wanted.name, 'USAGE')
           OR current_setting('server_version_num')::integer >= 160000 AND NOT pg_has_role(wanted.name, 'SET') THEN
            EXECUTE format('GRANT %I TO %I', wanted.name, current_user);
        END IF;
    END LOOP;
END $$;
