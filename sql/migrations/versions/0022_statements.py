"""Apply sql/migrations/0022_statements.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    apply_file("0022_statements")
