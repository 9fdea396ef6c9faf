"""Apply sql/migrations/0011_corrections.sql and 0011_derived_batches.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    apply_file("0011_corrections")
    apply_file("0011_derived_batches")
