"""What the commands do, as lines on standard error for whoever collects logs.

Belongs here: setting it up, and what may stand in a line. Unless LEDGER_LOG_FORMAT or LEDGER_LOG_LEVEL says so, nothing
is logged and structlog is not imported. Not here: the audit trail (storage/audit), which does not depend on anybody's
settings, and what Dagster logs of its runs.

A line has no secret, no address with a password, and personal data only masked: account and policy numbers with
their last four characters; names, e-mail, telephone and addresses not at all.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

import click

from ledger_assets.accounting.masking import masked_record
from ledger_assets.settings import LogSettings
from ledger_assets.visible import on_one_line

_PACKAGE: Final = "ledger_assets"
_LOG: Final = logging.getLogger(_PACKAGE)
_SAID_OF_PARAMETERS: Final = frozenset({"period", "batch", "batch_id", "dry_run", "chain", "load_id", "incident"})
"""Parameters of commands that a line names. A reason, a name or a file's path may hold anything."""

_NEVER: Final = frozenset({
    "name", "customer_name", "participant", "email", "phone", "address", "raw", "url", "dsn", "password", "token",
    "secret",
})  # fmt: skip
_OURS: Final = frozenset({"timestamp", "level", "logger", "run_id", "seconds", "exit_code"})
"""Fields that hold nothing from outside; a run's id may look like a telephone number."""
_ADDRESS: Final = re.compile(r"\b([a-z][a-z0-9+]*)://\S+", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"\b(password|passwd|token|secret)\s*[=:]\s*\S+", re.IGNORECASE)


class _Command:
    """The command that runs in this process."""

    def __init__(self) -> None:
        self.settings: LogSettings | None = None
        self.started: float | None = None
        self.fields: dict[str, Any] = {}


_command = _Command()


@contextmanager
def written(settings: LogSettings | None) -> Iterator[None]:
    """While this lasts, what the package logs is written as the settings say; without any, as Python does."""
    global _command  # noqa: PLW0603 - a process runs one command, tests several one after the other
    before, _command = _command, _Command()
    _command.settings = settings
    handler = None if settings is None else _handler(settings)
    level, propagates = _LOG.level, _LOG.propagate
    if handler is not None and settings is not None:
        _LOG.addHandler(handler)
        _LOG.setLevel(settings.level)
        _LOG.propagate = False
    try:
        yield
    finally:
        _command = before
        if handler is not None:
            _LOG.removeHandler(handler)
            _LOG.setLevel(level)
            _LOG.propagate = propagates


def announced(command: click.Command) -> Callable[..., Any] | None:
    """The command's function, saying first that it starts."""
    work = command.callback
    if work is None:
        return None

    @wraps(work)
    def begin(**parameters: Any) -> Any:
        given = {name: value for name, value in parameters.items() if name in _SAID_OF_PARAMETERS and value}
        _command.started = time.perf_counter()
        _command.fields = {"command": command.name, **given}
        _LOG.info("started", extra=_command.fields)
        return work(**parameters)

    return begin


def note(**fields: Any) -> None:
    """What the command has found out, for its last line."""
    _command.fields |= {name: value for name, value in fields.items() if value not in (None, [])}


def error(message: str) -> bool:
    """Write an error where the log is JSON; False where it is to be printed."""
    if _command.settings is None or _command.settings.notation != "json":
        return False
    _LOG.error("error", extra={**_command.fields, "problem": message})
    return True


def unexpected(fault: Exception) -> bool:
    """Likewise of an error that nobody expected: its type and place. What it says may quote data."""
    frames = traceback.extract_tb(fault.__traceback__)
    place = next(
        (f"{one.filename.rpartition('/')[2]}:{one.lineno}" for one in reversed(frames) if _PACKAGE in one.filename), ""
    )
    return error(
        f"unexpected {type(fault).__name__} at {place or 'start'}; run it with LEDGER_LOG_FORMAT=text to see all of it"
    )


def finished(exit_code: int) -> None:
    """The last line of a command that had started."""
    if _command.started is None:
        return
    seconds = round(time.perf_counter() - _command.started, 3)
    level = logging.INFO if exit_code == 0 else logging.WARNING
    if _command.settings is not None:  # without a set-up Python shows warnings on stderr
        _LOG.log(level, "finished", extra={**_command.fields, "exit_code": exit_code, "seconds": seconds})


# ------------------------------------------------------------------------------------------------ lines


def _handler(settings: LogSettings) -> logging.Handler:
    import structlog  # noqa: PLC0415 - for those who want a log

    in_order = ["timestamp", "level", "event"]
    renderer: Any = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    if settings.notation == "text":
        renderer = structlog.processors.KeyValueRenderer(key_order=in_order)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[
                _without_traceback,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                masked,
                renderer,
            ],
        )
    )
    return handler


def _without_traceback(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception by its type: its text and its traceback may quote data."""
    raised = line.pop("exc_info", None)
    if raised and raised[0] is not None:
        line["error"] = raised[0].__name__
    return line


def masked(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A line as it may be read by anybody."""
    return {name: value if name in _OURS else _masked(name, value) for name, value in line.items()}


def _masked(name: str, value: Any) -> Any:
    if name.lower() in _NEVER:
        return "(not shown)"
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _masked(str(key), inside) for key, inside in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(name, inside) for inside in value]
        case _:
            text = _PASSWORD.sub(r"\1=****", _ADDRESS.sub(r"\1://****", on_one_line(str(value))))
            return masked_record({name: text})[name]
