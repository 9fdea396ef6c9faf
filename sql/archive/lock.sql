-- One at a time writes the files of a month; held to the end of the session.
SELECT pg_try_advisory_lock(hashtextextended('archive ' || %(layer)s || ' ' || %(period)s, 0))
