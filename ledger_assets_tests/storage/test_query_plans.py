"""How PostgreSQL answers what people ask of the books: which tables it touches, by which way, in how many blocks.

Shapes, not times (docs/queries.md has the times): on three months whose leaves are large enough that reading all of one
is not the obvious way. Each question is planned as its reader's role, with the very statement that the product uses.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from psycopg import ClientCursor

from ledger_assets.storage import books
from ledger_assets.storage.database import as_role, connect, statement
from ledger_assets.storage.reading import rows
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import close_directly, deliver, rows_of, store_rules, value_of

MONTHS: Final = ("2024-01", "2024-02", "2024-03")
JANUARY, FEBRUARY, _ = MONTHS
ROWS, ROWS_PER_WORKER = 7_000, 3_500
"""Two leaves a month, each of 3,500 entries and 28,000 lines in 179 blocks, which ANALYZE reads whole; and one
of a small late batch in February."""

NUMBER: Final = 5_000
COMMON, ABSENT, RARE = "1100-10", "3100-10", "1100-20"
"""RARE: the rule set three_entries books there, which journals the late batch alone."""


@dataclass
class Plan:
    """What EXPLAIN (ANALYZE) says of a statement, as far as it is about leaves and loads: those that are in the plan,
    those that were really read, each with the kinds of its scans, and in how many blocks; kinds of nodes; rows.
    """

    planned: set[str] = field(default_factory=set)
    read: dict[str, set[str]] = field(default_factory=dict)
    blocks: int = 0
    nodes: set[str] = field(default_factory=set)
    rows: int = 0

    def take(self, node: Mapping[str, Any]) -> "Plan":
        """Add a node and those under it."""
        kind, table = node["Node Type"], node.get("Relation Name", "")
        self.nodes.add(kind)
        if table.startswith(("je_", "txn_source")):
            self.planned.add(table)
            if node["Actual Loops"]:
                self.read.setdefault(table, set()).add(kind)
                self.blocks += node["Shared Hit Blocks"] + node["Shared Read Blocks"]
        for child in node.get("Plans", []):
            self.take(child)
        return self


def plan_of(url: str, role: str, text: str, **parameters: Any) -> Plan:
    """How a statement is executed by a role."""
    with closing(connect(as_role(superuser(url), role))) as connection, ClientCursor(connection) as cursor:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {cursor.mogrify(text, parameters)}"
        ((found,),) = cursor.execute(explain.encode()).fetchall()
    top = found[0]["Plan"]
    return Plan(rows=round(top["Actual Rows"])).take(top)


def leaves(url: str, root: str, period: str, je_number: int | None = None) -> set[str]:
    """The leaves of a month, or the one that holds a number."""
    found = rows_of(
        url,
        f"SELECT (w.{root}_leaf)::text AS name FROM control.batch_worker w JOIN control.batch b USING (batch_id) "
        "WHERE b.period = %s AND b.state = 'COMMITTED' "
        "AND coalesce(%s::integer, w.first_je_number) BETWEEN w.first_je_number AND w.last_je_number",
        period,
        je_number,
    )
    return {row["name"].removeprefix("ledger.") for row in found}


def entry(url: str, name: str = "queries/entry") -> Plan:
    return plan_of(url, "auditor", statement(name), period=JANUARY, je_number=NUMBER)


def page(url: str, account_code: str, *, after: int = 0, period: str = FEBRUARY) -> Plan:
    account = value_of(url, "SELECT account_id FROM acct.chart_of_accounts WHERE account_code = %s", account_code)
    return plan_of(
        url, "auditor", statement("queries/account_lines"),
        period=period, account_id=account, after_entry=after, after_line=0, page=books.PAGE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def january() -> dict[str, int]:
    """Question -> blocks of leaves and loads that its answer took when January was the only month."""
    return {}


@pytest.fixture(scope="module")
def url(
    test_server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory, january: dict[str, int]
) -> Iterator[str]:
    """Three closed months, the second with a late batch; prepared for readers. Nobody changes it."""
    folder = tmp_path_factory.mktemp("deliveries")
    with cloned(test_server_url, template_database) as url:
        store_rules(url)
        for month in MONTHS:
            deliver(url, month, folder=folder, rows=ROWS)
            close_directly(url, month, rows_per_worker=ROWS_PER_WORKER)
            if month == FEBRUARY:
                deliver(url, month, folder=folder, rows=20, seed=2)
                close_directly(url, month, rule_set="three_entries")
            books.prepare_for_readers(url, month)
            if month == JANUARY:
                january |= {name: entry(url, name).blocks for name in ("queries/entry", "queries/explain_entry")}
                january["page"] = page(url, COMMON, period=JANUARY).blocks
        yield url


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("snapshot/trial_balance", {}),
        ("queries/fund_statement", {"fund": "TABARRU"}),
        ("queries/explain_balance", {"account_code": COMMON}),
    ],
)
def test_balances_and_what_they_are_made_of_are_told_without_reading_a_line(
    url: str, name: str, parameters: dict[str, str]
) -> None:
    plan = plan_of(url, "finance_viewer", statement(name), period=FEBRUARY, **parameters)
    assert plan.planned == set()
    assert plan.rows > 1


def test_one_entry_is_two_leaves_read_by_their_keys(url: str) -> None:
    plan = entry(url)
    both = leaves(url, "header", JANUARY, NUMBER) | leaves(url, "line", JANUARY, NUMBER)
    assert plan.read == {leaf: {"Index Scan"} for leaf in both}
    assert plan.planned == both
    assert (len(both), plan.rows) == (2, 8)


def test_one_entry_is_explained_from_its_two_leaves_and_its_load(url: str) -> None:
    plan = entry(url, "queries/explain_entry")
    (load,) = rows_of(url, "SELECT leaf::text AS name FROM source.load WHERE period = %s", JANUARY)
    read = leaves(url, "header", JANUARY, NUMBER) | leaves(url, "line", JANUARY, NUMBER)
    assert plan.read == {leaf: {"Index Scan"} for leaf in read | {load["name"].removeprefix("source.")}}
    assert plan.rows == 8


def test_a_transaction_is_found_by_the_index_of_each_load_and_its_entry_in_one_leaf_of_headers(url: str) -> None:
    txn_id = "TXN-202401-1-000005000"
    found = plan_of(url, "auditor", statement("queries/delivered_rows"), txn_id=txn_id)
    loads = rows_of(url, "SELECT leaf::text AS name, accepted_count FROM source.load")
    large = {load["name"].removeprefix("source.") for load in loads if load["accepted_count"] == ROWS}
    assert {leaf: found.read[leaf] for leaf in large} == {leaf: {"Index Scan"} for leaf in large}
    assert len(large) == len(loads) - 1  # that of twenty rows is one block, read as it lies
    assert found.rows == 1
    assert found.blocks < 4 * len(loads)
    (place,) = rows_of(url, "SELECT load_id, row_number FROM source.txn_source WHERE txn_id = %s", txn_id)
    with closing(connect(url)) as connection:
        (worker,) = rows(connection, "queries/row_journaled", **place)
    entries = plan_of(url, "auditor", statement("queries/entries_of_transaction"), **worker, txn_id=txn_id)
    assert entries.planned == entries.read.keys() == leaves(url, "header", JANUARY, NUMBER)
    assert entries.rows == 1


@pytest.mark.parametrize("name", ["queries/entry", "queries/explain_entry"])
def test_an_entry_takes_as_many_blocks_in_a_ledger_three_times_as_large(
    url: str, january: dict[str, int], name: str
) -> None:
    assert entry(url, name).blocks == january[name] < 40


def test_the_first_page_of_a_common_account_is_read_from_the_first_leaf_in_order(
    url: str, january: dict[str, int]
) -> None:
    plan = page(url, COMMON)
    (first,) = leaves(url, "line", FEBRUARY, 1)
    assert plan.planned == leaves(url, "line", FEBRUARY)
    assert plan.read == {first: {"Index Scan"}}
    assert "Sort" not in plan.nodes
    assert plan.rows == books.PAGE
    assert page(url, COMMON, period=JANUARY).blocks == january["page"] < 20


def test_a_later_page_leaves_out_the_leaves_that_are_done_with(url: str) -> None:
    plan = page(url, COMMON, after=NUMBER)
    assert plan.planned == leaves(url, "line", FEBRUARY) - leaves(url, "line", FEBRUARY, 1)
    assert plan.rows == books.PAGE
    assert plan.blocks < 20


def test_an_account_with_few_lines_is_found_without_reading_the_month(url: str) -> None:
    plan = page(url, RARE)
    (late,) = leaves(url, "line", FEBRUARY, ROWS + 1)
    assert {leaf for leaf, ways in plan.read.items() if ways != {"Bitmap Heap Scan"}} <= {late}
    assert plan.read.keys() == leaves(url, "line", FEBRUARY)
    assert plan.rows == 20
    assert plan.blocks < 25
    assert page(url, ABSENT).rows == 0
    assert page(url, ABSENT).blocks < 25


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM ledger.ledger_entry_line WHERE period = '2024-02' AND account_code = '1100-10'",
        "SELECT fund, sum(debit_amount) FROM ledger.ledger_entry_line WHERE period = '2024-02' GROUP BY fund",
        "SELECT * FROM ledger.ledger_entry_header WHERE period = '2024-02' AND source_id = 'TXN-202402-1-000000001'",
        "SELECT * FROM ledger.ledger_entry_line WHERE period > '2024-01' AND period <= '2024-02'",
    ],
)
def test_a_reader_who_names_the_month_reads_no_other(url: str, query: str) -> None:
    plan = plan_of(url, "batch_admin", query)
    assert plan.planned <= leaves(url, "line", FEBRUARY) | leaves(url, "header", FEBRUARY)
    assert plan.rows > 0


def test_a_month_that_is_only_known_when_the_query_runs_is_planned_for_all_and_read_alone(url: str) -> None:
    last = "(SELECT max(period) FROM control.period WHERE status = 'CLOSED')"
    plan = plan_of(
        url, "batch_admin", f"SELECT * FROM ledger.ledger_entry_line WHERE period = {last} AND je_number = 7"
    )
    assert plan.read == {leaf: {"Index Scan"} for leaf in leaves(url, "line", MONTHS[-1], 7)}
    assert len(plan.planned) == len(MONTHS)
