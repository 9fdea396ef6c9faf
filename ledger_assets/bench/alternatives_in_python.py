"""The alternatives that make their rows in Python, written as one would write them. Their packages are optional."""

# Both packages are imported when they are needed: SQLAlchemy takes half a second, pandas may not be there.
# ruff: noqa: PLC0415
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from psycopg import sql

from ledger_assets.bench.close import PERIOD
from ledger_assets.storage.database import connect, statement

if TYPE_CHECKING:
    from sqlalchemy import Engine

BATCH: Final = 1_000


class _TemplateLine(NamedTuple):
    source_type: str
    entry: int
    line_number: int
    side: str
    account_code: str
    fund: str
    component: str


def post_by_orm(url: str, rule_set: str, transactions: int) -> None:
    """Objects, saved in batches of 1,000."""
    from sqlalchemy.orm import Session

    header_class, line_class = _mapped_classes()
    by_type = {
        source_type: [list(lines) for _, lines in groupby(entries, key=itemgetter(1))]
        for source_type, entries in groupby(_template(url, rule_set), key=itemgetter(0))
    }
    source = _source_rows(url, transactions)
    number = 0
    with Session(_engine(url)) as session:
        while batch := list(islice(source, BATCH)):
            headers, lines = [], []
            for txn in batch:
                for entry in by_type[txn["txn_type"]]:
                    of_entry = list(_lines_of(entry, txn, number + 1))
                    if not of_entry:
                        continue
                    number += 1
                    headers.append(header_class(**_header_of(txn, number, of_entry)))
                    lines += [line_class(**line) for line in of_entry]
            for objects in (headers, lines):
                for start in range(0, len(objects), BATCH):
                    session.bulk_save_objects(objects[start : start + BATCH])
            session.commit()


def _lines_of(entry: Sequence[_TemplateLine], txn: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    nothing = Decimal(0)
    for line in entry:
        if amount := txn[line.component]:
            yield {
                "je_number": number,
                "line_number": line.line_number,
                "period": PERIOD,
                "account_code": line.account_code,
                "fund": line.fund,
                "debit_amount": amount if line.side == "DR" else nothing,
                "credit_amount": amount if line.side == "CR" else nothing,
            }


def _header_of(txn: dict[str, Any], number: int, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "je_number": number,
        "period": PERIOD,
        "je_date": txn["bank_value_date"],
        "source_type": txn["txn_type"],
        "source_id": txn["txn_id"],
        "total_debit": sum(line["debit_amount"] for line in lines),
        "total_credit": sum(line["credit_amount"] for line in lines),
    }


def _mapped_classes() -> tuple[type, type]:
    """The two tables as classes."""
    from sqlalchemy import Date, Integer, MetaData, Numeric, SmallInteger, String
    from sqlalchemy.orm import declarative_base, mapped_column

    base: Any = declarative_base(metadata=MetaData(schema="alternative"))
    header = {
        "__tablename__": "header",
        "je_number": mapped_column(Integer, primary_key=True, autoincrement=False),
        "period": mapped_column(String),
        "je_date": mapped_column(Date),
        "source_type": mapped_column(String),
        "source_id": mapped_column(String),
        "total_debit": mapped_column(Numeric(18, 2)),
        "total_credit": mapped_column(Numeric(18, 2)),
    }
    line = {
        "__tablename__": "line",
        "je_number": mapped_column(Integer, primary_key=True, autoincrement=False),
        "line_number": mapped_column(SmallInteger, primary_key=True, autoincrement=False),
        "period": mapped_column(String),
        "account_code": mapped_column(String),
        "fund": mapped_column(String),
        "debit_amount": mapped_column(Numeric(18, 2)),
        "credit_amount": mapped_column(Numeric(18, 2)),
    }
    return type("Header", (base,), header), type("Line", (base,), line)


def post_by_dataframe(url: str, rule_set: str, transactions: int) -> None:
    """Frames of all rows, handed to `to_sql`."""
    import pandas as pd
    from sqlalchemy import Numeric

    source = pd.DataFrame.from_records(list(_source_rows(url, transactions)))
    source["position"] = range(len(source))
    nothing = Decimal(0)
    parts = []
    for line in _template(url, rule_set):
        part = source.loc[
            (source["txn_type"] == line.source_type) & (source[line.component] != nothing),
            ["position", "txn_id", "txn_type", "bank_value_date"],
        ].copy()
        amount = source.loc[part.index, line.component]
        part["entry"], part["line_number"] = line.entry, line.line_number
        part["period"], part["account_code"], part["fund"] = PERIOD, line.account_code, line.fund
        part["debit_amount"] = amount if line.side == "DR" else nothing
        part["credit_amount"] = amount if line.side == "CR" else nothing
        parts.append(part)
    lines = pd.concat(parts).sort_values(["position", "entry", "line_number"])
    lines["je_number"] = lines.groupby(["position", "entry"], sort=True).ngroup() + 1
    headers = lines.groupby("je_number", as_index=False).agg(
        period=("period", "first"),
        je_date=("bank_value_date", "first"),
        source_type=("txn_type", "first"),
        source_id=("txn_id", "first"),
        total_debit=("debit_amount", "sum"),
        total_credit=("credit_amount", "sum"),
    )
    stored = ["je_number", "line_number", "period", "account_code", "fund", "debit_amount", "credit_amount"]
    money = Numeric(18, 2)
    with _engine(url).begin() as connection:
        for name, frame in (("header", headers), ("line", lines[stored])):
            frame.to_sql(
                name,
                connection,
                schema="alternative",
                if_exists="append",
                index=False,
                chunksize=BATCH,
                dtype={column: money for column in frame.columns if column.endswith(("_debit", "_credit", "_amount"))},
            )


def _engine(url: str) -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    return create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)


def _template(url: str, rule_set: str) -> list[_TemplateLine]:
    with connect(url) as connection:
        found = connection.execute(statement("bench/alternative_template"), {"rule_set": rule_set})
        return [_TemplateLine(*row) for row in found]


def _source_rows(url: str, transactions: int) -> Iterator[dict[str, Any]]:
    """The first transactions of the loaded month, as dictionaries."""
    query = sql.SQL(statement("bench/alternative_source")).format(period=PERIOD, how_many=transactions)
    names = (
        "txn_id",
        "txn_type",
        "bank_value_date",
        "gross_amount",
        "tabarru_amount",
        "tanahud_amount",
        "ujroh_amount",
    )
    with connect(url) as connection:
        for row in connection.execute(query):
            yield dict(zip(names, row, strict=True))
