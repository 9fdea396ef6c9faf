"""Apply sql/migrations/0008_room_for_corrections.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    apply_file("0008_room_for_corrections")
