"""Apply sql/migrations/0020_workers.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    apply_file("0020_workers")
