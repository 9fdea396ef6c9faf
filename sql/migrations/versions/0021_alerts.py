"""Apply sql/migrations/0021_alerts.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    apply_file("0021_alerts")
