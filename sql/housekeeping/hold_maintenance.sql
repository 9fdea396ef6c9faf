-- One at a time maintains the tables; held to the end of the session.
SELECT pg_try_advisory_lock(hashtextextended('maintain tables', 0)) AS is_ours
