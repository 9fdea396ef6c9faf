"""Prove the ledger, a month of it, or one entry: read everything again and compare it with the seals (E2).

One read-only snapshot of the database, so that a posting meanwhile is either wholly seen or not at all. Rows are read
table by table, those of archived months from their files; at no time more than one worker's are in memory.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.seal import Blocks, Dictionary, entries_of, tree_root
from ledger_assets.accounting.seal_differences import Names, Rows, differing, visibly_broken
from ledger_assets.accounting.verification import (
    Finding,
    Link,
    Report,
    SealedBatch,
    SealedWorker,
    check_chain,
    check_dictionary,
    check_numbers,
    check_seal,
    is_known,
)
from ledger_assets.storage.archive_findings import archive_findings
from ledger_assets.storage.archived_rows import ArchivedWorker, ArchiveMissing, entries, standing, workers_of
from ledger_assets.storage.database import in_transaction, statement
from ledger_assets.storage.sealed_rows import Unreadable, leaf_name, read_rows, rows_from_source

ROWS_NAMED = 200
"""At most so many differing rows are named of a block."""


class Meanings(NamedTuple):
    """What ids mean now."""

    accounts: dict[int, str]
    account_facts: dict[str, tuple[str, str]]
    templates: dict[int, tuple[str, int, str, int]]
    template_facts: dict[tuple[str, int, str, int], tuple[str, str]]

    def dictionary(self, text: str) -> Dictionary:
        """A sealed dictionary, with the ids by which this database stores its accounts and templates."""
        accounts, templates = entries_of(text)
        code_places = {str(entry[0]): place for place, entry in enumerate(accounts)}
        template_places = {tuple(entry[:4]): place for place, entry in enumerate(templates)}
        return Dictionary(
            text,
            {number: code_places[code] for number, code in self.accounts.items() if code in code_places},
            {number: template_places[key] for number, key in self.templates.items() if key in template_places},
        )

    def names(self) -> Names:
        return Names(self.accounts, {number: f"{key[2]} v{key[3]}" for number, key in self.templates.items()})


def verify(
    url: str,
    period: str | None = None,
    *,
    balances: bool = True,
    archive: Path | None = None,
    instead: Mapping[tuple[str, int], ArchivedWorker] | None = None,
) -> Report:
    """Prove all months, or one. The chain is always proven whole. `balances`: also those of closed months.

    `archive` is where the files of archived months lie. `instead` names files, by batch and worker, that are read in
    place of the tables: before those are dropped.

    Never raises for what it finds or may not read: the report says so. A lost connection is waited for, and everything
    is read again (`in_transaction`, whose faults it raises).
    """

    def look(connection: psycopg.Connection) -> Report:
        snapshot(connection)
        verification = Verification(connection, url, period, archive, instead)
        try:
            verification.run()
            if balances:
                verification.check_balances()
        except psycopg.ProgrammingError as refusal:  # it may not read, or what it reads is not there
            problem = str(refusal).splitlines()[0]
            verification.report.not_looked_at.append(Finding("seal", verification.report.scope, problem))
        return verification.report

    return in_transaction(url, look)


def snapshot(connection: psycopg.Connection) -> None:
    """Have the connection see one state of the database, and change nothing."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True


class Verification:
    """One pass over the books, or over a month of them. Without a URL the rows that differ are not made again."""

    def __init__(
        self,
        connection: psycopg.Connection,
        url: str | None,
        period: str | None,
        archive: Path | None = None,
        instead: Mapping[tuple[str, int], ArchivedWorker] | None = None,
    ) -> None:
        self.connection = connection
        self.url = url
        self.period = period
        self.archive = archive
        self.instead = instead
        self._archived: Mapping[tuple[str, int], ArchivedWorker] | None = instead
        self.report = Report(scope=period or "the whole ledger")
        # Debits and credits by period and account id, of batches that are part of the books; None = not all was read.
        self.totals: dict[str, dict[int, tuple[int, int]] | None] = defaultdict(dict)

    def run(self) -> None:
        chain, batches = read_chain(self.connection), read_batches(self.connection)
        self.meanings = read_meanings(self.connection)
        self._say(check_chain(chain, {batch.batch_id: batch for batch in batches}))
        self.report.chain_length = len(chain)
        self.report.chain_head = chain[-1].hash.hex() if chain else ""
        inside = [batch for batch in batches if self.period in (None, batch.period)]
        self._check_charts(inside)
        for batch in inside:
            self._check_batch(batch)
        periods = self._rows("seal/periods")
        next_numbers = {p["period"]: p["next_je_number"] for p in periods if self.period in (None, p["period"])}
        unsealed = {batch.period for batch in batches if batch.before_seals}
        self._say(
            check_numbers(
                [batch for batch in inside if batch.period not in unsealed],
                {period: number for period, number in next_numbers.items() if period not in unsealed},
            )
        )
        self._check_attached({batch.batch_id for batch in batches})
        for differs, finding in archive_findings(self.connection, self.archive, self.period):
            (self.report.differences if differs else self.report.not_looked_at).append(finding)
        self._check_audit({batch.batch_id for batch in batches if batch.state in ("COMMITTED", "ROLLED_BACK")})

    # -------------------------------------------------------------------------------------------- a batch

    def _check_charts(self, batches: Sequence[SealedBatch]) -> None:
        sealed_by: dict[str, list[str]] = defaultdict(list)
        for batch in batches:
            if batch.dictionary:
                sealed_by[batch.dictionary].append(batch.batch_id)
        for text, batch_ids in sealed_by.items():
            who = batch_ids[0] + (f" and {len(batch_ids) - 1} more" if len(batch_ids) > 1 else "")
            self._say(check_dictionary(text, who, self.meanings.account_facts, self.meanings.template_facts))

    def _check_batch(self, batch: SealedBatch) -> None:
        if batch.header is None:
            if batch.before_seals:
                self._could_not("seal", batch.batch_id, "it was posted before the books had seals")
            self.totals[batch.period] = None
            return
        workers = read_workers(self.connection, batch.batch_id)
        if not is_known(batch, workers):
            self._could_not("seal", batch.batch_id, f"its seal has version {batch.seal_version}, which is unknown here")
            self.totals[batch.period] = None
            return
        self._say(check_seal(batch, workers))
        self.report.batches += 1
        dictionary = self.meanings.dictionary(batch.dictionary or "")
        for worker in workers:
            self.check_worker(batch, worker, dictionary)

    def check_worker(self, batch: SealedBatch, worker: SealedWorker, dictionary: Dictionary) -> None:
        where = f"{batch.batch_id}, worker {worker.worker_number}"
        if worker.root is None or not worker.sealed_entries:
            return
        rows = self.rows_of(batch, worker, where)
        if rows is None:
            self.totals[batch.period] = None
            return
        self._count(batch, rows)
        self._check_rows(batch, worker, rows, dictionary)

    def rows_of(
        self, batch: SealedBatch, worker: SealedWorker, where: str, numbers: tuple[int, int] | None = None
    ) -> Rows | None:
        """The rows of a worker, or those of its entries from the first to the last of `numbers`, from tables or files;
        None, and a finding that says why, when there are none.
        """
        names = [leaf_name(self.connection, leaf) for leaf in (worker.header_leaf, worker.line_leaf)]
        if self._archived is None:
            self._archived = workers_of(standing(self.connection, self.archive, self.period))
        if (batch.batch_id, worker.worker_number) in self._archived:
            if self.instead is None and names != [None, None]:
                self._differs("archive", where, "it is archived, and its tables are in the database all the same")
            return self._from_files(self._archived[batch.batch_id, worker.worker_number], where, numbers)
        return self._from_tables(batch, names, where, numbers)

    def _from_files(self, worker: ArchivedWorker, where: str, numbers: tuple[int, int] | None) -> Rows | None:
        try:
            rows, problems = entries(worker, numbers)
        except ArchiveMissing as fault:
            self._could_not("archive", where, str(fault))
            return None
        for problem in problems:
            self._differs("archive", where, problem)
        return rows

    def _from_tables(
        self, batch: SealedBatch, names: Sequence[sql.Identifier | None], where: str, numbers: tuple[int, int] | None
    ) -> Rows | None:
        headers, lines = names
        if headers is None or lines is None:
            gone = " and ".join(what for what, name in zip(("headers", "lines"), names, strict=True) if name is None)
            self._differs("leaf", where, f"its {gone} are gone: there is no such table")
            return None
        try:
            rows, strays = read_rows(self.connection, headers, lines, batch.period, numbers)
        except Unreadable as fault:
            self._could_not("rows", where, str(fault))
            return None
        if strays:
            self._differs("rows", where, f"{strays} of its rows do not say that they are of {batch.period}")
        return rows

    def _check_rows(self, batch: SealedBatch, worker: SealedWorker, rows: Rows, dictionary: Dictionary) -> None:
        first, entries = worker.sealed_first or 0, worker.sealed_entries or 0
        where = f"{batch.batch_id}, worker {worker.worker_number}"
        blocks = Blocks(rows.headers, rows.lines, first=first, entries=entries, dictionary=dictionary)
        found, sealed = blocks.hashes(), worker.block_hashes or []
        self.report.blocks += len(found)
        if found != sealed:
            if tree_root(found) == worker.root:
                places = [str(n + 1) for n, one in enumerate(found) if n >= len(sealed) or one != sealed[n]]
                self._differs(
                    "blocks", where, f"the rows are as sealed, the hashes of blocks {', '.join(places)} are not"
                )
            else:
                self._name_rows(batch, worker, rows, blocks, dictionary)
        outside = ~pl.col("je_number").is_between(first, first + entries - 1)
        extra = Rows(rows.headers.filter(outside), rows.lines.filter(outside))
        if extra.headers.height + extra.lines.height:
            nothing = Rows(extra.headers.clear(), extra.lines.clear())
            named = differing(nothing, extra, self.meanings.names())
            self._differs(
                "rows", where, f"{len(named)} rows are outside its numbers {first} to {first + entries - 1}", named
            )

    def _name_rows(
        self, batch: SealedBatch, worker: SealedWorker, rows: Rows, blocks: Blocks, dictionary: Dictionary
    ) -> None:
        """Say which rows of the blocks differ: exactly, where the sealed rows can be made again and proven."""
        sealed = worker.block_hashes or []
        again, why = self._made_again(batch, worker, dictionary)
        for number, found in enumerate(blocks.hashes()):
            if number < len(sealed) and found == sealed[number]:
                continue
            first, last = blocks.numbers(number)
            where = f"{batch.batch_id}, worker {worker.worker_number}, block {number + 1} (entries {first} to {last})"
            if again and number < len(again[1]) and number < len(sealed) and again[1][number] == sealed[number]:
                named = differing(again[0].between(first, last), rows.between(first, last), self.meanings.names())
                self._differs("rows", where, f"{len(named)} values differ from what was sealed", named)
                continue
            broken = visibly_broken(rows.between(first, last), first, last)
            problem = "its rows are not those that were sealed"
            problem += "; these entries are visibly broken" if broken else "; no entry of it is visibly broken"
            self._differs("rows", where, f"{problem} ({why})", broken)

    def _made_again(
        self, batch: SealedBatch, worker: SealedWorker, dictionary: Dictionary
    ) -> tuple[tuple[Rows, list[bytes]] | None, str]:
        first, entries = worker.sealed_first or 0, worker.sealed_entries or 0
        if self.url is None:
            return None, "the sealed rows were not made again"
        try:
            rows = rows_from_source(self.url, batch, worker.worker_number, first)
        except Exception as fault:  # noqa: BLE001 - whatever keeps the rows from being made again, they are not
            return None, f"the sealed rows cannot be made again: {fault}"
        hashes = Blocks(rows.headers, rows.lines, first=first, entries=entries, dictionary=dictionary).hashes()
        return (rows, hashes), "what its source gives now is not what was sealed either"

    def _count(self, batch: SealedBatch, rows: Rows) -> None:
        self.report.entries += rows.headers.height
        self.report.lines += rows.lines.height
        totals = self.totals[batch.period]
        if batch.state != "COMMITTED" or totals is None:
            return
        amount = pl.col("amount").cast(pl.Int128)
        sums = rows.lines.group_by("account_id").agg(
            debit=amount.filter(amount > 0).sum(), credit=amount.filter(amount < 0).sum()
        )
        for account, debit, credit in sums.iter_rows():
            before = totals.get(account, (0, 0))
            totals[account] = (before[0] + debit, before[1] - credit)

    # -------------------------------------------------------------------------------------------- around the batches

    def _check_attached(self, known: set[str]) -> None:
        """Every table of rows in the ledger is the leaf of a posted worker, and the other way round."""
        attached: dict[int, dict[str, Any]] = {row["leaf"]: row for row in self._rows("seal/attached_leaves")}
        for row in attached.values():
            month = row["parent"].removeprefix(f"{row['root']}_").replace("_", "-")
            if self.period not in (None, month, row["period"]):
                continue
            if row["batch_id"] is None or row["batch_id"] not in known or row["state"] != "COMMITTED":
                self._differs(
                    "leaf", row["name"], f"its rows are in the ledger ({row['parent']}), but of no posted batch"
                )
            elif month != row["period"]:
                self._differs("leaf", row["name"], f"it is part of {row['parent']}, its batch is of {row['period']}")
        for row in self._rows("seal/posted_leaves"):
            if row["leaf"] not in attached and self.period in (None, row["period"]):
                where = f"{row['batch_id']}, worker {row['worker_number']}"
                self._differs("leaf", where, f"its {row['what']} are not attached to the ledger")

    def _check_audit(self, posted: set[str]) -> None:
        """The trail of operations is a witness of batches that are gone without a trace elsewhere."""
        for row in self._rows("seal/committed_by_audit"):
            if row["batch_id"] not in posted and self.period in (None, row["period"]):
                problem = "the audit trail says that it was posted; it is not among the posted batches"
                self._differs("batch", row["batch_id"], problem)

    def check_balances(self) -> None:
        """After `run`: the balances of closed months are those of the lines, carried from month to month."""
        stored: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for row in self._rows("seal/balances"):
            stored[row["period"]][row["account_code"]] = row
        carried: dict[str, int] = defaultdict(int)
        for month in self._rows("seal/periods"):
            period, is_closed = month["period"], month["status"] in ("CLOSED", "LOCKED")
            if self.period not in (None, period):
                continue
            totals = self.totals[period]
            if totals is None:
                return  # said already
            moved = {self.meanings.accounts.get(number, f"account {number}"): sums for number, sums in totals.items()}
            for code in sorted({*moved, *stored[period], *(code for code, amount in carried.items() if amount)}):
                debit, credit = moved.get(code, (0, 0))
                if is_closed:
                    expected = {"opening": carried[code], "debit": debit, "credit": credit}
                    self._check_balance(f"{period}, account {code}", stored[period].get(code, {}), expected)
                carried[code] += debit - credit

    def _check_balance(self, where: str, stored: Mapping[str, Any], expected: Mapping[str, int]) -> None:
        for column, value in expected.items():
            if column == "opening" and self.period is not None:
                continue  # that takes the lines of all months before
            found = int(stored.get(column, 0))
            if found != value:
                problem = f"{column} {from_minor(found):,}, its lines give {from_minor(value):,}"
                self._differs("balance", where, problem)

    # -------------------------------------------------------------------------------------------- saying

    def _rows(self, name: str) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement(name)).fetchall()

    def _say(self, findings: Sequence[Finding]) -> None:
        self.report.differences.extend(findings)

    def _differs(self, what: str, where: str, problem: str, rows: Sequence[Mapping[str, str]] = ()) -> None:
        self.report.differences.append(Finding(what, where, problem, rows[:ROWS_NAMED]))

    def _could_not(self, what: str, where: str, problem: str) -> None:
        self.report.not_looked_at.append(Finding(what, where, problem))


# ------------------------------------------------------------------------------------------------ reading


def read_chain(connection: psycopg.Connection) -> list[Link]:
    """All links, in their order."""
    with connection.cursor(row_factory=class_row(Link)) as cursor:
        return cursor.execute(statement("seal/chain")).fetchall()


def read_batches(connection: psycopg.Connection) -> list[SealedBatch]:
    """The batches that are or were part of the books."""
    with connection.cursor(row_factory=class_row(SealedBatch)) as cursor:
        return cursor.execute(statement("seal/batches")).fetchall()


def read_workers(connection: psycopg.Connection, batch_id: str) -> list[SealedWorker]:
    """The workers of a batch with their seals, by number."""
    with connection.cursor(row_factory=class_row(SealedWorker)) as cursor:
        return cursor.execute(statement("seal/workers"), {"batch_id": batch_id}).fetchall()


def read_meanings(connection: psycopg.Connection) -> Meanings:
    """The chart and the templates as they are now."""
    accounts = connection.execute(statement("seal/chart")).fetchall()
    templates = connection.execute(statement("seal/templates")).fetchall()
    return Meanings(
        {number: code for number, code, _, _ in accounts},
        {code: (fund, kind) for _, code, fund, kind in accounts},
        {
            number: (rule_set, rule_version, code, version)
            for number, rule_set, rule_version, code, version, _, _ in templates
        },
        {tuple(key): (source_type, description) for _, *key, source_type, description in templates},
    )
