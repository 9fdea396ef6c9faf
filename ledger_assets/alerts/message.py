"""What a message says: the incident as a title, a text and a page.

Belongs here: wording. It gets counts and totals only; personal data was masked when the incident was opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from ledger_assets.visible import in_markdown, on_one_line

SEVERITY_OF_THE_END: Final = "RESOLVED"
LONGEST_TITLE: Final = 240
"""Characters. apprise cuts, or refuses, titles from 250 on."""

LONGEST_DETAIL: Final = 3_000
"""Characters. A card of Teams may have 28 KB with all that is around it, an attachment of Slack 8,000 characters."""

_NOTICES: Final = ("ROLLED_BACK",)
"""Kinds that only tell of what has happened: nothing of them is ever over."""
_FACTS: Final = ("expected", "actual", "difference")


@dataclass(frozen=True)
class Message:
    """One message: `text` for chats and webhooks, `html` for mail, `markdown` for those who take only that."""

    title: str
    text: str
    html: str
    severity: str
    markdown: str = ""


def message_about(incident: Mapping[str, Any], ui_url: str) -> Message:
    """The message that an incident was opened, or, where `message` is RESOLVED, that it is over."""
    was_told = incident["message"] == SEVERITY_OF_THE_END
    # Its channel was down meanwhile: nobody is to be woken for what is over, and no second message would end the first.
    is_over = was_told or (incident["resolved_at"] is not None and incident["kind"] not in _NOTICES)
    severity = SEVERITY_OF_THE_END if is_over else str(incident["severity"])
    title = _cut(on_one_line(f"[{severity}] {incident['title']}"), LONGEST_TITLE)
    checks = [_facts(check) for check in incident["details"].get("checks", [])]
    facts = {
        "title": title,
        "is_over": is_over,
        "was_told": was_told,
        "incident": incident,
        "checks": checks if len(checks) > 1 else [],
        "difference": checks[0]["difference"] if len(checks) == 1 else "",
        "detail": _cut(incident["details"].get("detail", ""), LONGEST_DETAIL),
        "run_url": f"{ui_url}/runs/{incident['run_id']}" if incident["run_id"] else "",
        "opened_at": utc(incident["opened_at"]),
        "resolved_at": utc(incident["resolved_at"]),
    }
    text, html, markdown = (_template(f"message.{form}.j2").render(facts) for form in ("txt", "html", "md"))
    return Message(title, text, html, severity, markdown)


def test_message(channel: str, now: datetime) -> Message:
    """What `ledger-assets test-alert` sends."""
    title = f"[TEST] ledger_assets: a test of the channel {channel}"
    text = f"If you read this, the channel {channel} works. Nothing has happened. {utc(now)}"
    return Message(title, text, f"<p>{text}</p>", "INFO", in_markdown(text))


def utc(moment: datetime | None) -> str:
    """A moment for people in any country."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def _cut(text: str, longest: int) -> str:
    """A text as long as a chat takes it; the run has the whole."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def _facts(check: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(check.get(name, "")) for name in ("check", *_FACTS)}


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("ledger_assets.alerts", ""),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["md"] = in_markdown
    return environment.get_template(name)
