"""Personal data is planted wherever a file can hold it, a month is closed, and everything that was said is searched.

Where the books themselves keep it (KEPT), it may be. Nowhere else: not on the screen, in Dagster's storage, in the logs
of Python and of the server, in the report, in the audit trail or its export.
"""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from pypdf import PdfReader

from ledger_assets import closing
from ledger_assets.cli import main
from ledger_assets.close_result import Outcome
from ledger_assets.settings import Settings
from ledger_assets.storage.database import administrator_url, connect, dagster_url, ledger_url
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets_tests.alerts.receivers import webhook
from ledger_assets_tests.conftest import make_home
from ledger_assets_tests.scenario import execute
from ledger_assets_tests.waiting import PATIENCE

PERIOD: Final = "2024-01"

# Each word stands in one place only, so that a leak says where it comes from.
NAMES: Final = {
    "txn_id": "Wahyuningsih",
    "txn_type": "Kusumawardhani",
    "policy_id": "Prawirodirdjo",
    "product_code": "Tjokroaminoto",
    "channel": "Hadiningrat",
    "customer_name": "Sastroamidjojo",
    "address": "Mangkubumi",
}
NUMBERS: Final = {
    "policy_id": "POL-88877755501",
    "txn_id": "081299988877",
    "phone": "+62 813 7776 6655",
    "product_code": "3174019988776655",
}
MAIL: Final = "putri.lestari@example.co.id"
NEEDLES: Final = [*NAMES.values(), *NUMBERS.values(), MAIL, "lestari", "77755501"]

KEPT: Final = {
    "source.txn_source",
    "source.rejected_row",  # raw, txn_id, and the reason in the person's own words
    "source.load",  # withdrawal_reason: likewise
    "source.load_total.txn_type",
    "source.load_product_total.txn_type",
    "source.load_product_total.product_code",
    "source.load_product_total.channel",
    "control.load_measure_total.txn_type",
    "control.batch_source_count.source_type",
    "control.worker_measure_source.source_type",
    "control.exception_queue.txn_id",
    "staging.je_header.source_id",
    "ledger.je_header.source_id",
}

GOOD: Final = {
    "txn_id": "P000000001", "txn_type": "PREMIUM", "policy_id": NUMBERS["policy_id"], "product_code": "MOTOR-001",
    "channel": "AGENCY", "txn_date": "2024-01-05", "bank_value_date": "2024-01-06", "currency": "IDR",
    "gross_amount": "100.00", "tabarru_amount": "40.00", "tanahud_amount": "40.00", "ujroh_amount": "20.00",
    "customer_name": NAMES["customer_name"], "email": MAIL, "phone": NUMBERS["phone"], "address": NAMES["address"],
}  # fmt: skip


def write(path: Path, *rows: Mapping[str, str], header: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(GOOD))
        if header:
            writer.writeheader()
        writer.writerows(GOOD | row for row in rows)
    return path


def exceptions(folder: Path) -> Path:
    """Accepted rows that no template takes, because a person stands where a code should."""
    rows = [{"txn_id": NAMES["txn_id"]}, {"txn_id": NUMBERS["txn_id"]}, {"policy_id": NAMES["policy_id"]}]
    rows += [{column: NAMES[column]} for column in ("txn_type", "product_code", "channel")]
    rows += [{"product_code": NUMBERS["product_code"]}, {"channel": MAIL}]
    rows += [{"txn_id": NAMES["txn_id"] + "2", "product_code": NAMES["product_code"]}]
    return write(folder / "exceptions.csv", *({"txn_id": f"E{number}"} | row for number, row in enumerate(rows)))


def refused(folder: Path) -> Path:
    """Rows that are refused, with a person in every text."""
    everything = {column: NAMES[column] for column in ("txn_id", "txn_type", "policy_id", "product_code", "channel")}
    rows = [
        {"bank_value_date": "2024-03-01"},
        {"gross_amount": "-100.00"},
        {"currency": MAIL},
        {"gross_amount": "0.001"},
    ]
    return write(folder / "refused.csv", *(everything | row for row in rows), {"txn_id": "R1"})


def malformed(folder: Path) -> Iterator[Path]:
    """Files that cannot be read, each for another reason, a person at the place that is wrong."""
    yield write(folder / "amount.csv", {"ujroh_amount": NAMES["customer_name"]})
    yield write(folder / "number.csv", {"gross_amount": NUMBERS["phone"]})
    yield write(folder / "day.csv", {"txn_date": NAMES["customer_name"]})
    yield write(folder / "nul.csv", {"channel": f"{NAMES['channel']}\0"})
    yield write(folder / "headerless.csv", {}, header=False)
    twice = write(folder / "twice.csv", {})
    twice.write_text(f"{MAIL},{MAIL},1\n{twice.read_text()}")
    yield twice
    wide = write(folder / "wide.csv", {})
    wide.write_text(f"{wide.read_text().rstrip()},{NAMES['customer_name']}\n")
    yield wide
    latin = write(folder / "latin.csv", {})
    latin.write_bytes(latin.read_bytes() + f"é{NAMES['customer_name']}".encode("latin-1") + b",\n")
    yield latin
    quote = write(folder / "quote.csv", {})
    quote.write_text(f'{quote.read_text()}"{NAMES["customer_name"]},\n')
    yield quote


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation of its own, with its own server, whose log is ours alone."""
    path = Path(make_home())
    monkeypatch.setenv("LEDGER_HOME", str(path))
    try:
        yield path
    finally:
        EmbeddedServer(path).stop()
        shutil.rmtree(path, ignore_errors=True)


class Said:
    """Everything that anybody could read."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, where: str, text: str) -> None:
        self.texts[where] = self.texts.get(where, "") + text

    def called(self, *words: str | Path) -> int:
        """`ledger-assets` in this process, which saves seconds each time."""
        answer = CliRunner().invoke(main, [str(word) for word in words])
        self.add(f"ledger-assets {words[0]}", f"{answer.output}{answer.exception!r}")
        return answer.exit_code

    def command(self, *words: str | Path) -> int:
        """`ledger-assets` as a person types it."""
        program = [sys.executable, "-m", "ledger_assets.cli", *map(str, words)]
        done = subprocess.run(
            program, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=PATIENCE
        )
        self.add(f"ledger-assets {words[0]}", done.stdout + done.stderr)
        return done.returncode

    def leaks(self) -> list[str]:
        return [
            f"{where}: {needle}: …{text[max(text.find(needle) - 150, 0) : text.find(needle) + 60]}…"
            for where, text in self.texts.items()
            for needle in NEEDLES
            if needle in text
        ]


def read_database(said: Said, url: str, kept: set[str]) -> None:
    """Every column of every table, as text."""
    with connect(url) as connection:
        columns = connection.execute(
            "SELECT n.nspname, c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "
            "AND a.attnum > 0 AND NOT a.attisdropped "
            "AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        ).fetchall()
        for schema, table, column in columns:
            # A leaf of staging keeps what its parent does.
            parent = next(
                (name for name in ("je_header", "je_line") if schema == "staging" and table.startswith(name)), table
            )
            if {f"{schema}.{parent}", f"{schema}.{parent}.{column}"} & kept:
                continue
            query = sql.SQL("SELECT string_agg({}::text, ' ') FROM {}").format(
                sql.Identifier(column), sql.Identifier(schema, table)
            )
            (text,) = connection.execute(query).fetchone() or ("",)
            said.add(f"table {schema}.{table}.{column}", text or "")


def read_files(said: Said, home: Path) -> None:
    """Logs of the server and of Dagster, reports, exports: all but the data of the server and what was delivered."""
    for path in home.resolve().rglob("*"):
        inside = path.relative_to(home.resolve()).parts
        if path.is_file() and "data" not in inside and inside[0] not in ("inbox", "delivered"):
            said.add(f"file {'/'.join(inside)}", unpacked(path))


def unpacked(path: Path) -> str:
    """The text of a file; of a PDF and of a workbook that which is compressed in them."""
    if path.suffix == ".pdf":
        return "\n".join(page.extract_text() for page in PdfReader(path).pages)
    if path.suffix == ".xlsx":
        with ZipFile(path) as parts:
            return "\n".join(parts.read(name).decode("utf-8", "replace") for name in parts.namelist())
    return path.read_text(encoding="utf-8", errors="replace")


def test_nothing_planted_is_said(  # noqa: PLR0915 - one installation, from its first file to its last message
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    said, delivered, settings = Said(), home / "delivered", Settings.from_environment()
    assert said.called("up") == 0

    def close(*, verbose: bool = True) -> Outcome:
        result = closing.close(settings, PERIOD, log_level="DEBUG" if verbose else "CRITICAL")
        said.add("result of the close", repr(result))
        return result.outcome

    for path in malformed(delivered):
        assert said.called("ingest", path, "--period", PERIOD) == 1, path
    assert said.command("ingest", delivered / "amount.csv", "--period", PERIOD) == 1
    shutil.copy(delivered / "amount.csv", write(home / "inbox" / PERIOD / "inbox.csv", {}))
    assert close() is Outcome.FAILED
    (home / "inbox" / PERIOD / "inbox.csv").unlink()

    monkeypatch.setenv("LEDGER_LOG_FORMAT", "json")  # from here on the commands log what they do
    for path in malformed(delivered):
        assert said.called("ingest", path, "--period", PERIOD) == 1, path
    reason = f"write to {MAIL} or call {NUMBERS['phone']}"
    assert said.called("ingest", refused(delivered), "--period", PERIOD) == 1  # in which currency are the books?
    monkeypatch.setenv("LEDGER_CURRENCY", "IDR")
    assert said.called("ingest", refused(delivered), "--period", PERIOD) == 0
    assert close() is Outcome.GATE_FAILED
    assert said.called("acknowledge-rejections", PERIOD, "--reason", reason) == 0
    assert said.called("ingest", exceptions(delivered), "--period", PERIOD, "--json") == 0
    assert close() is Outcome.GATE_FAILED
    assert said.command("close", PERIOD, "--verbose") == 2
    assert said.called("close", PERIOD, "--dry-run") == 2
    assert said.called("status", PERIOD) == said.called("status", PERIOD, "--json") == 0

    # PostgreSQL quotes the row that it refuses.
    books = administrator_url(settings)
    execute(books, "ALTER TABLE control.exception_queue ADD CONSTRAINT no CHECK (status <> 'OPEN') NOT VALID")
    assert close() is Outcome.FAILED
    assert said.command("close", PERIOD) == 1
    assert said.called("status", PERIOD, "--json") == 0
    execute(books, "ALTER TABLE control.exception_queue DROP CONSTRAINT no")

    with webhook() as hook:
        (home / "alerts.toml").write_text(f'[channels.all]\nurl = "{hook.url}"\nfrom_severity = "INFO"\n')
        monkeypatch.setenv("LEDGER_ALERTS", str(home / "alerts.toml"))
        assert said.called("alerts", "--send") == said.called("alerts", "--json") == 0
        assert said.called("alerts", "--resolve", "999", "--reason", reason) == 1
        assert len(hook.posts) > 2
        said.add("messages", str(hook.posts))

    assert said.called("withdraw", "2", "--reason", reason) == 0
    good = [{"txn_id": NAMES["txn_id"]}, {"txn_id": NUMBERS["txn_id"]}, {"policy_id": NAMES["policy_id"]}]
    good += [{"txn_id": "G4", "channel": NAMES["channel"]}, {"txn_id": "G5", "channel": MAIL}]  # any channel is taken
    assert said.called("ingest", write(delivered / "good.csv", *good), "--period", PERIOD) == 0
    assert close() is Outcome.POSTED
    assert said.called("close", PERIOD) == 0
    assert said.called("statements", PERIOD) == said.called("report", PERIOD) == 0
    assert said.called("audit") == said.called("audit", "--format", "csv") == 0
    assert said.called("audit", "--format", "jsonl", "--out", home / "trail.jsonl") == 0

    captured = capfd.readouterr()
    said.add("standard output", captured.out)
    said.add("standard error", captured.err)
    said.add("Python's log", caplog.text)
    read_database(said, ledger_url(settings), KEPT)
    read_database(said, dagster_url(settings), set())
    read_files(said, home)
    assert said.leaks() == []
    assert_everything_was_looked_at(said)


def assert_everything_was_looked_at(said: Said) -> None:
    """A search that finds nothing has to have searched something."""
    present = {
        "standard error": "inbox.csv",
        "table public.event_logs.event": "not in the rules",
        "table public.runs.run_body": "month_close",
        "table control.exception_queue.detail": "not in the rules",
        "table control.batch.failure_reason": "",
        "table audit.batch_operation.details": "[e-mail]",
        "table control.batch_validation_result.offending": "****",
        "table staging.je_header.je_number": "",
        "ledger-assets status": "CheckViolation",
        "ledger-assets ingest": '"event": "attempt refused: LOAD"',
        "messages": "month_close: the run failed",
        "table control.incident.details": "counts differ",
        "file trail.jsonl": "WITHDRAW",
        f"file reports/{PERIOD}/close-report-{PERIOD}.pdf": "not in the rules",
        f"file reports/{PERIOD}/close-report-{PERIOD}.xlsx": "not in the rules",
    }
    for where, text in present.items():
        assert text in said.texts[where], where
    files = {where.rpartition(".")[2] for where in said.texts if where.startswith("file ")}
    assert {"html", "log", "out", "err"} & files >= {"html", "log"}
    assert any("violates check constraint" in text for where, text in said.texts.items() if where.endswith(".log"))


def test_the_books_do_keep_it(ledger: psycopg.Connection) -> None:
    """The list of where it may be names columns that exist."""
    for name in KEPT:
        schema, table, *column = name.split(".")
        query = "SELECT count(*) FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        arguments: list[Any] = [schema, table]
        if column:
            query, arguments = f"{query} AND column_name = %s", [*arguments, *column]
        assert ledger.execute(query.encode(), arguments).fetchone() != (0,), name
