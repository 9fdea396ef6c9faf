"""Apply sql/migrations/0026_repairs.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    apply_file("0026_repairs")
