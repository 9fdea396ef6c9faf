"""Apply sql/migrations/0015_measuring.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    apply_file("0015_measuring")
