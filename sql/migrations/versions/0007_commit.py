"""Apply sql/migrations/0007_commit.sql."""

from ledger_assets.storage.migrations import apply_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    apply_file("0007_commit")
