"""What is asked of archived months, answered from their files: an entry, an account's lines, a transaction (E3).

Nothing is believed before it is proven. A file has to have the SHA-256 that was recorded when its rows were dropped;
entries are proven against their seal once more: of one that is asked for its block, of what is searched every block,
for what is missing was in one. Transactions bear no seal. Whatever does not prove raises: there is no half answer.

Here: rows out of files, as the queries give them out of tables. Not here: what they mean (explaining).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import psycopg
from psycopg.types.json import Jsonb

from ledger_assets.accounting.explanation import EntryName
from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.plain_text import Entry
from ledger_assets.accounting.seal_differences import Rows
from ledger_assets.accounting.verification import SealedBatch, check_chain, check_seal
from ledger_assets.storage.archived_rows import (
    ArchiveAltered,
    ArchivedWorker,
    altered,
    entries,
    read_strictly,
    standing,
    stored,
)
from ledger_assets.storage.entry_proofs import look_at_entry
from ledger_assets.storage.reading import records
from ledger_assets.storage.verification import (
    Verification,
    read_batches,
    read_chain,
    read_meanings,
    read_workers,
)

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

    def begin(self) -> Mapping[str, SealedBatch]:
        """Read the chain and what the seals are made with; every batch by its id. Raises ArchiveAltered."""
        batches = {batch.batch_id: batch for batch in read_batches(self.connection)}
        chain = read_chain(self.connection)
        self.meanings = read_meanings(self.connection)
        self.report.differences += check_chain(chain, batches)
        self.require_proven(self.period or "the chain")
        self.links = {link.batch_id: link.position for link in chain if link.event == "POSTED"}
        return batches

    def month(self) -> Iterator[tuple[SealedBatch, Rows]]:
        """The posted rows of the month, worker by worker, each proven against its seal before it is given."""
        for batch in self.begin().values():
            if (batch.period, batch.state) == (self.period, "COMMITTED"):
                for rows in self.whole(batch):
                    yield batch, rows

    def whole(self, batch: SealedBatch, only: int | None = None) -> Iterator[Rows]:
        """All rows of the workers of a batch, or of one worker: none is other than was sealed, and none is missing."""
        workers = read_workers(self.connection, batch.batch_id)
        self.report.differences += check_seal(batch, workers)
        dictionary = self.meanings.dictionary(batch.dictionary or "")
        for worker in workers:
            if only is not None and worker.worker_number != only:
                continue
            rows = self.rows_of(batch, worker, batch.batch_id) if worker.sealed_entries else None
            if rows is not None:
                self._check_rows(batch, worker, rows, dictionary)
            self.require_proven(batch.period)
            if rows is not None:
                yield rows

    def require_proven(self, what: str) -> None:
        """Raises ArchiveAltered for anything that was found."""
        for finding in [*self.report.differences, *self.report.not_looked_at]:
            fix = "run ledger-assets verify, which names everything"
            raise ArchiveAltered(what, f"it is not proven: {finding}", fix)


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
        """The numbers of all entries that a worker made of a transaction: the whole worker is proven."""
        looking = _Strict(self.connection, None, period, self.root)
        batch = looking.begin()[batch_id]
        found: list[int] = []
        for rows in looking.whole(batch, worker_number):
            found += rows.headers.filter(pl.col("source_id") == txn_id)["je_number"].sort().to_list()
        self._note_seal(period, batch_id, looking.links[batch_id])
        return found

    def account_lines(self, period: str, account_id: int, first: int, page: int) -> list[dict[str, Any]]:
        """The lines of an account as queries/account_lines gives them: at most `page`, from entry `first` on.

        Of each worker that is looked through everything is proven: a line that is missing would not be seen otherwise.
        """
        looking = _Strict(self.connection, None, period, self.root)
        batches = looking.begin()
        found: list[dict[str, Any]] = []
        for worker in records(self.connection, "archive/worker_numbers", period=period, first=first):
            batch_id = worker["batch_id"]
            for rows in looking.whole(batches[batch_id], worker["worker_number"]):
                of_account = (pl.col("account_id") == account_id) & (pl.col("je_number") >= first)
                shown = rows.lines.filter(of_account).sort("je_number", "line_number").head(page - len(found))
                found += [{"batch_id": batch_id, **_amounts(line)} for line in shown.to_dicts()]
            self._note_seal(period, batch_id, looking.links[batch_id])
            if len(found) == page:
                break
        return found

    def posted(self, period: str) -> Iterator[Entry]:
        """Every entry of a month in the order of their numbers, as an export has them."""
        looking = _Strict(self.connection, None, period, self.root)
        for batch, rows in looking.month():
            found = records(self.connection, "archive/descriptions", batch_id=batch.batch_id)
            called = {row["template_id"]: row["description"] for row in found}
            codes, late = looking.meanings.accounts, batch.kind == "MONTHEND"
            lines = groupby(rows.lines.iter_rows(), key=itemgetter(0))
            for header, (_, of_entry) in zip(rows.headers.iter_rows(named=True), lines, strict=True):
                yield Entry(
                    header["je_number"],
                    _day(header["je_date"]),
                    called[header["template_id"]],
                    header["source_id"],
                    tuple((codes[account], from_minor(amount)) for _, _, account, amount in of_entry),
                    _day(header["original_date"]) if late and header["original_date"] is not None else None,
                )

    def _proven(self, name: EntryName) -> tuple[Rows, str, int]:
        """The rows of the block of an entry, its batch and its worker."""
        looking = _Strict(self.connection, None, name.period, self.root)
        proof, rows = look_at_entry(looking, name.period, name.je_number)
        looking.require_proven(str(name))
        if proof is None or rows is None:
            raise ArchiveAltered(str(name), "no worker of its batch has its number", "run ledger-assets verify")
        link = proof["chain"]
        self._note_seal(name.period, link["batch_id"], link["position"])
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

    def _note_seal(self, period: str, batch_id: str, link: int) -> None:
        for row in self._files(period, "LEDGER")[:1]:
            self._note(row, f"against the seal of {batch_id}, link {link} of the chain")

    def _note(self, file: dict[str, Any], proven: str) -> None:
        self.read_from[ReadFrom(file["directory"], proven)] = None


_NO_TRANSACTION: Final = (
    "txn_id", "txn_type", "policy_id", "product_code", "channel", "txn_date", "bank_value_date", "gross_amount",
    "tabarru_amount", "tanahud_amount", "ujroh_amount", "source_period", "load_id", "row_number", "file_name",
)  # fmt: skip


def _day(days: int) -> date:
    return date(1970, 1, 1) + timedelta(days=days)


def _amounts(line: dict[str, Any]) -> dict[str, Any]:
    """A line of a file as queries/account_lines gives it."""
    debit, credit = max(line["amount"], 0), max(-line["amount"], 0)
    numbers = {name: line[name] for name in ("je_number", "line_number")}
    return numbers | {"debit_amount": from_minor(debit), "credit_amount": from_minor(credit)}
