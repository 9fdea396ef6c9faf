"""Apply sql/migrations/0002_source.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    apply_file("0002_source")
