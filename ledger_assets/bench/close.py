"""One close of generated transactions, step by step: the code that the assets call, with a meter around each step."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.mapping import load_mapping
from ledger_assets.bench.bare_copy import BareCopy, Stopwatch, bare_copy, bare_load
from ledger_assets.bench.meter import Meter
from ledger_assets.storage.batches import Batch, open_batch, post_batch, take_snapshot
from ledger_assets.storage.database import ENGINE, as_role, connect, statement
from ledger_assets.storage.rules import StoredRules
from ledger_assets.storage.source_loads import ingest
from ledger_assets.storage.staging import stage
from ledger_assets.storage.validation import validate

PERIOD = "2025-01"
WHO = "bench"


@dataclass
class MeasuredClose:
    """A close, its limits, and what lies on disk afterwards."""

    entries: int
    lines: int
    sealing_seconds: float
    meter: Meter
    bare_load: Stopwatch
    before: BareCopy
    after: BareCopy
    disk: dict[str, dict[str, Any]]


@contextmanager
def generated_file(transactions: int, seed: int) -> Iterator[Path]:
    """The transactions of the benchmark's month, in a Parquet file that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "transactions.parquet"
        write(generate(PERIOD, transactions, seed), file)
        yield file


def measured_close(administrator_url: str, file: Path, rules: StoredRules, *, rows_per_worker: int) -> MeasuredClose:
    """Load, stage, gates, post, snapshot; the bare COPY of the entries before and after, that of the source between."""
    url = as_role(administrator_url, ENGINE)
    compiled = rules.compiled()
    with connect(url) as session, Meter(administrator_url) as meter:
        meter.measure("load", lambda: _load(session, file), session)
        loading = bare_load(administrator_url, file, period=PERIOD, cpu=meter.cpu_seconds)
        batch = _opened(session, rules, rows_per_worker)
        before = bare_copy(administrator_url, batch.batch_id, compiled, period=PERIOD, cpu=meter.cpu_seconds)

        staged = meter.measure("stage", lambda: stage(url, batch, compiled, performed_by=WHO), session)
        meter.measure("gates", lambda: _gates(url, batch), session)
        meter.measure(
            "post", lambda: post_batch(session, batch.batch_id, first_period=PERIOD, performed_by=WHO), session
        )
        meter.measure(
            "snapshot", lambda: take_snapshot(session, PERIOD, first_period=PERIOD, performed_by=WHO), session
        )

        after = bare_copy(administrator_url, batch.batch_id, compiled, period=PERIOD, cpu=meter.cpu_seconds)
        for bare in (before, after):
            if (bare.entries, bare.lines) != (staged.entries, staged.lines):
                raise RuntimeError(f"the bare COPY wrote other rows ({bare}) than the close ({staged})")
        disk = _disk(administrator_url)
    return MeasuredClose(staged.entries, staged.lines, staged.sealing_seconds, meter, loading, before, after, disk)


def _load(session: psycopg.Connection, file: Path) -> None:
    ingest(session, file, period=PERIOD, mapping=load_mapping(None), currency=None, loaded_by=WHO)
    session.commit()


def _opened(session: psycopg.Connection, rules: StoredRules, rows_per_worker: int) -> Batch:
    batch = open_batch(
        session,
        period=PERIOD,
        rule_set=rules.rule_set.name,
        rule_version=rules.rule_set.version,
        first_period=PERIOD,
        performed_by=WHO,
        rows_per_worker=rows_per_worker,
    )
    session.commit()
    if batch is None:
        raise RuntimeError("a scratch database has no posted batch")
    return batch


def _gates(url: str, batch: Batch) -> None:
    results = validate(url, batch, performed_by=WHO)
    if not all(result.verdict.passed for result in results):
        raise RuntimeError(f"the benchmark's own rows fail a gate: {[r.verdict.detail for r in results]}")


def _disk(administrator_url: str) -> dict[str, dict[str, Any]]:
    with connect(administrator_url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        found = {row.pop("kind"): row for row in cursor.execute(statement("bench/disk")).fetchall()}
    for row in found.values():
        row["heap_bytes_per_row"] = round(row["heap_bytes"] / max(row["rows"], 1), 2)
        row["index_bytes_per_row"] = round(row["index_bytes"] / max(row["rows"], 1), 2)
    return found
