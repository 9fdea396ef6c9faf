"""How fast a close is, as a ratio to the fastest bare COPY of the same rows on the same server in the same run.

The steps are the code that the assets call, on a scratch database of the settings' server that is dropped afterwards. The limit is what any
close that stores its lines has to pay: the same header and line rows into tables of the same columns by binary COPY … FREEZE over two connections,
and the same primary keys.
"""

import resource
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from psycopg import sql

from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.mapping import load_mapping
from ledger_assets.accounting.posting import expand
from ledger_assets.accounting.rule_files import load_approvals, load_rule_set
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import open_batch, post_batch, take_snapshot
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.database import connect, create_database, server_url, with_database
from ledger_assets.storage.migrations import migrate
from ledger_assets.storage.rules import StoredRules, approve, store, usable
from ledger_assets.storage.slices import read_slice
from ledger_assets.storage.source_loads import ingest
from ledger_assets.storage.staging import ROWS_PER_WORKER, stage
from ledger_assets.storage.validation import validate

PERIOD = "2025-01"
RULE_SETS = {2: "three_entries", 8: "combined"}
WHO = "bench"

T = TypeVar("T")


def run_bench(settings: Settings, *, rows: int, lines: int, seed: int = 1) -> dict[str, Any]:
    """Close `rows` generated transactions once; seconds per step, the bare COPY of the same rows, and the ratio of the two.

    `lines` is 8 (rule set combined, one entry of eight lines) or 2 (three_entries, up to three entries of two lines).
    """
    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, _scratch_database(settings) as url:
        file = Path(folder) / "transactions.parquet"
        write(generate(PERIOD, rows, seed), file)
        rules = _rules(url, RULE_SETS[lines])
        totals = _close(url, file, rules, steps)
        bare = _bare_copy(url, rules)
    total = sum(seconds for step, seconds in steps.items() if step != "expand")
    return {
        "rows": rows,
        "lines": totals["lines"],
        "entries": totals["entries"],
        "steps": {step: round(seconds, 3) for step, seconds in steps.items()},
        "total_s": round(total, 3),
        "bare_copy_s": round(bare, 3),
        "ratio": round((total - steps["load"]) / bare, 2),
        "transactions_per_s": round(rows / total),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _timed(steps: dict[str, float], step: str, work: Callable[[], T]) -> T:
    started = time.perf_counter()
    try:
        return work()
    finally:
        steps[step] = time.perf_counter() - started


@contextmanager
def _scratch_database(settings: Settings) -> Iterator[str]:
    """A database of its own, so that a benchmark never meets anybody's books."""
    name = f"ledger_bench_{secrets.token_hex(4)}"
    server = server_url(settings)
    with connect(server, autocommit=True) as connection:
        create_database(connection, name)
    try:
        url = with_database(server, name)
        migrate(url)
        yield url
    finally:
        with connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _rules(url: str, rule_set: str) -> StoredRules:
    with connect(url) as connection:
        store(connection, load_rule_set(rule_set))
        for approval in load_approvals():
            if approval.rule_set == rule_set:
                approve(connection, rule_set, approval.version, approved_by=approval.approved_by, content_hash=approval.sha256)
        return usable(connection, rule_set)


def _close(url: str, file: Path, rules: StoredRules, steps: dict[str, float]) -> dict[str, int]:
    compiled = rules.compiled()
    with connect(url) as connection:
        _timed(steps, "load", lambda: ingest(connection, file, period=PERIOD, mapping=load_mapping(None), currency=None, loaded_by=WHO))
        batch = open_batch(
            connection, period=PERIOD, kind="MONTHEND", rule_set=rules.rule_set.name, rule_version=rules.rule_set.version,
            rows_per_worker=ROWS_PER_WORKER, first_period=PERIOD, performed_by=WHO, run_id=None,
        )
        connection.commit()
        assert batch is not None
        staged = _timed(steps, "stage", lambda: stage(url, batch, compiled, performed_by=WHO))
        results = _timed(steps, "gates", lambda: validate(url, batch, performed_by=WHO))
        if not all(result.verdict.passed for result in results):
            raise RuntimeError(f"the benchmark's own rows fail a gate: {[r.verdict.detail for r in results]}")
        _timed(steps, "post", lambda: post_batch(connection, batch.batch_id, first_period=PERIOD, performed_by=WHO))
        _timed(steps, "snapshot", lambda: take_snapshot(connection, PERIOD, first_period=PERIOD, performed_by=WHO))
    return {"entries": staged.entries, "lines": staged.lines}
