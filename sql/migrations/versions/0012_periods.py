"""Apply sql/migrations/0012_periods.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    apply_file("0012_periods")
