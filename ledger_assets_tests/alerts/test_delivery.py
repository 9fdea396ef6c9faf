"""Messages to a real SMTP server and a real webhook: what they say, how often they come, and what a failure leaves."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from ledger_assets.alerts.channels import AlertsFileError, Channel
from ledger_assets.alerts.delivery import Round, _reason, send, send_due, send_tests
from ledger_assets.alerts.message import Message, message_about
from ledger_assets.settings import Settings
from ledger_assets.storage.database import connect
from ledger_assets.storage.incidents import claim_delivery, incidents, report_incident, resolve, retry_deliveries
from ledger_assets_tests import scenario
from ledger_assets_tests.alerts.receivers import Mailbox, Webhook, dead_port, mail_server, webhook
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY

SECRET = "s3cr3t-t0ken/with@signs"  # noqa: S105 - of nothing
RUN = "0b5a1f7e-0000-4000-8000-000000000001"
CHECKS = [
    {"asset": "staged_journal_entries", "check": "record_count", "expected": "60", "actual": "59", "difference": "-1"},
    {"asset": "staged_journal_entries", "check": "fund_reconciliation", "expected": "10.00", "actual": "<9.00>"},
]
PAUSE = "SELECT floor(extract(epoch FROM next_try_at - %s) / 60) FROM control.alert_delivery"
DUE = "UPDATE control.alert_delivery SET next_try_at = now() WHERE next_try_at IS NOT NULL"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as one:
        yield one


@pytest.fixture
def python_log() -> Iterator[io.StringIO]:
    """Everything that reaches the root logger. caplog would also listen where nothing is passed on."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


Send = Callable[[str], Round]


@pytest.fixture
def sending(ledger_url: str, tmp_path: Path) -> Send:
    """One round of sending with a file of alerts."""

    def sending(content: str) -> Round:
        file = tmp_path / "alerts.toml"
        file.write_text(content, encoding="utf-8")
        return send_due(Settings(alerts=file, ui_url="https://dagster.example.org"), ledger_url)

    return sending


def report(url: str, **given: Any) -> int:
    with connect(url) as connection:
        return report_incident(connection, **{"kind": "GATE_FAILED", "subject": JANUARY, "period": JANUARY, **given})


def deliveries(url: str) -> list[dict[str, Any]]:
    return scenario.rows_of(url, "SELECT * FROM control.alert_delivery ORDER BY delivery_id")


def channel(url: str, more: str = "", name: str = "finance") -> str:
    return f'[channels.{name}]\nurl = "{url}"\n{more}\n'


# ------------------------------------------------------------------------------------------------ what it says


def test_a_mail_says_what_where_and_what_to_do(ledger_url: str, sending: Send, mailbox: Mailbox):
    number = report(ledger_url, title="2024-01: gates record_count and fund_reconciliation failed", run_id=RUN,
                    batch_id="2024-01-MONTHEND", details={"checks": CHECKS})  # fmt: skip
    assert sending(channel(mailbox.url)).sent == 1
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[ERROR] 2024-01: gates record_count and fund_reconciliation failed"
    assert mail["To"] == "finance@example.org"
    parts = mailbox.parts()
    assert set(parts) == {"text/plain", "text/html"}
    for part in parts.values():
        for fact in (
            "record_count", "60", "59", "-1", "fund_reconciliation", "What to do:", "docs/runbook.md#gate-failed",
            f"https://dagster.example.org/runs/{RUN}", "2024-01-MONTHEND", "UTC", f"{number} (GATE_FAILED)",
        ):  # fmt: skip
            assert fact in part, fact
    assert "&lt;9.00&gt;" in parts["text/html"]
    assert "<9.00>" in parts["text/plain"]


def test_a_webhook_gets_text(ledger_url: str, sending: Send, hook: Webhook):
    report(ledger_url, expected="60", actual="59", details={"checks": CHECKS[:1]}, run_id=RUN)
    sending(channel(hook.url))
    (post,) = hook.posts
    assert post["title"] == "[ERROR] 2024-01: a gate failed"
    assert post["type"] == "failure"
    lines = [line.split() for line in post["message"].splitlines()]
    for line in (["expected:", "60"], ["actual:", "59"], ["difference:", "-1"]):
        assert line in lines
    assert "<" not in post["message"]


@pytest.fixture
def chats(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What apprise posts to Slack and Teams, caught where it would leave the machine: nobody asks their servers."""
    posted: list[dict[str, Any]] = []

    def caught(_: requests.Session, request: requests.PreparedRequest, **__: Any) -> requests.Response:
        posted.append(json.loads(request.body or "{}"))
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"ok"
        return answer

    monkeypatch.setattr(requests.Session, "send", caught)
    return posted


SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#month-end"
TEAMS = "workflows://prod.example.org:443/643b6a1a3c5b4e0f/a-signature"


def test_a_chat_gets_every_fact_and_nothing_that_it_would_obey(
    ledger_url: str, sending: Send, chats: list[dict[str, Any]]
):
    detail = "counts differ: <!channel> & *all* of a_b\n# a heading"
    report(ledger_url, details={"checks": CHECKS, "detail": detail}, run_id=RUN)
    assert sending(channel(SLACK) + channel(TEAMS, name="teams")).sent == 2
    slack, teams = (post["attachments"][0] for post in chats)
    assert slack["title"] == "[ERROR] 2024-01: a gate failed"
    assert not chats[0]["mrkdwn"], "Slack shows it literally, but for the three characters that it reads in any text"
    assert "  actual:     &lt;9.00&gt;\n" in slack["text"]
    assert "counts differ: &lt;!channel&gt; &amp; *all* of a_b\n# a heading" in slack["text"]
    assert f"https://dagster.example.org/runs/{RUN}\n" in slack["text"]
    title, body = (block["text"] for block in teams["content"]["body"] if block["type"] == "TextBlock")
    assert title == "[ERROR] 2024-01: a gate failed"
    lines = body.split("\n\n")
    assert not [line for line in lines if "\n" in line], "one line of a card ends with an empty one"
    assert lines[0] == r"**\[ERROR\] 2024-01\: a gate failed**", "a long title is cut where the card has it"
    assert r"**fund\_reconciliation**: expected 10.00, actual \<9.00\>" in lines
    assert r"counts differ\: \<\!channel\> & \*all\* of a\_b \# a heading" in lines
    assert f"[The run in Dagster](https://dagster.example.org/runs/{RUN})" in lines
    assert "a-signature" not in str(chats)


def test_a_chat_takes_the_longest_message(ledger_url: str, sending: Send, chats: list[dict[str, Any]]):
    names = [f"check_number_{number}" for number in range(40)]
    report(ledger_url, title=f"2024-01: gates {', '.join(names)} failed", run_id=RUN,
           details={"checks": [CHECKS[0] | {"check": name} for name in names], "detail": "a*" * 50_000})  # fmt: skip
    assert sending(channel(SLACK) + channel(TEAMS, name="teams")).sent == 2
    assert len(chats) == 2, "each in one piece"
    assert len(chats[0]["attachments"][0]["title"]) <= 250
    assert len(chats[0]["attachments"][0]["text"]) < 8_000
    assert len(json.dumps(chats[1])) < 28_000
    for post in chats:
        assert "…" in str(post)
        assert "What to do" in str(post)


def test_the_end_is_told_to_whom_the_beginning_was(ledger_url: str, sending: Send, hook: Webhook, mailbox: Mailbox):
    file = channel(hook.url) + channel(mailbox.url, "resolved = false", name="mail")
    report(ledger_url)
    sending(file)
    with connect(ledger_url) as connection:
        resolve(connection, period=JANUARY, reason="run 7 succeeded")
    sending(file)
    sending(file)
    assert hook.titles == ["[ERROR] 2024-01: a gate failed", "[RESOLVED] 2024-01: a gate failed"]
    assert "run 7 succeeded" in hook.posts[1]["message"]
    assert hook.posts[1]["type"] == "success"
    assert len(mailbox.mails) == 1


def test_a_notice_is_told_and_its_end_is_not(ledger_url: str, sending: Send, hook: Webhook):
    sending(channel(hook.url))  # the channel is known before it happens
    report(ledger_url, kind="ROLLED_BACK", title="2024-01: batch 2024-01-MONTHEND was rolled back")
    assert [sending(channel(hook.url)).sent for _ in range(2)] == [1, 0]
    assert hook.titles == ["[WARNING] 2024-01: batch 2024-01-MONTHEND was rolled back"]


# ------------------------------------------------------------------------------------------------ to whom, how often


def test_one_message_per_incident_however_often_it_is_seen(ledger_url: str, sending: Send, hook: Webhook):
    for _ in range(3):
        report(ledger_url)
        sending(channel(hook.url))
    assert len(hook.posts) == 1


def test_severity_and_kinds_say_who_is_told(ledger_url: str, sending: Send, hook: Webhook, mailbox: Mailbox):
    for kind in ("CHECK_WARNING", "GATE_FAILED", "VERIFY_FAILED"):
        report(ledger_url, kind=kind)
    file = channel(hook.url, 'from_severity = "ERROR"') + channel(
        mailbox.url, 'from_severity = "INFO"\nkinds = ["CHECK_WARNING"]', name="mail"
    )
    assert sending(file).sent == 3
    assert {title.split()[0] for title in hook.titles} == {"[ERROR]", "[CRITICAL]"}
    assert [mail["Subject"] for mail in mailbox.mails] == ["[WARNING] 2024-01: a check warns"]


def test_a_new_channel_is_told_what_is_open_and_not_what_is_over(ledger_url: str, sending: Send, hook: Webhook):
    report(ledger_url, subject="over")
    with connect(ledger_url) as connection:
        resolve(connection, subject="over")
    report(ledger_url, subject="open")
    sending(channel(hook.url))
    assert hook.titles == ["[ERROR] open: a gate failed"]


def test_two_senders_at_once_send_each_message_once(ledger_url: str, sending: Send, hook: Webhook, tmp_path: Path):
    for subject in range(12):
        report(ledger_url, subject=f"{JANUARY} {subject}")
    file = tmp_path / "alerts.toml"
    file.write_text(channel(hook.url))
    barrier = threading.Barrier(3)

    def round_of_sending(_: int) -> int:
        barrier.wait()
        return send_due(Settings(alerts=file), ledger_url).sent

    with ThreadPoolExecutor(3) as pool:
        sent = sum(pool.map(round_of_sending, range(3)))
    while more := sending(channel(hook.url)).sent:  # a sender whose claim was taken from under it leaves early
        sent += more
    assert sent == len(hook.posts) == len(set(hook.titles)) == 12


def test_what_one_has_claimed_nobody_else_gets(ledger_url: str, sending: Send, hook: Webhook):
    hook.answers[:] = [500]
    report(ledger_url)
    sending(channel(hook.url))
    scenario.execute(ledger_url, DUE)
    with connect(ledger_url) as first, connect(ledger_url) as second:
        assert claim_delivery(first, ["finance"]) is not None
        assert claim_delivery(second, ["finance"]) is None
        first.rollback()  # died before it was settled: sent again, at least once
        assert claim_delivery(second, ["finance"]) is not None


# ------------------------------------------------------------------------------------------------ what fails


def test_a_receiver_that_fails_twice_is_tried_again_and_told_once(ledger_url: str, sending: Send, hook: Webhook):
    hook.answers[:] = [500, 500]
    report(ledger_url)
    states = []
    for _ in range(4):
        sending(channel(hook.url))
        (row,) = deliveries(ledger_url)
        states.append((row["status"], row["tries"]))
        scenario.execute(ledger_url, DUE)
    assert states == [("FAILED", 1), ("FAILED", 2), ("SENT", 3), ("SENT", 3)]
    assert len(hook.posts) == 1
    happened = scenario.rows_of(ledger_url, "SELECT happened FROM control.incident_history ORDER BY history_id")
    assert [row["happened"] for row in happened] == ["OPENED", "FAILED", "FAILED", "SENT"]


def test_what_is_over_when_the_channel_works_again_wakes_nobody(ledger_url: str, sending: Send, hook: Webhook):
    """One message, which says both. A pager would otherwise stay red: nothing would end it any more."""
    hook.answers[:] = [500]
    report(ledger_url)
    sending(channel(hook.url))
    with connect(ledger_url) as connection:
        resolve(connection, period=JANUARY, reason="run 7 succeeded")
    scenario.execute(ledger_url, DUE)
    with connect(ledger_url) as connection:
        due = claim_delivery(connection, [deliveries(ledger_url)[0]["channel"]])
        connection.rollback()
    assert due is not None
    told = message_about(due, "")
    assert all("run 7 succeeded. It could not be told before." in form for form in (told.html, told.markdown))
    assert [sending(channel(hook.url)).sent for _ in range(2)] == [1, 0]
    assert hook.titles == ["[RESOLVED] 2024-01: a gate failed"]
    assert hook.posts[0]["type"] == "success"
    assert "run 7 succeeded. It could not be told before." in hook.posts[0]["message"]


def test_what_is_not_due_yet_waits(ledger_url: str, sending: Send, hook: Webhook):
    hook.answers[:] = [500]
    report(ledger_url)
    before = scenario.value_of(ledger_url, "SELECT now()")
    failed = sending(channel(hook.url))
    assert (failed.sent, len(failed.failures)) == (0, 1)
    assert sending(channel(hook.url)).summary == "nothing is due"
    assert scenario.value_of(ledger_url, PAUSE, before) == 1


def test_a_receiver_that_never_answers_is_given_up_and_can_be_tried_again(
    ledger_url: str, sending: Send, hook: Webhook
):
    dead = channel(f"json://127.0.0.1:{dead_port()}/alerts")
    report(ledger_url)
    pauses = []
    for _ in range(7):
        before = scenario.value_of(ledger_url, "SELECT now()")
        sending(dead)
        pauses.append(scenario.value_of(ledger_url, PAUSE, before))
        scenario.execute(ledger_url, DUE)
    assert pauses == [1, 5, 15, 60, 240, 720, None]
    (row,) = deliveries(ledger_url)
    assert (row["status"], row["tries"]) == ("GIVEN_UP", 7)
    assert "Connection refused" in row["last_error"]
    assert scenario.value_of(ledger_url, "SELECT count(*) FROM control.undelivered_alert") == 1
    with connect(ledger_url) as connection:
        assert retry_deliveries(connection) == 1
    assert sending(channel(hook.url)).sent == 1
    assert scenario.value_of(ledger_url, "SELECT count(*) FROM control.undelivered_alert") == 0


@pytest.mark.parametrize("scheme", ["json", "mailto", "slack", "nonsense"])
def test_no_secret_is_stored_logged_or_said(
    ledger_url: str, sending: Send, monkeypatch: pytest.MonkeyPatch, python_log: io.StringIO, scheme: str
):
    monkeypatch.setenv("ALERT_TOKEN", SECRET)
    port = dead_port()
    url = {
        "json": f"json://ledger:${{ALERT_TOKEN}}@127.0.0.1:{port}/hooks/${{ALERT_TOKEN}}?+X-Key=${{ALERT_TOKEN}}",
        "mailto": f"mailto://ledger:${{ALERT_TOKEN}}@127.0.0.1:{port}/?from=a@example.org&to=b@example.org&mode=insecure",
        "slack": "slack://${ALERT_TOKEN}/#close",
        "nonsense": "nonsense://${ALERT_TOKEN}",
    }[scheme]
    report(ledger_url)
    result = sending(channel(url))
    assert len(result.failures) == 1
    with connect(ledger_url) as connection:
        shown = incidents(connection)
    said = f"{result} {shown} {python_log.getvalue()} {deliveries(ledger_url)}"
    said += str(scenario.rows_of(ledger_url, "SELECT * FROM control.incident_history"))
    for needle in (SECRET, "s3cr3t", "t0ken", "with%40signs", "b@example.org"):
        assert needle not in said, needle


def test_what_apprise_says_is_cleaned_of_the_address_and_its_parts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALERT_TOKEN", SECRET)
    one = Channel("a", "jsons://me-user:${ALERT_TOKEN}@hooks.example.org/T0ABC/${ALERT_TOKEN}?key=inline-key")
    said = (
        f"refused {SECRET}, s3cr3t-t0ken%2Fwith%40signs, T0ABC, me-user, inline-key at https://hooks.example.org/T0ABC"
    )
    words = [logging.LogRecord("apprise", logging.WARNING, "", 0, said, None, None)]
    assert _reason(words, one.address(), one) == "refused ****, ****, ****, ****, **** at (address)"


def test_a_variable_that_is_not_set_is_named(ledger_url: str, sending: Send):
    report(ledger_url)
    (failure,) = sending(channel("json://127.0.0.1/${NO_SUCH_VARIABLE}")).failures
    assert "NO_SUCH_VARIABLE" in failure
    assert "[channels.finance]" in failure


def test_a_plug_in_that_raises_is_a_failure_like_another(monkeypatch: pytest.MonkeyPatch):
    import apprise  # noqa: PLC0415

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(apprise.Apprise, "instantiate", broken)
    assert send(Channel("a", "json://x"), Message("t", "t", "h", "ERROR")) == "apprise failed: ValueError"


def test_without_a_file_incidents_are_recorded_and_nobody_is_told(ledger_url: str):
    report(ledger_url)
    result = send_due(Settings(), ledger_url)
    assert not result.is_configured
    assert "LEDGER_ALERTS is not set" in result.summary
    assert deliveries(ledger_url) == []
    with connect(ledger_url) as connection:
        assert len(incidents(connection)) == 1


def test_a_wrong_file_is_an_error_before_anything_is_planned(ledger_url: str, sending: Send):
    report(ledger_url)
    with pytest.raises(AlertsFileError, match=r"line 3, \[channels\.finance\].*no kind 'GATE'"):
        sending(channel("json://127.0.0.1/x", 'kinds = ["GATE"]'))
    assert deliveries(ledger_url) == []


def test_a_test_message_needs_no_database(tmp_path: Path, hook: Webhook):
    file = tmp_path / "alerts.toml"
    file.write_text(channel(hook.url) + channel(f"json://127.0.0.1:{dead_port()}", name="dead"))
    settings = Settings(alerts=file)
    tried = send_tests(settings)
    assert tried["finance"] is None
    assert "Connection refused" in str(tried["dead"])
    assert send_tests(settings, "finance") == {"finance": None}
    assert hook.titles == ["[TEST] ledger_assets: a test of the channel finance"] * 2
