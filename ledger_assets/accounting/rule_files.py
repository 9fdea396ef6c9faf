"""Rule sets as TOML files: the form in which the rules ship, and in which finance can edit and review them.

Here: from files to a `RuleSet`, with every mistake named by file, key and fix. Not here: whether the rules are sound
(rule_proofs).

A directory holds `chart_of_accounts.toml` (a list of `account`), `approvals.toml` (a list of `approval`) and one file
for each rule set. The keys are the attributes of the dataclasses in chart and templates; unknown keys are refused,
because a misspelt optional key would otherwise be ignored.
"""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Final, TypeVar, cast

from ledger_assets.accounting.amounts import parse_amount
from ledger_assets.accounting.chart import Account, AccountType
from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.errors import ExpressionError, RuleError, RuleFileError, quoted
from ledger_assets.accounting.expressions import MAX_LENGTH
from ledger_assets.accounting.schemas import LONGEST_TEXT
from ledger_assets.accounting.templates import (
    AccountOverride,
    Approval,
    RuleSet,
    Side,
    Template,
    TemplateLine,
    TemplateMatch,
)

SHIPPED_RULES: Final = Path(__file__).parent / "rules"
"""The rules that come with the package."""

CHART_FILE: Final = "chart_of_accounts.toml"
APPROVALS_FILE: Final = "approvals.toml"

MAX_INTEGER: Final = 2**31 - 1
"""What the tables hold."""

_EXPRESSIONS: Final = ("amount", "condition")
_T = TypeVar("_T", str, int, bool, date)
_EXAMPLES: Final[Mapping[type, str]] = {str: '"text"', int: "1", bool: "true", date: "2025-01-31"}


def load_rule_set(name: str, directory: Path = SHIPPED_RULES) -> RuleSet:
    """Read the rule set `<name>.toml` and the chart beside it.

    Raises:
        RuleFileError: a missing file, bad TOML, a missing, unknown or mistyped key, or a value that makes no sense.
        ExpressionError: an amount or condition that is refused; its culprit names file and key too.
    """
    if Path(name).name != name or not name.isprintable():
        raise RuleFileError(quoted(name), "a rule set is named like its file", "write a name without directory")
    chart = _read(directory / CHART_FILE)
    accounts = tuple(_account(table) for table in chart.tables("account"))
    chart.finish()
    table = _read(directory / f"{name}.toml")
    with table.naming_the_place():
        rule_set = RuleSet(
            name=table.get("name", str),
            version=table.get("version", int),
            prepared_by=table.get("prepared_by", str),
            accounts=accounts,
            products=table.texts("products"),
            templates=tuple(_template(item) for item in table.tables("template")),
            overrides=tuple(_override(item) for item in table.tables("override")),
        )
    table.finish()
    if rule_set.name != name:
        raise RuleFileError(f"{name}.toml, name", f"it says {rule_set.name!r}", "give file and rule set one name")
    return rule_set


def rule_sets_in(directory: Path = SHIPPED_RULES) -> tuple[str, ...]:
    """The names of the rule sets that a directory holds: its TOML files but the chart and the approvals."""
    names = {file.stem for file in directory.glob("*.toml") if file.name not in (CHART_FILE, APPROVALS_FILE)}
    return tuple(sorted(names))


def load_approvals(directory: Path = SHIPPED_RULES) -> tuple[Approval, ...]:
    """Read `approvals.toml`; a directory without one has no approvals (they can be given by command instead).

    Raises:
        RuleFileError: as `load_rule_set`.
    """
    if not (directory / APPROVALS_FILE).exists():
        return ()
    table = _read(directory / APPROVALS_FILE)
    approvals = tuple(_approval(item) for item in table.tables("approval"))
    table.finish()
    return approvals


class _Table:
    """A TOML table that knows where it stands and which of its keys were asked for."""

    def __init__(self, content: Mapping[str, object], file: str, path: str = "") -> None:
        self._content = content
        self._file = file
        self._path = path
        self._known: set[str] = set()

    def where(self, key: str = "") -> str:
        """File and key, as messages show them."""
        path = ".".join(part for part in (self._path, key) if part)
        return f"{self._file}, {path}" if path else self._file

    def get(self, key: str, kind: type[_T]) -> _T:
        """A value that must be there."""
        value = self.find(key, kind)
        if value is None:
            raise RuleFileError(self.where(key), "the key is missing", f"add {key} = {_EXAMPLES[kind]}")
        return value

    def find(self, key: str, kind: type[_T]) -> _T | None:
        """A value that may be left out."""
        self._known.add(key)
        value = self._content.get(key)
        # In Python a bool is an int and a datetime is a date; in a rule file they are mistakes.
        odd = (isinstance(value, bool) and kind is not bool) or isinstance(value, datetime)
        if value is not None and (odd or not isinstance(value, kind)):
            shown = quoted(value)
            raise RuleFileError(self.where(key), f"{shown} is not a {kind.__name__}", f"write {_EXAMPLES[kind]}")
        if isinstance(value, str):
            self._demand_text(key, value)
        elif isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise RuleFileError(self.where(key), f"{quoted(value)} is too large", f"write up to {MAX_INTEGER}")
        return value

    def _demand_text(self, key: str, text: str) -> None:
        """Refuse what no table could store, or no reader would see."""
        longest = MAX_LENGTH if key in _EXPRESSIONS else LONGEST_TEXT
        if len(text.encode()) > longest or not text.replace("\n", " ").replace("\t", " ").isprintable():
            rule = f"the text is longer than {longest} bytes or has characters that cannot be seen"
            raise RuleFileError(self.where(key), rule, "shorten it, and leave out what cannot be seen")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts that must be there."""
        self._known.add(key)
        values = self._content.get(key)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise RuleFileError(self.where(key), "a list of texts is expected", f'write {key} = ["text"]')
        for value in values:
            self._demand_text(key, value)
        return tuple(values)

    def tables(self, key: str) -> Iterator["_Table"]:
        """The tables of a list that may be left out."""
        self._known.add(key)
        items = self._content.get(key, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise RuleFileError(self.where(key), "a list of tables is expected", f"write [[{key}]]")
        for number, item in enumerate(items, 1):
            table = _Table(item, self._file, ".".join(part for part in (self._path, f"{key}[{number}]") if part))
            yield table
            table.finish()

    def table(self, key: str) -> "_Table | None":
        """A table that may be left out."""
        self._known.add(key)
        item = self._content.get(key)
        if item is not None and not isinstance(item, dict):
            raise RuleFileError(self.where(key), "a table is expected", f"write {key} = {{ key = value }}")
        return None if item is None else _Table(item, self._file, f"{self._path}.{key}")

    def finish(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._content:
            if key not in self._known:
                known = ", ".join(sorted(self._known))
                raise RuleFileError(self.where(key), "there is no such key", f"remove it or use one of {known}")

    @contextmanager
    def naming_the_place(self, key: str = "") -> Iterator[None]:
        """Put file and key before the culprit of what a constructor or parser refuses."""
        try:
            yield
        except RuleFileError:
            raise
        except ExpressionError as error:
            if error.where:
                raise
            raise error.at(self.where(key)) from error
        except RuleError as error:
            raise RuleFileError(f"{self.where(key)}: {error.culprit}", error.rule, error.fix) from error


def _read(file: Path) -> _Table:
    try:
        return _Table(tomllib.loads(file.read_text(encoding="utf-8")), file.name)
    except FileNotFoundError as error:
        raise RuleFileError(file.name, "the rule file is missing", f"create it in {file.parent.name}/") from error
    except OSError as error:
        raise RuleFileError(file.name, f"it cannot be read ({error.strerror})", "check name and permissions") from error
    except ValueError as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise RuleFileError(file.name, f"it is not TOML: {error}", "correct the line that is named") from error
    except RecursionError as error:
        raise RuleFileError(
            file.name, "it is nested too deeply", "write lists of tables, as the shipped files do"
        ) from error


def _account(table: _Table) -> Account:
    recognition = table.table("recognises")
    recognises = (recognition.get("source_type", str), recognition.get("component", str)) if recognition else None
    with table.naming_the_place():
        account = Account(
            account_code=table.get("account_code", str),
            description=table.get("description", str),
            account_type=cast("AccountType", table.get("account_type", str)),  # Account checks it
            fund=table.get("fund", str),
            is_open=table.find("is_open", bool) is not False,
            mirror_account_code=table.find("mirror_account_code", str),
            recognises=recognises,
        )
    if recognition:
        recognition.finish()
    return account


def _template(table: _Table) -> Template:
    with table.naming_the_place():
        return Template(
            code=table.get("code", str),
            version=table.get("version", int),
            source_type=table.get("source_type", str),
            description=table.get("description", str),
            effective_from=table.get("effective_from", date),
            effective_to=table.find("effective_to", date),
            requires_approval=table.find("requires_approval", bool) is not False,
            is_enabled=table.find("is_enabled", bool) is not False,
            matches=tuple(_match(item) for item in table.tables("matches")),
            lines=tuple(_line(item) for item in table.tables("lines")),
        )


def _match(table: _Table) -> TemplateMatch:
    condition = table.find("condition", str)
    priority = table.find("priority", int)
    with table.naming_the_place("condition"):
        return TemplateMatch(
            product_code=table.find("product_code", str),
            channel=table.find("channel", str),
            condition=None if condition is None else parse_condition(condition),
            priority=TemplateMatch.priority if priority is None else priority,
        )


def _line(table: _Table) -> TemplateLine:
    with table.naming_the_place("amount"):
        amount = parse_amount(table.get("amount", str))
    with table.naming_the_place():
        return TemplateLine(
            line_number=table.get("line_number", int),
            entry=table.get("entry", int),
            side=cast("Side", table.get("side", str)),  # TemplateLine checks it
            account_code=table.get("account_code", str),
            fund=table.get("fund", str),
            amount=amount,
            takes_remainder=table.find("takes_remainder", bool) is True,
        )


def _override(table: _Table) -> AccountOverride:
    return AccountOverride(
        product_code=table.get("product_code", str),
        channel=table.find("channel", str),
        account_code=table.get("account_code", str),
        replacement_account_code=table.get("replacement_account_code", str),
    )


def _approval(table: _Table) -> Approval:
    return Approval(
        rule_set=table.get("rule_set", str),
        version=table.get("version", int),
        sha256=table.get("sha256", str),
        approved_by=table.get("approved_by", str),
        approved_on=table.get("approved_on", date),
    )
