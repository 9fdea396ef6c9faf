-- One load or withdrawal of a month at a time; held to the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('source.load'), hashtext(%(period)s))
