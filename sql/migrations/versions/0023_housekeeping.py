"""Apply sql/migrations/0023_housekeeping.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    apply_file("0023_housekeeping")
