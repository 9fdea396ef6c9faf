"""The channels that LEDGER_ALERTS names: who is told what, and where.

Here: reading and checking the file. Not here: sending (delivery). A channel's address is made from the file and the
environment when something is sent, and is stored, logged and shown nowhere: it may hold a password.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ledger_assets.accounting.errors import LedgerError, quoted
from ledger_assets.settings import Settings, secret
from ledger_assets.storage.incidents import SEVERITIES

_NAME: Final = re.compile(r"[a-z0-9_-]{1,40}")
_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_KEYS: Final = ("url", "from_severity", "kinds", "resolved")


class AlertsFileError(LedgerError):
    """The file of LEDGER_ALERTS cannot be used: the culprit names file, line and key, and quotes no address."""


@dataclass(frozen=True)
class Channel:
    """Where messages go, and which.

    Args:
        name: what people call it; the only thing of it that is stored.
        template: the address with `${VARIABLE}` where a secret stands; out of the repr, because it may hold one.
        from_severity: incidents of this severity and above.
        kinds: only these; None: all.
        resolved: whether to say as well that an incident is over.
        place: file, line and channel, for messages of errors.
    """

    name: str
    template: str = field(repr=False)
    from_severity: str = "WARNING"
    kinds: tuple[str, ...] | None = None
    resolved: bool = True
    place: str = ""

    def address(self) -> str:
        """The address with its secrets from the environment, percent-encoded where they are a part of it.

        Raises AlertsFileError naming a variable that is not set.
        """
        return _REFERENCE.sub(self._value, self.template)

    def secrets(self) -> list[str]:
        """The values of its variables."""
        return [value for name in _REFERENCE.findall(self.template) if (value := secret(name))]

    def _value(self, reference: re.Match[str]) -> str:
        value = secret(reference[1])
        if value is None:
            raise AlertsFileError(
                self.place,
                f"url names the variable {reference[1]}, which is not set",
                "set it where the alerts are sent (Dagster's daemon, the cron job)",
            )
        return value if reference[0] == self.template else quote(value, safe="")

    def plan(self) -> dict[str, Any]:
        """What the database has to know to plan its messages."""
        return {
            "channel": self.name,
            "from_severity": self.from_severity,
            "kinds": self.kinds,
            "resolved": self.resolved,
        }


def read_channels(settings: Settings, kinds: Collection[str] = ()) -> list[Channel] | None:
    """The channels of the file; None when LEDGER_ALERTS is not set.

    Args:
        kinds: the kinds of incidents that there are; without them a channel's kinds are not checked.

    Raises AlertsFileError for a file that cannot be used.
    """
    if settings.alerts is None:
        return None
    return _File(settings.alerts).channels(kinds)


def problem_of(settings: Settings) -> str | None:
    """What is wrong with the file of LEDGER_ALERTS, or with the variables that it names; nothing is sent."""
    try:
        for channel in read_channels(settings) or []:
            channel.address()
    except AlertsFileError as refusal:
        return str(refusal)
    return None


class _File:
    """One file, with the places that errors name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_text(encoding="utf-8")
            self._content = tomllib.loads(self._text)
        except OSError as fault:
            raise AlertsFileError(
                str(path), f"it cannot be read ({fault.strerror})", "correct LEDGER_ALERTS"
            ) from fault
        except UnicodeDecodeError:
            raise AlertsFileError(str(path), "it is not UTF-8", "save it as UTF-8") from None
        except tomllib.TOMLDecodeError as fault:
            raise AlertsFileError(str(path), f"it is not TOML ({fault})", "correct that place") from None

    def channels(self, kinds: Collection[str]) -> list[Channel]:
        """Every channel, in the order of the file."""
        for key in self._content:
            if key != "channels":
                raise self._wrong(f"{key} means nothing here", "write [channels.NAME]", key=key)
        tables = self._content.get("channels")
        if not isinstance(tables, dict) or not tables:
            raise self._wrong("it names no channel", 'write [channels.finance] and below it url = "mailtos://..."')
        return [self._channel(name, table, kinds) for name, table in tables.items()]

    def _channel(self, name: str, table: Any, kinds: Collection[str]) -> Channel:
        if not _NAME.fullmatch(name):
            fix = "use up to 40 small letters, digits, - and _"
            raise self._wrong(f"{quoted(name)} is no name for a channel", fix, name)
        if not isinstance(table, dict):
            raise self._wrong("it is no table", f"write [channels.{name}]", name)
        for key in table:
            if key not in _KEYS:
                raise self._wrong(f"{quoted(key)} means nothing", f"use {', '.join(_KEYS)}", name, key)
        url = table.get("url")
        if not isinstance(url, str) or not (_REFERENCE.fullmatch(url) or re.match(r"[a-z0-9+]+://.", url)):
            fix = "write an address of apprise such as mailtos://..., or ${VARIABLE} with one in it; docs/alerts.md"
            raise self._wrong("url is missing, or is no address (not shown)", fix, name, "url")
        if "${" in _REFERENCE.sub("", url):
            raise self._wrong("url has a ${ that names no variable", "write ${NAME_OF_THE_VARIABLE}", name, "url")
        severity = table.get("from_severity", Channel.from_severity)
        if severity not in SEVERITIES:
            raise self._wrong(
                f"from_severity is {quoted(severity)}", f"write {', '.join(SEVERITIES)}", name, "from_severity"
            )
        resolved = table.get("resolved", True)
        if not isinstance(resolved, bool):
            raise self._wrong(f"resolved is {quoted(resolved)}", "write true or false", name, "resolved")
        wanted = self._kinds(name, table, kinds)
        return Channel(name, url, severity, wanted, resolved, self._place(name, "url"))

    def _kinds(self, name: str, table: Mapping[str, Any], known: Collection[str]) -> tuple[str, ...] | None:
        if "kinds" not in table:
            return None
        wanted = table["kinds"]
        fix = 'write a list such as ["GATE_FAILED", "RUN_FAILED"], or leave it out for all'
        if not isinstance(wanted, list) or not wanted or not all(isinstance(kind, str) for kind in wanted):
            raise self._wrong(f"kinds is {quoted(wanted)}", fix, name, "kinds")
        for kind in wanted:
            if known and kind not in known:
                raise self._wrong(f"there is no kind {quoted(kind)}", f"use {', '.join(known)}", name, "kinds")
        return tuple(wanted)

    def _wrong(self, rule: str, fix: str, channel: str | None = None, key: str | None = None) -> AlertsFileError:
        return AlertsFileError(self._place(channel, key), rule, fix)

    def _place(self, channel: str | None = None, key: str | None = None) -> str:
        """File, line and channel. The line is looked for in the text, because TOML's reader does not tell it."""
        lines = self._text.splitlines()
        start = 0
        if channel is not None:
            heading = re.compile(rf"\s*\[\s*channels\s*\.\s*[\"']?{re.escape(channel)}[\"']?\s*\]")
            start = next((at for at, line in enumerate(lines) if heading.match(line)), -1)
        found = start
        if key is not None and start >= 0:
            keyed = re.compile(rf"\s*\[?\s*[\"']?{re.escape(key)}\b")
            found = next((at for at in range(start, len(lines)) if keyed.match(lines[at])), start)
        where = f", line {found + 1}" if found >= 0 and (channel or key) else ""
        return f"{self._path}{where}" + (f", [channels.{channel}]" if channel else "")
