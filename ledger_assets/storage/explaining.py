"""From a balance to its entries, from an entry to its transaction and rule, and from a transaction to its entries.

Here: the questions of `books` put together into answers, as JSON has them, personal data masked. Not here: the
statements (sql/queries), how an amount comes about (accounting.explanation), what people see (commands.explaining).
"""

from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.explanation import EntryName, entry_name, worked_out
from ledger_assets.accounting.masking import masked_id, masked_record
from ledger_assets.storage import books
from ledger_assets.storage.archives import Archived, archived_sources, refuse_archived
from ledger_assets.storage.database import statement
from ledger_assets.storage.reading import rows

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


def explained_entry(connection: psycopg.Connection, name: EntryName) -> dict[str, Any]:
    """An entry with its rules, its transaction, what each line was worked out from, and its reversals.

    Raises UnknownEntryError, and Archived when the entry or its transaction lies in a file.
    """
    found = _lines(connection, name)
    if not found:
        refuse_archived(connection, name.period, str(name))
        raise UnknownEntryError(
            str(name),
            "no posted entry has that number",
            f"look at the batches of the month with `ledger-assets status {name.period}`",
        )
    first = found[0]
    if first["txn_id"] is None:
        _refuse_archived_source(connection, name, first)
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
    }


def explained_balance(
    connection: psycopg.Connection, account_code: str, fund: str, period: str, first: int = 1
) -> dict[str, Any]:
    """What an account's balance is made of: what was there, each batch, and a page of lines from entry `first` on.

    `amount` of the parts adds up to `balance`; debits are positive. `next` names the entry to go on from, if there is
    more. Raises UnknownAccountError, OtherFundError, NoBalanceError, and Archived when the lines lie in files.
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
    refuse_archived(connection, period, f"the lines of account {account_code} in {period}")
    after = books.Place(first, 0)
    lines = books.account_lines(connection, period, account_code, after=after, page=books.PAGE + 1)
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
    }


def explained_transaction(connection: psycopg.Connection, txn_id: str) -> dict[str, Any]:
    """What became of a transaction, for each row that was delivered under its id. Raises UnknownTransactionError.

    `state` of a row is POSTED (with its entries and what reversed them), EXCEPTION (with reason), IN_BATCH, WAITING
    (for the next close) or REFUSED (with reasons).
    """
    delivered = [
        _delivered(connection, row, txn_id) for row in rows(connection, "queries/delivered_rows", txn_id=txn_id)
    ]
    refused = [{"state": "REFUSED", **row} for row in rows(connection, "queries/refused_rows", txn_id=txn_id)]
    if not delivered and not refused:
        if months := archived_sources(connection):
            raise Archived(
                f"transaction {masked_id(txn_id)}",
                f"no load in the database has a row with that id; those of {', '.join(months)} are archived",
                "run ledger-assets restore MONTH --source for the month that it may be of",
            )
        withdrawn = rows(connection, "queries/withdrawn_loads")
        loads = ", ".join(f"{load['load_id']} ({load['period']}, {load['file_name']})" for load in withdrawn)
        raise UnknownTransactionError(
            f"transaction {masked_id(txn_id)}",
            "no load has a row with that id" + (f"; rows of withdrawn loads are not kept: {loads}" if loads else ""),
            "check the id, capitals too; load its file with `ledger-assets ingest` if it was never loaded",
        )
    # Another month may have the id as well, where nobody can look.
    unseen = {"archived_months_not_searched": months} if (months := archived_sources(connection)) else {}
    return {"transaction": masked_id(txn_id), "rows": [*delivered, *refused], **unseen}


def _refuse_archived_source(connection: psycopg.Connection, name: EntryName, line: dict[str, Any]) -> None:
    """An entry whose transaction is not found has none (a year end), or it lies in a file. Raises Archived."""
    batch_id: str | None = line["batch_id"]
    while batch_id is not None:  # a reversal is explained by what it takes back
        for found in rows(connection, "archive/load_files", batch_id=batch_id):
            raise Archived(
                str(name),
                f"the transactions of {found['period']} are archived, the one that it was made from too",
                f"run ledger-assets restore {found['period']} --source first",
            )
        batch_id = rows(connection, "archive/reversed_batch", batch_id=batch_id)[0]["reverses_batch_id"]


def _delivered(connection: psycopg.Connection, row: dict[str, Any], txn_id: str) -> dict[str, Any]:
    """A row that was accepted, and how far it has come. Its own id is masked: the one that was asked for is not."""
    place = {"load_id": row["load_id"], "row_number": row["row_number"]}
    known = {"period": row["period"], **{column: row[column] for column in (*DELIVERED, *TRANSACTION)}}
    journaled = rows(connection, "queries/row_journaled", **place)
    if journaled:
        for worker in journaled:
            refuse_archived(connection, worker["period"], f"transaction {masked_id(txn_id)}")
        entries = [
            EntryName(worker["period"], entry["je_number"])
            for worker in journaled
            for entry in rows(connection, "queries/entries_of_transaction", **worker, txn_id=txn_id)
        ]
        batch = {"batch_id": journaled[0]["batch_id"]}
        return {"state": "POSTED", **batch, **known, "entries": [_with_answers(connection, name) for name in entries]}
    for batch in rows(connection, "queries/row_waiting", **place):
        return {"state": "IN_BATCH" if batch["reason"] is None else "EXCEPTION", **_batch_shown(batch), **known}
    return {"state": "WAITING", **known}


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
    return [masked_record(row) | {"amount_expression": row["amount_expression"]} for row in found]
