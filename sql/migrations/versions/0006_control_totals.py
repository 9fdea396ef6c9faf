"""Apply sql/migrations/0006_control_totals.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    apply_file("0006_control_totals")
