"""Apply sql/migrations/0027_measuring.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    apply_file("0027_measuring")
