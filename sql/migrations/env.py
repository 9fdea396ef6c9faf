"""Alembic's entry: runs the numbered revisions on the connection that `ledger_assets.storage.migrations` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="public",
    version_table="ledger_assets_migration",
    transactional_ddl=True,
)
context.run_migrations()
