"""Apply sql/migrations/0024_repairs.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    apply_file("0024_repairs")
