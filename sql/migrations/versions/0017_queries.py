"""Apply sql/migrations/0017_queries.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    apply_file("0017_queries")
