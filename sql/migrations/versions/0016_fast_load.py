"""Apply sql/migrations/0016_fast_load.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    apply_file("0016_fast_load")
