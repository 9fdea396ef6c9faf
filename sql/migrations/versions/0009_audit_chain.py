"""Apply sql/migrations/0009_audit_chain.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    apply_file("0009_audit_chain")
