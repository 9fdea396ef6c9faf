"""What is asked of archived months, answered from their files: an entry, an account's lines, a transaction (E3).

Nothing is believed before it is proven. A file has to have the SHA-256 that was recorded when its rows were dropped;
the entries that are shown are proven against their seal once more, block by block. Transactions bear no seal. Whatever
does not prove raises: there is no half answer.

Here: rows out of files, as the queries give them out of tables. Not here: what they mean (explaining).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import psycopg
from psycopg.types.json import Jsonb

from ledger_assets.accounting.explanation import EntryName
from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.seal import ENTRIES_PER_BLOCK
from ledger_assets.accounting.seal_differences import Rows
from ledger_assets.storage.archived_rows import (
    ArchiveAltered,
    ArchivedWorker,
    altered,
    entries,
    read_strictly,
    standing,
    stored,
    workers_of,
)
from ledger_assets.storage.entry_proofs import look_at_entry
from ledger_assets.storage.reading import records
from ledger_assets.storage.verification import Verification

BY_SHA256: Final = "by the SHA-256 that was recorded when it was archived"


class ReadFrom(NamedTuple):
    """Where an answer was read, and what proves it."""

    directory: str
    proven: str


class _Strict(Verification):
    """Stops at a file that is not as it was archived, instead of going on with a finding."""

    def _from_files(self, worker: ArchivedWorker, where: str, numbers: tuple[int, int] | None) -> Rows | None:
        rows, problems = entries(worker, numbers)
        if problems:
            raise altered(where, problems)
        return rows


class Archive:
    """The archived months of the books, for one question.

    Every method raises ArchiveMissing or ArchiveAltered, naming the file, when one that it has to read is not there or
    is not what was archived. `read_from` collects what was read.
    """

    def __init__(self, connection: psycopg.Connection, root: Path | None) -> None:
        self.connection = connection
        self.root = root
        self.read_from: dict[ReadFrom, None] = {}

    # ------------------------------------------------------------------------------------------------ entries

    def entry(self, name: EntryName) -> list[dict[str, Any]]:
        """The lines of an entry, with its transaction, as queries/explain_entry gives them. Raises NoSuchEntry."""
        rows, batch_id, worker_number = self._proven(name)
        (header,) = rows.headers.filter(pl.col("je_number") == name.je_number).to_dicts()
        lines = rows.lines.filter(pl.col("je_number") == name.je_number).to_dicts()
        found = records(
            self.connection,
            "archive/explain_entry",
            batch_id=batch_id,
            je_number=name.je_number,
            template_id=header["template_id"],
            source_entry=header["source_entry"],
            lines=Jsonb(lines),
        )
        delivered = self.transaction_of(batch_id, worker_number, header["source_id"])
        return [line | delivered for line in found]

    def entry_numbers(self, period: str, batch_id: str, worker_number: int, txn_id: str) -> list[int]:
        """The numbers of the entries that a worker made of a transaction."""
        pair = workers_of(self._files(period, "LEDGER"))[batch_id, worker_number]
        found = read_strictly(pair.headers, pl.col("source_id") == txn_id)["je_number"].sort().to_list()
        for number in found:
            self._proven(EntryName(period, number))
        return found

    def account_lines(self, period: str, account_id: int, first: int, page: int) -> list[dict[str, Any]]:
        """The lines of an account as queries/account_lines gives them: at most `page`, from entry `first` on."""
        pairs = workers_of(self._files(period, "LEDGER"))
        found: list[dict[str, Any]] = []
        for worker in records(self.connection, "archive/worker_numbers", period=period, first=first):
            wanted = (pl.col("account_id") == account_id) & (pl.col("je_number") >= first)
            frame = read_strictly(pairs[worker["batch_id"], worker["worker_number"]].lines, wanted)
            shown = frame.sort("je_number", "line_number").head(page - len(found))
            blocks = (shown["je_number"] - worker["first_je_number"]) // ENTRIES_PER_BLOCK
            for block in blocks.unique(maintain_order=True):
                self._proven(EntryName(period, worker["first_je_number"] + block * ENTRIES_PER_BLOCK))
            found += [{"batch_id": worker["batch_id"], **_amounts(line)} for line in shown.to_dicts()]
            if len(found) == page:
                break
        return found

    def _proven(self, name: EntryName) -> tuple[Rows, str, int]:
        """The rows of the block of an entry, its batch and its worker."""
        looking = _Strict(self.connection, None, name.period, self.root)
        proof, rows = look_at_entry(looking, name.period, name.je_number)
        for finding in [*looking.report.differences, *looking.report.not_looked_at]:
            raise ArchiveAltered(
                str(name),
                f"it is not proven: {finding}",
                f"run ledger-assets verify {name.period}, which names everything",
            )
        if proof is None or rows is None:
            raise ArchiveAltered(str(name), "no worker of its batch has its number", "run ledger-assets verify")
        link = proof["chain"]
        for row in self._files(name.period, "LEDGER")[:1]:
            self._note(row, f"against the seal of {link['batch_id']}, link {link['position']} of the chain")
        (worker,) = [
            worker
            for worker in records(self.connection, "archive/worker_numbers", period=name.period, first=name.je_number)
            if worker["first_je_number"] <= name.je_number
        ]
        return rows, worker["batch_id"], worker["worker_number"]

    # ------------------------------------------------------------------------------------------------ transactions

    def transaction_of(self, batch_id: str, worker_number: int, txn_id: str) -> dict[str, Any]:
        """The transaction that a worker journaled, from table or file; for a reversal, that of what it takes back.

        All its columns are None for an entry that was made of none, as at a year end.
        """
        slices = records(self.connection, "archive/slices_of_worker", batch_id=batch_id, worker_number=worker_number)
        for piece in slices:
            rows = pl.col("row_number").is_between(piece["first_row_number"], piece["last_row_number"])
            for row in self._files(piece["source_period"], "SOURCE"):
                if row["load_id"] == piece["load_id"]:
                    for found in self._transactions(row, txn_id, rows):
                        return found | {"source_period": found.pop("period")}
            for found in records(self.connection, "archive/transaction_of_slice", txn_id=txn_id, **piece):
                return found
        return dict.fromkeys(_NO_TRANSACTION)

    def deliveries(self, txn_id: str) -> list[dict[str, Any]]:
        """Every archived row under an id, as queries/delivered_rows gives them. It reads all archived transactions."""
        files = self._files(None, "SOURCE")
        return [found for row in files for found in self._transactions(row, txn_id, pl.lit(value=True))]

    def _transactions(self, file: dict[str, Any], txn_id: str, rows: pl.Expr) -> list[dict[str, Any]]:
        found = read_strictly(stored(file), (pl.col("txn_id") == txn_id) & rows).to_dicts()
        if found:
            self._note(file, BY_SHA256)
        delivered = {"period": file["period"], "load_id": file["load_id"], "file_name": file["delivered_as"]}
        return [delivered | transaction for transaction in found]

    # ------------------------------------------------------------------------------------------------ files

    def _files(self, period: str | None, layer: str) -> Sequence[dict[str, Any]]:
        found = standing(self.connection, self.root, period)
        return [row for row in found if row["layer"] == layer and row["file_name"] is not None]

    def _note(self, file: dict[str, Any], proven: str) -> None:
        self.read_from[ReadFrom(file["directory"], proven)] = None


_NO_TRANSACTION: Final = (
    "txn_id", "txn_type", "policy_id", "product_code", "channel", "txn_date", "bank_value_date", "gross_amount",
    "tabarru_amount", "tanahud_amount", "ujroh_amount", "source_period", "load_id", "row_number", "file_name",
)  # fmt: skip


def _amounts(line: dict[str, Any]) -> dict[str, Any]:
    """A line of a file as queries/account_lines gives it."""
    debit, credit = max(line["amount"], 0), max(-line["amount"], 0)
    numbers = {name: line[name] for name in ("je_number", "line_number")}
    return numbers | {"debit_amount": from_minor(debit), "credit_amount": from_minor(credit)}
