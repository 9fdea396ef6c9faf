"""How fast a close is, as a ratio to the fastest bare COPY of the same rows on the same server in the same run.

The steps are the code that the assets call, on a scratch database of the settings' server that is dropped afterwards.
The limit is what any close that stores its lines has to pay: the same header and line rows into tables of the same
columns by binary COPY … FREEZE over two connections, and the same primary keys.
"""

import resource
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from psycopg import sql

from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.mapping import load_mapping
from ledger_assets.accounting.posting import Expansion, expand
from ledger_assets.accounting.rule_files import SHIPPED_RULES
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import open_batch, post_batch, take_snapshot
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.database import ENGINE, as_role, connect, create_database, server_url, with_database
from ledger_assets.storage.migrations import migrate
from ledger_assets.storage.reading import rows
from ledger_assets.storage.rules import StoredRules, store_directory, usable
from ledger_assets.storage.slices import read_slice
from ledger_assets.storage.source_loads import ingest
from ledger_assets.storage.staging import stage
from ledger_assets.storage.validation import validate

PERIOD = "2025-01"
RULE_SETS = {2: "three_entries", 8: "combined"}
WHO = "bench"

T = TypeVar("T")


def run_bench(settings: Settings, *, transactions: int, lines: int, seed: int = 1) -> dict[str, Any]:
    """Close generated transactions once; seconds per step, the bare COPY of the same rows, and the ratio of
    the two.

    `lines` is 8 (rule set combined, one entry of eight lines) or 2 (three_entries, up to three entries of two lines).
    """
    steps: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, _scratch_database(settings) as administrator_url:
        url = as_role(administrator_url, ENGINE)
        file = Path(folder) / "transactions.parquet"
        write(generate(PERIOD, transactions, seed), file)
        rules = _rules(url, RULE_SETS[lines])
        totals = _close(url, file, rules, steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        bare = _bare_copy(administrator_url, _expanded(url, rules, steps))
    # Expansion and sealing happen inside staging; sealing in both writers at once, so its seconds are theirs together.
    total = sum(seconds for step, seconds in steps.items() if step not in ("expand", "seal"))
    return {
        "rows": transactions,
        "lines": totals["lines"],
        "entries": totals["entries"],
        "steps": {step: round(seconds, 3) for step, seconds in steps.items()},
        "total_s": round(total, 3),
        "bare_copy_s": round(bare, 3),
        "ratio": round((total - steps["load"]) / bare, 2),
        "transactions_per_s": round(transactions / total),
        "peak_rss_mb": peak,
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
        store_directory(connection, SHIPPED_RULES)
        return usable(connection, rule_set)


def _close(url: str, file: Path, rules: StoredRules, steps: dict[str, float]) -> dict[str, int]:
    compiled = rules.compiled()
    with connect(url) as connection:
        _timed(
            steps,
            "load",
            lambda: ingest(connection, file, period=PERIOD, mapping=load_mapping(None), currency=None, loaded_by=WHO),
        )
        batch = open_batch(
            connection,
            period=PERIOD,
            rule_set=rules.rule_set.name,
            rule_version=rules.rule_set.version,
            first_period=PERIOD,
            performed_by=WHO,
        )
        connection.commit()
        if batch is None:
            raise RuntimeError("a scratch database has no posted batch")
        staged = _timed(steps, "stage", lambda: stage(url, batch, compiled, performed_by=WHO))
        steps["seal"] = staged.sealing_seconds
        results = _timed(steps, "gates", lambda: validate(url, batch, performed_by=WHO))
        if not all(result.verdict.passed for result in results):
            raise RuntimeError(f"the benchmark's own rows fail a gate: {[r.verdict.detail for r in results]}")
        _timed(steps, "post", lambda: post_batch(connection, batch.batch_id, first_period=PERIOD, performed_by=WHO))
        _timed(steps, "snapshot", lambda: take_snapshot(connection, PERIOD, first_period=PERIOD, performed_by=WHO))
    return {"entries": staged.entries, "lines": staged.lines}


def _expanded(url: str, rules: StoredRules, steps: dict[str, float]) -> list[Expansion]:
    """The rows of the close once more, in memory, worker by worker; the time of the expansion alone goes to `steps`."""
    steps["expand"] = 0.0
    compiled, expansions, next_number = rules.compiled(), [], 1
    with connect(url) as connection:
        slices = rows(connection, "control/worker_slices", batch_id=f"{PERIOD}-MONTHEND")
        for piece in slices:
            transactions = read_slice(
                connection, PERIOD, piece["load_id"], piece["first_row_number"], piece["last_row_number"]
            )
            started = time.perf_counter()
            expansions.append(expand(transactions, compiled, first_je_number=next_number, period=PERIOD))
            steps["expand"] += time.perf_counter() - started
            next_number += expansions[-1].headers.height
    return expansions


def _bare_copy(url: str, expansions: list[Expansion]) -> float:
    """Seconds for two connections to COPY the rows into plain tables and build the same primary keys."""

    def write_tables(numbered: tuple[int, Expansion]) -> None:
        number, expansion = numbered
        header, line = sql.Identifier(f"bare_header_{number}"), sql.Identifier(f"bare_line_{number}")
        with connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE staging.je_header)").format(header))
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE staging.je_line)").format(line))
            copy_frame(cursor, header, expansion.headers, freeze=True)
            copy_frame(cursor, line, expansion.lines, freeze=True)
            cursor.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY (je_number)").format(header))
            cursor.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY (je_number, line_number)").format(line))

    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_tables, enumerate(expansions)))
    return time.perf_counter() - started
