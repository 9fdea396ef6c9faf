"""What the environment may decide, read in one place.

Belongs here: the variables, their defaults and their validation. Does not belong here: anything that
acts on them. Everything else in the package is given a `Settings` and never looks at `os.environ`, so
that a test can call it with the settings it wants.
"""

import base64
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

_PROJECT_ROOT = Path(__file__).resolve().parent.parent
_PERIOD = re.compile(r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])")
_CURRENCY = re.compile(r"[A-Z]{3}")

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """An environment variable holds something unusable; the message names it, its value and the fix."""

    def __init__(self, variable: str, value: str, fix: str) -> None:
        super().__init__(f"{variable} is {value!r}: {fix}")


@dataclass(frozen=True)
class Settings:
    """The decisions of one installation.

    `database_url` and `signing_key` stay out of the repr: they are secrets, and reprs end in logs.
    """

    database_url: str | None = field(default=None, repr=False)
    home: Path = _PROJECT_ROOT / ".ledger"
    first_period: str = "2024-01"
    rules: Path = _PROJECT_ROOT / "ledger_assets" / "accounting" / "rules"
    rule_set: str = "combined"
    currency: str | None = None
    signing_key: bytes | None = field(default=None, repr=False)
    close_due_day: int = 5
    alerts: Path | None = None
    ui_url: str = "http://localhost:3000"
    archive_directory: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the LEDGER_* variables; one that is empty counts as unset.

        Raises SettingsError for a value that cannot be used, before anything has been started with it.
        """
        given = {name: text for name in environ if name.startswith("LEDGER_") if (text := environ[name].strip())}
        return cls(
            database_url=_database_url(given),
            home=_home(given),
            first_period=_first_period(given),
            rules=_rules(given),
            rule_set=_rule_set(given),
            currency=_currency(given),
            signing_key=_signing_key(given),
            close_due_day=_close_due_day(given),
            alerts=_alerts(given),
            ui_url=_ui_url(given),
            archive_directory=_archive(given),
        )

    @property
    def archive(self) -> Path:
        """Where archived months lie."""
        return self.archive_directory or self.home / "archive"

    @property
    def project_root(self) -> Path:
        """The directory that holds sql/, dagster.yaml and workspace.yaml."""
        return _PROJECT_ROOT


@dataclass(frozen=True)
class LogSettings:
    """How the commands log what they do. Apart from the others: a command logs whatever else is wrong with them."""

    notation: str
    level: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """LEDGER_LOG_FORMAT and LEDGER_LOG_LEVEL; None when neither is set: then nothing is logged."""
        given = {name: text for name in environ if name.startswith("LEDGER_") and (text := environ[name].strip())}
        notation = _one_of(given, "LEDGER_LOG_FORMAT", LOG_FORMATS)
        level = _one_of(given, "LEDGER_LOG_LEVEL", LOG_LEVELS)
        return cls(notation or "text", level or "INFO") if notation or level else None


def let_polars_keep_memory(environ: MutableMapping[str, str] = os.environ) -> None:
    """Before Polars is imported: what it no longer needs it keeps for half a minute, instead of half a second.

    A close takes the same memory again for its next shard. To give it back and to be given new pages cost as much as
    the expansion itself: 0.6 instead of 0.3 CPU seconds for 8 million lines. Whoever has set the variable has his way.
    """
    environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:30000")


def secret(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """A variable that another file names, such as a password of an alert's channel; None when empty or unset."""
    return environ.get(name) or None


def _home(given: Mapping[str, str]) -> Path:
    """A relative home hangs on the project, not on whatever directory a process happens to run in."""
    return _PROJECT_ROOT / Path(given.get("LEDGER_HOME", ".ledger")).expanduser()


def _archive(given: Mapping[str, str]) -> Path | None:
    return _PROJECT_ROOT / Path(given["LEDGER_ARCHIVE"]).expanduser() if "LEDGER_ARCHIVE" in given else None


def _rules(given: Mapping[str, str]) -> Path:
    if "LEDGER_RULES" not in given:
        return Settings.rules
    directory = _PROJECT_ROOT / Path(given["LEDGER_RULES"]).expanduser()
    if not directory.is_dir():
        raise SettingsError(
            "LEDGER_RULES", given["LEDGER_RULES"], "name a directory with chart_of_accounts.toml and rule sets"
        )
    return directory


def _first_period(given: Mapping[str, str]) -> str:
    value = given.get("LEDGER_FIRST_PERIOD", Settings.first_period)
    if not _PERIOD.fullmatch(value):
        raise SettingsError("LEDGER_FIRST_PERIOD", value, "write a month as YYYY-MM, for example 2024-01")
    return value


def _rule_set(given: Mapping[str, str]) -> str:
    value = given.get("LEDGER_RULE_SET", Settings.rule_set)
    if not value.isprintable():  # nor are the bytes that were not UTF-8
        raise SettingsError("LEDGER_RULE_SET", value, "write the name of a rule set, for example combined")
    return value


def _currency(given: Mapping[str, str]) -> str | None:
    value = given.get("LEDGER_CURRENCY")
    if value is not None and not _CURRENCY.fullmatch(value):
        raise SettingsError("LEDGER_CURRENCY", value, "write the three capital letters of ISO 4217, for example IDR")
    return value


def _alerts(given: Mapping[str, str]) -> Path | None:
    """Read when something is to be sent, and not before: a mistake in it stops no close."""
    return _PROJECT_ROOT / Path(given["LEDGER_ALERTS"]).expanduser() if "LEDGER_ALERTS" in given else None


def _ui_url(given: Mapping[str, str]) -> str:
    value = given.get("LEDGER_UI_URL", Settings.ui_url)
    if not re.fullmatch(r"https?://[^\s/@]+(/[^\s@]*)?", value):
        raise SettingsError(
            "LEDGER_UI_URL", _shown(value), "write where people open the UI: https://HOST or http://HOST:PORT"
        )
    return value.rstrip("/")


def _one_of(given: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str | None:
    value = given.get(variable)
    if value is not None and value not in choices:
        raise SettingsError(variable, value, f"write {' or '.join(choices)}")
    return value


def _signing_key(given: Mapping[str, str]) -> bytes | None:
    """The seed of the key that signs certificates. What is wrong with it is said without showing any of it."""
    value = given.get("LEDGER_SIGNING_KEY")
    if value is None:
        return None
    try:
        seed = base64.b64decode(value, validate=True)
    except ValueError:  # from None: the cause may quote the value
        seed = b""
    if len(seed) != 32:
        raise SettingsError(
            "LEDGER_SIGNING_KEY", "(not shown)", "write 32 random bytes in base64: openssl rand -base64 32"
        )
    return seed


def _close_due_day(given: Mapping[str, str]) -> int:
    """A day that every month has."""
    value = given.get("LEDGER_CLOSE_DUE_DAY", str(Settings.close_due_day))
    if not re.fullmatch(r"[1-9]|1[0-9]|2[0-8]", value):
        raise SettingsError("LEDGER_CLOSE_DUE_DAY", value, "write a day of the following month, 1 to 28, for example 5")
    return int(value)


def _database_url(given: Mapping[str, str]) -> str | None:
    value = given.get("LEDGER_DATABASE_URL")
    if value is None:
        return None
    fix = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or unset it to use the embedded server"
    if not value.startswith(("postgresql://", "postgres://")):
        raise SettingsError("LEDGER_DATABASE_URL", _shown(value), f"it is not the URL of a PostgreSQL database; {fix}")
    try:
        path, problem = urlsplit(value).path, ""
    except ValueError:  # whose message may quote the password
        path, problem = "-", "it cannot be read as a URL"
    if not path.strip("/"):
        problem = "it names no database"
    if problem:
        raise SettingsError("LEDGER_DATABASE_URL", _shown(value), f"{problem}; {fix}")
    return value


def _shown(url: str) -> str:
    """What an error may quote of a URL: never the credentials, nor the query, which may carry them too."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}" if separator else "(not shown)"
