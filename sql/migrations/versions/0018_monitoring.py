"""Apply sql/migrations/0018_monitoring.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    apply_file("0018_monitoring")
