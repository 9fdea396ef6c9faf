-- Not this session: it has ended when the close begins. Connections are counted by database: pg_stat_activity hides of others' what kind they are. What a session may not see of a setting
-- that this release has not, is NULL.
SELECT current_setting('max_connections')::integer AS max_connections,
       current_setting('superuser_reserved_connections')::integer
           + coalesce(current_setting('reserved_connections', true)::integer, 0) AS reserved_connections,
       (SELECT coalesce(sum(numbackends), 0) - 1 FROM pg_stat_database)::integer AS connections,
       (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()) AS database_limit,
       (SELECT numbackends - 1 FROM pg_stat_database WHERE datname = current_database())::integer AS database_connections,
       (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user) AS login_limit,
       (SELECT count(*) FROM pg_stat_activity WHERE usename = session_user AND pid <> pg_backend_pid())::integer AS login_connections,
       (SELECT coalesce(sum(accepted_count), 0) FROM control.loads_to_journal(%(period)s))::bigint AS rows_waiting,
       -- Of them, those that completed workers of an unposted batch have staged: the close goes on from there, or drops them first.
       (SELECT coalesce(sum(w.records_processed), 0)
        FROM control.batch_worker w JOIN control.batch b USING (batch_id)
        WHERE b.period = %(period)s AND b.kind = 'MONTHEND' AND b.state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED')
          AND w.status = 'COMPLETED')::bigint AS rows_staged
