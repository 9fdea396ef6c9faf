"""Apply sql/migrations/0005_batches.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    apply_file("0005_batches")
