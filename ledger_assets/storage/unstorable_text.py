"""Text that PostgreSQL cannot hold, refused or made visible before it gets there.

Here: NUL, and the halves of characters that Python makes of bytes that are not UTF-8 (file names, arguments). Not here:
text that can be stored but should not be (accounting).
"""

import json
import re
from typing import Any, Final

import psycopg
from psycopg.types.json import set_json_dumps
from psycopg.types.string import StrDumperUnknown

from ledger_assets.accounting.errors import LedgerError, quoted

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


class UnstorableTextError(LedgerError):
    """A text with a character that no database column can hold."""


def demand_storable(text: str) -> str:
    """The text itself.

    Raises:
        UnstorableTextError: it holds NUL, or bytes that are not UTF-8.
    """
    if _UNSTORABLE.search(text):
        raise UnstorableTextError(
            f"text {quoted(text)}", "it holds NUL or bytes that are not UTF-8", "write it in UTF-8, without NUL"
        )
    return text


def storable(text: str) -> str:
    r"""The text with such characters spelled out, as in `\u0000`: for a message, which has to be recorded anyhow."""
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def refuse_unstorable_text(connection: psycopg.Connection) -> None:
    """From now on a statement with such a parameter raises UnstorableTextError and is not sent.

    In JSON, where reasons and messages go, the character is spelled out instead: a failure has to be recorded whatever
    its message holds.
    """
    connection.adapters.register_dumper(str, _Text)
    set_json_dumps(_json, connection)


class _Text(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        return super().dump(demand_storable(obj))


def _json(value: Any) -> str:
    # JSON writes NUL and half characters as \uXXXX, after an even number of backslashes; PostgreSQL refuses those.
    return re.sub(r"(?<!\\)((?:\\\\)*)\\(u0000|u[dD][89a-fA-F][0-9a-fA-F]{2})", _spelled_out, json.dumps(value))


def _spelled_out(match: re.Match[str]) -> str:
    return rf"{match[1]}\\{match[2]}"
