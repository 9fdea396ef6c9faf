"""Apply sql/migrations/0014_access.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    apply_file("0014_access")
