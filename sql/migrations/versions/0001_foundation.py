"""Apply sql/migrations/0001_foundation.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    apply_file("0001_foundation")
