"""What a batch's rows mean by the ids that they store: its dictionary, as the chart and the templates are now (E2)."""

import psycopg

from ledger_assets.accounting.seal import Dictionary
from ledger_assets.storage.database import statement


def read_dictionary(connection: psycopg.Connection, batch_id: str) -> Dictionary:
    """The dictionary that the batch is sealed with; posting refuses it when the chart has changed by then."""
    return Dictionary.of(connection.execute(statement("seal/dictionary"), {"batch_id": batch_id}).fetchall())
