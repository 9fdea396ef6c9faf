-- Statistics of a backend are complete when it is gone. The one that posts stays, and is told to hand them over.
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> ALL (%(known)s::integer[]) AND backend_type IN ('client backend', 'parallel worker')
