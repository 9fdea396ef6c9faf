"""Sending what is due, through apprise.

Each delivery is claimed, sent and settled in one transaction of its own: two senders never send the same. If a sender
dies, or loses its connection, between sending and committing, the message is sent once more: at least once, never lost.
"""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ledger_assets.accounting.counting import counted
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.masking import masked_text
from ledger_assets.alerts.channels import Channel, read_channels
from ledger_assets.alerts.message import Message, message_about, test_message
from ledger_assets.settings import Settings
from ledger_assets.storage.database import connect, in_transaction
from ledger_assets.storage.incidents import claim_delivery, kinds, plan_deliveries, settle_delivery

SECONDS: Final = 30.0
"""How long one round goes on before it leaves the rest to the next: a sensor's tick may take a minute."""

_LOG = logging.getLogger(__name__)
_SHORTEST_SECRET: Final = 4
_URL: Final = re.compile(r"\b[a-z][a-z0-9+]*://\S+", re.IGNORECASE)
_REASONS: Final = re.compile(r"\[Errno -?\d+\] [A-Za-z ,]+|timed out|Read timed out")
_KINDS_OF_MESSAGE: Final = {"INFO": "info", "WARNING": "warning", "RESOLVED": "success"}


@dataclass
class Round:
    """What became of a round of sending."""

    is_configured: bool = True
    planned: int = 0
    sent: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """One sentence."""
        if not self.is_configured:
            return "LEDGER_ALERTS is not set: incidents are recorded and shown, and nobody is told"
        if not self.sent and not self.failures:
            return "nothing is due"
        return "; ".join([f"{counted(self.sent, 'message')} sent", *self.failures])


def send_due(settings: Settings, url: str, *, performed_by: str | None = None, seconds: float = SECONDS) -> Round:
    """Plan and send what is due; safe to repeat, and at the same time as somebody else.

    Raises AlertsFileError when the file of LEDGER_ALERTS cannot be used. A channel that does not work is no reason to
    raise: it is written down, and tried again later.
    """
    known = [row["kind"] for row in in_transaction(url, kinds)]
    channels = read_channels(settings, known)
    if channels is None:
        return Round(is_configured=False)
    plans = [channel.plan() for channel in channels]
    result = Round(planned=in_transaction(url, lambda connection: plan_deliveries(connection, plans)))
    by_name = {channel.name: channel for channel in channels}
    until = time.monotonic() + seconds
    while time.monotonic() < until and _send_one(settings, url, by_name, result, performed_by):
        pass
    return result


def _send_one(
    settings: Settings, url: str, channels: dict[str, Channel], result: Round, performed_by: str | None
) -> bool:
    """Send the next one; False when there is none. Not tried again when the connection is lost: it may be sent."""
    with connect(url) as connection:
        due = claim_delivery(connection, list(channels))
        if due is None:
            return False
        channel = channels[due["channel"]]
        error = send(channel, message_about(due, settings.ui_url))
        status = settle_delivery(connection, due["delivery_id"], error=error, performed_by=performed_by)
    particulars = {"incident": due["incident_id"], "channel": channel.name, "status": status, "tries": due["tries"] + 1}
    _LOG.info("alert %s", status.lower(), extra=particulars)
    if error is None:
        result.sent += 1
    else:
        given_up = "given up" if status == "GIVEN_UP" else "will be tried again"
        result.failures.append(f"incident {due['incident_id']} to {channel.name}: {error} ({given_up})")
    return True


def send_tests(settings: Settings, only: str | None = None) -> dict[str, str | None]:
    """Send a test message to one channel, or to all: channel -> what went wrong, None for nothing.

    Raises AlertsFileError when the file cannot be used, or names no such channel.
    """
    channels = read_channels(settings) or []
    if only is not None and only not in {channel.name for channel in channels}:
        names = ", ".join(channel.name for channel in channels) or "none"
        raise LedgerError(f"channel {only}", "LEDGER_ALERTS names no such channel", f"there are: {names}")
    return {
        channel.name: send(channel, test_message(channel.name, datetime.now(UTC)))
        for channel in channels
        if only in (None, channel.name)
    }


def send(channel: Channel, message: Message) -> str | None:
    """Send one message. None when the channel took it, else why not, without its address and secrets."""
    import apprise  # noqa: PLC0415 - a quarter of a second, for those who send

    try:
        address = channel.address()
    except LedgerError as refusal:
        return str(refusal)
    with _apprises_words() as words:
        try:
            service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
            if service is None:
                return "apprise does not understand the address: look at docs/alerts.md for its form"
            body, body_format = _in_its_form(service.notify_format, message)
            took = service.notify(
                title=message.title,
                body=body,
                body_format=body_format,
                notify_type=apprise.NotifyType(_KINDS_OF_MESSAGE.get(message.severity, "failure")),
            )
        except Exception as fault:  # noqa: BLE001 - a plug-in of apprise may raise anything, with the address in it
            return f"apprise failed: {type(fault).__name__}"
    return None if took else _reason(words, address, channel)


def _in_its_form(takes: Any, message: Message) -> tuple[str, Any]:
    """The body for a service by what it takes: one format, or several, the one that suits it best first.

    Text is made into Markdown by apprise where nothing else is taken, but its lines run into one there, and an address
    is no link: those get a body of their own.
    """
    from apprise import NotifyFormat  # noqa: PLC0415 - as above

    formats = takes if isinstance(takes, tuple) else (takes,)
    if formats[0] == NotifyFormat.HTML:
        return message.html, NotifyFormat.HTML
    if NotifyFormat.TEXT in formats:
        return message.text, NotifyFormat.TEXT
    return message.markdown or message.text, NotifyFormat.MARKDOWN


@contextmanager
def _apprises_words() -> Iterator[list[logging.LogRecord]]:
    """What apprise logs in this thread meanwhile. It goes nowhere else: its lines may hold the address."""
    words: list[logging.LogRecord] = []
    logger, me = logging.getLogger("apprise"), threading.get_ident()
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.INFO)  # below that it logs paths, in which webhooks have their secret

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == me:
                words.append(record)

    listener = Listener()
    logger.addHandler(listener)
    try:
        yield words
    finally:
        logger.removeHandler(listener)


def _reason(words: list[logging.LogRecord], address: str, channel: Channel) -> str:
    """Why it was not taken, in apprise's words, with nothing in them that the address has beside the host."""
    said = [" ".join(one.getMessage().split()) for one in words if one.levelno >= logging.WARNING]
    said += [found for one in words if one.levelno < logging.WARNING for found in _REASONS.findall(one.getMessage())]
    text = _URL.sub("(address)", "; ".join(dict.fromkeys(said)) or "the channel did not take it")
    for part in sorted(_parts_to_hide(address, channel), key=len, reverse=True):
        text = text.replace(part, "****")
    return masked_text(text)[:300]


def _parts_to_hide(address: str, channel: Channel) -> set[str]:
    parts = urlsplit(address)
    found = [*channel.secrets(), parts.username or "", parts.password or "", *parts.path.split("/")]
    found += [value for pair in parts.query.split("&") for value in pair.partition("=")[2:]]
    both = {form for part in found for form in (part, unquote(part))}
    return {part for part in both if len(part) >= _SHORTEST_SECRET}
