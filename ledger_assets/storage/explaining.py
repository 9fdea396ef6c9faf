"""From a balance to its entries, from an entry to its transaction and rule, and from a transaction to its entries.

Here: the questions of `books` put together into answers, as JSON has them, personal data masked. Not here: the
statements (sql/queries), how an amount comes about (accounting.explanation), what people see (commands.explaining).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.explanation import EntryName, entry_name, worked_out
from ledger_assets.accounting.masking import masked_id, masked_record
from ledger_assets.storage import books
from ledger_assets.storage.archives import archived_sources, is_archived
from ledger_assets.storage.database import statement
from ledger_assets.storage.reading import rows

if TYPE_CHECKING:
    from ledger_assets.storage.archived_entries import Archive

RULES: Final = ("rule_set", "rule_version", "content_hash", "approved_by", "template_code", "template_version")
TRANSACTION: Final = (
    "txn_id",
    "policy_id",
    "txn_type",
    "product_code",
    "channel",
    "txn_date",
    "bank_value_date",
    "gross_amount",
    "tabarru_amount",
    "tanahud_amount",
    "ujroh_amount",
)
DELIVERED: Final = ("load_id", "row_number", "file_name")


class UnknownEntryError(LedgerError):
    """No posted entry has that number."""


class UnknownTransactionError(LedgerError):
    """No delivery has that transaction."""


class OtherFundError(LedgerError):
    """The account belongs to another fund than the one that was named."""


class NoBalanceError(LedgerError):
    """There is nothing to explain: no balance, and no posted batch has a line on the account."""


def explained_entry(connection: psycopg.Connection, name: EntryName, archive: Path | None = None) -> dict[str, Any]:
    """An entry with its rules, its transaction, what each line was worked out from, and its reversals.

    What lies in files is read there, below `archive`; `read_from` says so. Raises UnknownEntryError, and ArchiveMissing
    or ArchiveAltered when a file that is needed does not prove.
    """
    found, files = _lines(connection, name), None
    if not found and is_archived(connection, name.period):
        files = _opened(connection, archive)
        found = _archived_lines(files, name)
    if not found:
        raise UnknownEntryError(
            str(name),
            "no posted entry has that number",
            f"look at the batches of the month with `ledger-assets status {name.period}`",
        )
    first = found[0]
    if files is None and first["txn_id"] is None:
        files = _opened(connection, archive)
        delivered = files.transaction_of(first["batch_id"], first["worker_number"], first["source_id"])
        found = [line | masked_record(delivered) for line in found]
        first = found[0]
    return {
        "entry": str(name),
        "batch_id": first["batch_id"],
        "kind": first["kind"],
        **_reversals(connection, name),
        "rules": {column: first[column] for column in RULES},
        "transaction": _transaction(first),
        "lines": [
            {
                "line_number": line["line_number"],
                "account_code": line["account_code"],
                "fund": line["fund"],
                "debit_amount": line["debit_amount"],
                "credit_amount": line["credit_amount"],
                "template_account_code": line["template_account_code"],
                "expression": line["amount_expression"],
                "with_numbers": None if amount is None else amount.with_numbers,
                "remainder": None if amount is None else amount.remainder,
                "result": None if amount is None else amount.result,
            }
            for line, amount in zip(found, worked_out(found), strict=True)
        ],
        **_read_from(files),
    }


def explained_balance(
    connection: psycopg.Connection,
    account_code: str,
    fund: str,
    period: str,
    first: int = 1,
    archive: Path | None = None,
) -> dict[str, Any]:
    """What an account's balance is made of: what was there, each batch, and a page of lines from entry `first` on.

    `amount` of the parts adds up to `balance`; debits are positive. `next` names the entry to go on from, if there is
    more. Lines of an archived month are read from its files, as an entry is (explained_entry). Raises
    UnknownAccountError, OtherFundError, NoBalanceError.
    """
    account = books.account(connection, account_code)
    if account["fund"] != fund:
        raise OtherFundError(
            f"account {account_code}", f"it belongs to the fund {account['fund']}, not to {fund}", "name that fund"
        )
    parts = books.explain_balance(connection, period, account_code)
    if not parts:
        raise NoBalanceError(
            f"account {account_code} in {period}",
            "it has no balance, and nothing is posted to it",
            f"look at `ledger-assets status {period}`: the month may not be closed",
        )
    files = _opened(connection, archive) if is_archived(connection, period) else None
    if files is None:
        after = books.Place(first, 0)
        lines = books.account_lines(connection, period, account_code, after=after, page=books.PAGE + 1)
    else:
        lines = files.account_lines(period, account["account_id"], first, books.PAGE + 1)
    following = lines[books.PAGE :]
    return {
        "account_code": account_code,
        "description": account["description"],
        "fund": fund,
        "period": period,
        "balance": sum(part["amount"] for part in parts),
        "parts": [{name: value for name, value in part.items() if name != "position"} for part in parts],
        "lines": [
            {"entry": str(EntryName(period, line["je_number"]))}
            | {name: line[name] for name in ("line_number", "batch_id", "debit_amount", "credit_amount")}
            for line in lines[: books.PAGE]
        ],
        "next": str(EntryName(period, following[0]["je_number"])) if following else None,
        **_read_from(files),
    }


def explained_transaction(connection: psycopg.Connection, txn_id: str, archive: Path | None = None) -> dict[str, Any]:
    """What became of a transaction, for each row that was delivered under its id. Raises UnknownTransactionError.

    When no load in the database has it, the files of all archived months are searched; when one has, another month may
    have the id as well, and `archived_months_not_searched` names those.

    `state` of a row is POSTED (with its entries and what reversed them), EXCEPTION (with reason), IN_BATCH, WAITING
    (for the next close) or REFUSED (with reasons).
    """
    files, months = _opened(connection, archive), archived_sources(connection)
    found = rows(connection, "queries/delivered_rows", txn_id=txn_id)
    unseen = {"archived_months_not_searched": months} if found and months else {}
    if not found and months:
        found = [masked_record(row) for row in files.deliveries(txn_id)]
    delivered = [_delivered(connection, files, row, txn_id) for row in found]
    refused = [{"state": "REFUSED", **row} for row in rows(connection, "queries/refused_rows", txn_id=txn_id)]
    if not delivered and not refused:
        withdrawn = rows(connection, "queries/withdrawn_loads")
        loads = ", ".join(f"{load['load_id']} ({load['period']}, {load['file_name']})" for load in withdrawn)
        raise UnknownTransactionError(
            f"transaction {masked_id(txn_id)}",
            "no load has a row with that id" + (f"; rows of withdrawn loads are not kept: {loads}" if loads else ""),
            "check the id, capitals too; load its file with `ledger-assets ingest` if it was never loaded",
        )
    return {"transaction": masked_id(txn_id), "rows": [*delivered, *refused], **unseen, **_read_from(files)}


def _opened(connection: psycopg.Connection, root: Path | None) -> "Archive":
    from ledger_assets.storage.archived_entries import Archive  # noqa: PLC0415 (Polars takes its time)

    return Archive(connection, root)


def _archived_lines(files: "Archive", name: EntryName) -> list[dict[str, Any]]:
    """As `_lines`, of an entry in files; none when no posted batch has its number."""
    from ledger_assets.storage.entry_proofs import NoSuchEntry  # noqa: PLC0415 (likewise)

    try:
        found = files.entry(name)
    except NoSuchEntry:
        return []
    return [_line(row) for row in found]


def _read_from(files: "Archive | None") -> dict[str, Any]:
    """What an answer says of the files that it was read from; nothing when it was none."""
    return {"read_from": [place._asdict() for place in files.read_from]} if files and files.read_from else {}


def _delivered(connection: psycopg.Connection, files: "Archive", row: dict[str, Any], txn_id: str) -> dict[str, Any]:
    """A row that was accepted, and how far it has come. Its own id is masked: the one that was asked for is not."""
    place = {"load_id": row["load_id"], "row_number": row["row_number"]}
    known = {"period": row["period"], **{column: row[column] for column in (*DELIVERED, *TRANSACTION)}}
    journaled = rows(connection, "queries/row_journaled", **place)
    if journaled:
        entries = [
            EntryName(worker["period"], number)
            for worker in journaled
            for number in _numbers(connection, files, worker, txn_id)
        ]
        batch = {"batch_id": journaled[0]["batch_id"]}
        return {"state": "POSTED", **batch, **known, "entries": [_with_answers(connection, name) for name in entries]}
    for batch in rows(connection, "queries/row_waiting", **place):
        return {"state": "IN_BATCH" if batch["reason"] is None else "EXCEPTION", **_batch_shown(batch), **known}
    return {"state": "WAITING", **known}


def _numbers(connection: psycopg.Connection, files: "Archive", worker: dict[str, Any], txn_id: str) -> list[int]:
    """The numbers of the entries that a posted worker made of a transaction."""
    if is_archived(connection, worker["period"]):
        return files.entry_numbers(worker["period"], worker["batch_id"], worker["worker_number"], txn_id)
    found = rows(connection, "queries/entries_of_transaction", **worker, txn_id=txn_id)
    return [entry["je_number"] for entry in found]


def _batch_shown(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch that has a row in its plan, and why it could not be journaled."""
    shown = {"batch_id": batch["batch_id"], "batch_state": batch["state"]}
    return shown if batch["reason"] is None else shown | {"reason": batch["reason"], "detail": batch["detail"]}


def _with_answers(connection: psycopg.Connection, name: EntryName) -> dict[str, Any]:
    """An entry with the reversals that followed: the one that took it back, the one that took that back, and so on."""
    entry = {"entry": str(name), **_reversals(connection, name)}
    answers, last = [], entry["reversed_by"]
    while last is not None:
        answers.append(last)
        last = _reversals(connection, entry_name(last))["reversed_by"]
    return {"entry": entry["entry"], "reversed_by": answers}


def _reversals(connection: psycopg.Connection, name: EntryName) -> dict[str, str | None]:
    found = rows(connection, "queries/reversals_of_entry", period=name.period, je_number=name.je_number)
    named = {row["relation"]: str(EntryName(row["period"], row["je_number"])) for row in found}
    return {relation: named.get(relation) for relation in ("reverses", "reversed_by")}


def _transaction(line: dict[str, Any]) -> dict[str, Any] | None:
    if line["txn_id"] is None:
        return None
    return {"period": line["source_period"], **{column: line[column] for column in (*DELIVERED, *TRANSACTION)}}


def _lines(connection: psycopg.Connection, name: EntryName) -> list[dict[str, Any]]:
    """As `books.explain_entry`, the expressions as they are: what looks like a telephone in them is arithmetic."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(statement("queries/explain_entry"), name._asdict()).fetchall()
    return [_line(row) for row in found]


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return masked_record(row) | {name: row[name] for name in ("amount_expression", "source_id") if name in row}
