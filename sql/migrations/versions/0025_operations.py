"""Apply sql/migrations/0025_operations.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    apply_file("0025_operations")
