"""The TOML file in which people write a mapping; examples/lgpif has two of them, explained.

Here: reading and checking the file. Every complaint names the key, what is wrong with it, and what is allowed. Not
here: what a mapping does (source_mapping).
"""

import re
import tomllib
import warnings
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation, Overflow
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import polars as pl

from ledger_assets.accounting.amounts import COMPONENTS, GROSS
from ledger_assets.accounting.amounts import VARIABLES as AMOUNTS
from ledger_assets.accounting.errors import AmountError, quoted
from ledger_assets.accounting.money import to_minor
from ledger_assets.accounting.schemas import DATES, SOURCE_COLUMNS, TEXTS
from ledger_assets.accounting.source_errors import MappingError
from ledger_assets.accounting.source_mapping import SPREAD, DateRule, IdRule, SourceMapping, SplitRule
from ledger_assets.accounting.source_values import Notation

ROW_POSITION: Final = "row_position"
"""In `[id] from`: the id is the prefix and the row's position in the file."""

_T = TypeVar("_T")
_LARGEST_NUMBER: Final = 1_000_000
_NO_MARKS: Final = frozenset('0123456789-+"\r\n\0')
_UNSEEN: Final = re.compile(r"[\0-\x1f\x7f]")
_KINDS: Final[Mapping[type, str]] = {
    str: "a text in quotation marks", int: "a whole number", bool: "true or false", dict: "a table", list: "a list",
    date: "a day without quotation marks, such as 2025-01-31",
}  # fmt: skip


def load_mapping(path: Path | None) -> SourceMapping:
    """Read a mapping file; without one the file to load has our own columns.

    Raises:
        MappingError: it cannot be read, is not TOML, has an unknown key, or a value that is not allowed.
    """
    if path is None:
        return SourceMapping()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MappingError(str(path), f"it cannot be read ({error.strerror})", "check the path of --mapping") from error
    return parse_mapping(content, path.name)


def parse_mapping(content: bytes, file: str) -> SourceMapping:
    """Read the text of a mapping file; `file` is its name for the messages.

    Raises:
        MappingError: as `load_mapping`.
    """
    try:
        root = _Table(file, "", tomllib.loads(content.decode()))
    except ValueError as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise MappingError(file, f"it is not TOML in UTF-8 ({error})", "correct the place named above") from error
    except RecursionError as error:
        raise MappingError(file, "it is nested too deeply", "write tables like those of examples/lgpif") from error
    delimiter, decimal, thousands = _file(root.table("file"))
    day_format, date_rule = _date(root.table("date"))
    skip_where, skip_zero_amounts = _skip(root.table("skip"))
    mapping = SourceMapping(
        columns=root.table("columns").texts_by_key(SOURCE_COLUMNS),
        constants=_constants(root.table("constants")),
        id=_id(root.table("id")),
        date=date_rule,
        split=_split(root.table("split")),
        values=_values(root.table("values")),
        skip_where=skip_where,
        skip_zero_amounts=skip_zero_amounts,
        other_months="skip" if _skips_other_months(root.table("period")) else "reject",
        notation=Notation(decimal, thousands, day_format),
        delimiter=delimiter,
    )
    root.done()
    _refuse_two_origins(mapping, root)
    return mapping


class _Table:
    """A table of the file. Keys are taken out as they are read; what is left over at the end is unknown."""

    def __init__(self, file: str, name: str, content: Mapping[str, object]) -> None:
        self._file = file
        self._name = name
        self._content = dict(content)
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __bool__(self) -> bool:
        return bool(self._content)

    def remaining(self) -> list[str]:
        """The keys not taken yet, in the order of the file."""
        return list(self._content)

    def take(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """The value of a key, which has to be there when there is no default."""
        self._known.append(key)
        if key not in self._content:
            if default is None:
                self.refuse(key, "is missing", f"add it to [{self._name}]")
            return default
        value = self._content.pop(key)
        # Exactly this type: for Python true is an int, and a moment is a date.
        if type(value) is not kind:
            self.refuse(key, f"is {quoted(value)}", f"write {_KINDS[kind]}")
        if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
            self.refuse(key, f"is {quoted(value)}", f"write a number up to {_LARGEST_NUMBER:,}")
        return value

    def table(self, key: str) -> "_Table":
        """A table inside this one; empty if it is not there."""
        return _Table(self._file, f"{self._name}.{key}" if self._name else key, self.take(key, dict, {}))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        texts = self.take(key, list)
        if not texts or not all(isinstance(text, str) for text in texts):
            self.refuse(key, f"is {texts!r}", 'write a list of texts in quotation marks, such as ["A", "B"]')
        return tuple(texts)

    def texts_by_key(self, allowed: tuple[str, ...] | None = None) -> dict[str, str]:
        """The whole table as texts by key."""
        for key in self.remaining():
            if allowed is not None and key not in allowed:
                self.refuse(key, "is not one of our columns", f"use {', '.join(allowed)}")
        return {key: self.take(key, str) for key in self.remaining()}

    def one_of(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """A text out of a few."""
        text = self.take(key, str, default)
        if text not in allowed:
            self.refuse(key, f"is {text!r}", f"write {' or '.join(map(repr, allowed))}")
        return text

    def holds(self, key: str, kind: type) -> bool:
        """Whether a key is there with a value of this type."""
        return type(self._content.get(key)) is kind

    def done(self) -> None:
        """Refuse the keys that nobody took."""
        for key in self._content:
            self.refuse(key, "is not known", f"use {', '.join(self._known)}")

    def refuse(self, key: str, rule: str, fix: str) -> NoReturn:
        """Raise a MappingError about a key."""
        where = f"[{self._name}] {key}" if self._name else f"[{key}]"
        raise MappingError(self._file, f"{where} {rule}", fix)


def _file(table: _Table) -> tuple[str, str, str]:
    delimiter, decimal, thousands = (
        table.take("delimiter", str, ","), table.take("decimal", str, "."), table.take("thousands", str, ""),
    )  # fmt: skip
    table.done()
    for key, mark, least in (("delimiter", delimiter, 1), ("decimal", decimal, 1), ("thousands", thousands, 0)):
        if not least <= len(mark) <= 1 or mark in _NO_MARKS or not mark.isascii():
            table.refuse(key, f"is {mark!r}", "write one character, such as a comma, a point or a semicolon")
    if decimal == thousands:
        table.refuse("thousands", "is the decimal point too", "use different characters")
    return delimiter, decimal, thousands


def _constants(table: _Table) -> dict[str, str | date]:
    constants: dict[str, str | date] = {}
    for key in table.remaining():
        if key not in SOURCE_COLUMNS:
            table.refuse(key, "is not one of our columns", f"use {', '.join(SOURCE_COLUMNS)}")
        constants[key] = table.take(key, date) if key in DATES else table.take(key, str)
        if key in AMOUNTS:
            try:
                to_minor(str(constants[key]))
            except AmountError as error:
                table.refuse(key, f"is {constants[key]!r}: {error.rule}", error.fix)
    return constants


def _id(table: _Table) -> IdRule | None:
    if not table:
        return None
    prefix, separator = table.take("prefix", str, ""), table.take("separator", str, "-")
    columns: tuple[str, ...] = ()
    if not table.holds("from", str):
        columns = table.texts("from")
    elif (origin := table.take("from", str)) != ROW_POSITION:
        table.refuse("from", f"is {origin!r}", f'write a list of columns such as ["A", "B"], or {ROW_POSITION!r}')
    table.done()
    return IdRule(prefix, columns, separator)


def _date(table: _Table) -> tuple[str, DateRule | None]:
    """How days are written, and the rule that makes them if the file has none."""
    day_format = table.take("format", str, Notation().day)
    sample = date(2025, 1, 31)
    if _UNSEEN.search(day_format) or not _reads_back(sample, day_format):
        table.refuse("format", f"is {day_format!r}", "name day, month and year like %d/%m/%Y (%d %m %y, or %b for Jan)")
    if not table:
        return day_format, None
    year, day = table.take("year", str), table.take("day", int, 1)
    month: str | int = table.take("month", str) if table.holds("month", str) else table.take("month", int)
    table.done()
    if isinstance(month, int) and not 1 <= month <= 12:
        table.refuse("month", f"is {month}", f"write 1 to 12, the name of a column, or {SPREAD!r}")
    if not 1 <= day <= 28:
        table.refuse("day", f"is {day}", "write 1 to 28, which every month has")
    return day_format, DateRule(year, month, day)


def _reads_back(sample: date, day_format: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # about fractions of a second, which no day has
            return bool(pl.Series([sample.strftime(day_format)]).str.to_date(day_format, strict=False)[0] == sample)
    except (pl.exceptions.PolarsError, ValueError):  # hours without minutes, say
        return False


def _split(table: _Table) -> SplitRule | None:
    if not table:
        return None
    names = tuple(name.removesuffix("_amount") for name in COMPONENTS)
    table.one_of("of", (GROSS,), GROSS)
    remainder_on = names.index(table.one_of("remainder_on", names))
    percents = table.table("shares")
    shares = [_share(percents, name) for name in names]
    percents.done()
    table.done()
    if sum(shares) != 1:
        table.refuse("shares", f"add up to {sum(shares) * 100} percent", "let them add up to 100")
    return SplitRule((shares[0], shares[1], shares[2]), remainder_on)


def _share(percents: _Table, name: str) -> Decimal:
    """A percentage as a share of 1. A TOML float would not be exact: fractions are written as text."""
    text = percents.take(name, str) if percents.holds(name, str) else str(percents.take(name, int))
    try:
        share = Decimal(text).scaleb(-2)
    except (InvalidOperation, Overflow):
        share = Decimal(-1)
    if not (share.is_finite() and 0 <= share <= 1 and share.as_tuple().exponent in range(-18, 1)):
        percents.refuse(name, f"is {text!r}", 'write percent from 0 to 100, such as 40 or "12.5"')
    return share


def _values(table: _Table) -> dict[str, dict[str, str]]:
    for key in table.remaining():
        if key not in TEXTS:
            table.refuse(key, "is not one of our text columns", f"use {', '.join(TEXTS)}")
    return {key: table.table(key).texts_by_key() for key in table.remaining()}


def _skip(table: _Table) -> tuple[dict[str, tuple[str, ...]], bool]:
    zero_amounts = table.take("zero_amounts", bool, default=False)
    where = table.table("where")
    table.done()
    return {column: where.texts(column) for column in where.remaining()}, zero_amounts


def _skips_other_months(table: _Table) -> bool:
    choice = table.one_of("other_months", ("reject", "skip"), "reject")
    table.done()
    return choice == "skip"


def _refuse_two_origins(mapping: SourceMapping, root: _Table) -> None:
    """A column that is given twice would silently take one of the two values."""
    origins = [("columns", tuple(mapping.columns)), ("constants", tuple(mapping.constants))]
    if mapping.id:
        origins.append(("id", ("txn_id",)))
    if mapping.date:
        origins.append(("date", DATES))
    if mapping.split:
        origins.append(("split", COMPONENTS))
    first: dict[str, str] = {}
    for table, names in origins:
        for name in names:
            if name in first:
                root.refuse(table, f"gives {name}, and so does [{first[name]}]", "keep one of the two")
            first[name] = table
