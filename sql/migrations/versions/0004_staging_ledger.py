"""Apply sql/migrations/0004_staging_ledger.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    apply_file("0004_staging_ledger")
