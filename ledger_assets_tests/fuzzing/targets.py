"""What is fuzzed, as functions of bytes: each returns, or the one kind of error that people can act on ends it.

Here: the properties, independent of who invents the bytes (hypothesis in test_parsers, atheris in campaign). Not here:
files of many rows and the database (test_loaders).
"""

import tempfile
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from ledger_assets.accounting.amounts import VARIABLES, parse_amount
from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.mapping import parse_mapping
from ledger_assets.accounting.predicates import FIELDS, Row
from ledger_assets.accounting.rule_files import SHIPPED_RULES, load_rule_set
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.accounting.source_values import Notation, as_amount, as_day, as_text
from ledger_assets.storage.source_files import read
from ledger_assets_tests.fuzzing import books

_GONE_AT_THE_END: Final = tempfile.TemporaryDirectory(prefix="ledger-fuzz-")
FOLDER: Final = Path(_GONE_AT_THE_END.name)
ROW: Final[Row] = {
    name: {"text": "AGENCY", "amount": 12_345, "date": date(2025, 1, 2)}[kind] for name, kind in FIELDS.items()
}
FRAME: Final = pl.DataFrame([ROW])


def told(error: LedgerError) -> None:
    """An error that names culprit, rule and fix, in a size that a person reads."""
    assert error.culprit
    assert error.rule
    assert error.fix
    assert len(str(error)) < 20_000, "a message that repeats the input helps nobody"


def amounts(data: bytes) -> None:
    """Any text is an amount whose two evaluations agree, or is refused."""
    try:
        expression = parse_amount(data.decode("utf-8", "surrogateescape"))
        expected = expression.evaluate(dict.fromkeys(VARIABLES, 12_345))
        frame = pl.DataFrame([dict.fromkeys(VARIABLES, 12_345)])
        assert frame.select(expression.to_polars().alias("x"))["x"].to_list() == [expected]
    except LedgerError as error:
        told(error)


def conditions(data: bytes) -> None:
    """Any text is a condition whose two evaluations agree, or is refused."""
    try:
        condition = parse_condition(data.decode("utf-8", "surrogateescape"))
    except LedgerError as error:
        told(error)
        return
    assert FRAME.select(condition.to_polars().alias("x"))["x"].to_list() == [condition.holds(ROW)]


def mappings(data: bytes) -> None:
    """Any file is a mapping that applies to a row, or is refused."""
    try:
        mapping = parse_mapping(data, "mapping.toml")
        assert mapping.sha256
        kinds = {name: kind for name, kind in mapping.needs() if kind != "text"}
        days = {name: date(2025, 1, 2) for name, kind in mapping.needs() if kind == kinds.get(name) == "day"}
        row = {name: days.get(name, "12") for name, _ in mapping.needs()}
        mapping.apply(pl.DataFrame([row or {"x": "1"}]), 1, "2025-01")
    except LedgerError as error:
        told(error)


def rule_files(data: bytes) -> None:
    """Any file is a rule set that the tables can hold, or is refused."""
    (FOLDER / "combined.toml").write_bytes(data)
    chart = FOLDER / "chart_of_accounts.toml"
    if not chart.exists():
        chart.write_bytes((SHIPPED_RULES / "chart_of_accounts.toml").read_bytes())
    try:
        assert load_rule_set("combined", FOLDER).content_hash()
    except LedgerError as error:
        told(error)


def values(data: bytes) -> None:
    """Any text is read as a number, a day and a text, exactly or not at all."""
    text = data.decode("utf-8", "replace")
    column, rows = pl.Series("x", [text]), pl.Series([1])
    for reader in (
        lambda: as_text(column, rows),
        lambda: as_day(column, rows, Notation()),
        lambda: as_amount(column, rows, Notation()),
        lambda: as_amount(column, rows, Notation(decimal=",", thousands=".")),
    ):
        try:
            (found,) = reader().to_list()
        except LedgerError as error:
            told(error)
        else:
            assert found is None or str(found)


def csv_files(data: bytes) -> None:
    """Any CSV file is read with as many rows as Python's strict reader finds, or is refused."""
    path = FOLDER / "any.csv"
    path.write_bytes(data)
    _read(path, SourceMapping())


def parquet_files(data: bytes) -> None:
    """Any Parquet file is read, or is refused."""
    path = FOLDER / "any.parquet"
    path.write_bytes(data)
    _read(path, SourceMapping())


def _read(path: Path, mapping: SourceMapping) -> None:
    try:
        batches = list(read(path, mapping, "2025-01"))
    except LedgerError as error:
        told(error)
        return
    for mapped in batches:
        books.judged(mapped)
    if path.suffix == ".csv":
        assert sum(mapped.raw.height for mapped in batches) == books.rows_in_csv(path)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "amounts": amounts, "conditions": conditions, "mappings": mappings, "rule_files": rule_files, "values": values,
    "csv_files": csv_files, "parquet_files": parquet_files,
}  # fmt: skip
