"""Apply sql/migrations/0013_certificates.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    apply_file("0013_certificates")
