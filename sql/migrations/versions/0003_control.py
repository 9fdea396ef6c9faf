"""Apply sql/migrations/0003_control.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    apply_file("0003_control")
