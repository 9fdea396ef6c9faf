"""Apply sql/migrations/0010_seal.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    apply_file("0010_seal")
