"""Apply sql/migrations/0019_prerequisites.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    apply_file("0019_prerequisites")
