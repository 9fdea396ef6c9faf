"""The graph as a snapshot, and what must always be true of it: a change of the graph is a reviewed diff."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetKey

from ledger_assets.accounting.balances import CONTROLS
from ledger_assets.accounting.gates import GATES
from ledger_assets.definitions import defs
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "ledger_assets"
SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}

# asset: (group, what it depends on, by month?)
GRAPH = {
    "account_balance_snapshot": ("ledger", {"ledger_entries"}, True),
    "close_report": ("reports", {"account_balance_snapshot"}, True),
    "journal_templates": ("rules", set(), False),
    "ledger_entries": ("ledger", {"staged_journal_entries"}, True),
    "staged_journal_entries": ("close", {"journal_templates", "txn_source"}, True),
    "txn_source": ("source", set(), True),
}

# asset: its checks, all by month where the asset is; all block but those of WARNINGS
CHECKS = {
    "txn_source": {
        "announced_totals_arrived",
        "disk_space",
        "free_connections",
        "loads_intact",
        "prerequisites_complete",
        "rejected_rows_resolved",
        "write_probe",
    },
    "journal_templates": {
        "approved_by_a_second_person",
        "components_reach_their_fund",
        "every_account_known_and_open",
        "every_product_covered_once",
        "interfund_accounts_mirror",
        "no_version_waits_for_approval",
        "overrides_change_nothing_proven",
        "templates_balance",
    },
    "staged_journal_entries": {
        "debit_credit_balance",
        "fund_reconciliation",
        "record_count",
        "sequence_integrity",
        "source_unchanged",
    },
    "ledger_entries": {"seals_intact"},
    "account_balance_snapshot": {
        "debits_equal_credits",
        "fund_balances_agree",
        "interfund_balances_mirror",
        "opening_equals_previous_closing",
        "snapshot_equals_lines",
    },
}

WARNINGS = {"no_version_waits_for_approval"}


def check_specs():
    return [spec for checks in defs.asset_checks or [] for spec in checks.check_specs]


def test_the_graph_is_as_it_was_reviewed():
    found = {
        name: (spec.group_name, {dep.asset_key.to_user_string() for dep in spec.deps}, spec.partitions_def == MONTHS)
        for name, spec in SPECS.items()
    }
    assert found == GRAPH


def test_the_checks_are_as_they_were_reviewed():
    found: dict[str, set[str]] = {}
    for spec in check_specs():
        found.setdefault(spec.asset_key.to_user_string(), set()).add(spec.name)
    assert found == CHECKS


def test_every_check_blocks_unless_it_warns_and_is_by_month_where_its_asset_is():
    for spec in check_specs():
        assert spec.blocking is (spec.name not in WARNINGS), spec.name
        assert spec.partitions_def == SPECS[spec.asset_key.to_user_string()].partitions_def, spec.name
        assert spec.description, spec.name


def test_every_gate_and_every_control_of_the_balances_is_a_check():
    assert CHECKS["staged_journal_entries"] == set(GATES)
    assert CHECKS["account_balance_snapshot"] == set(CONTROLS)


def test_no_check_may_be_left_out_of_its_step():
    """With can_subset a check that yields nothing would let everything downstream run."""
    assert [checks.node_def.name for checks in defs.asset_checks or [] if checks.can_subset] == []


@pytest.mark.parametrize("name", GRAPH)
def test_every_asset_says_what_it_is_whose_it_is_and_what_it_is_made_with(name: str):
    spec = SPECS[name]
    assert len(spec.description or "") > 80
    assert spec.owners
    assert spec.kinds


def test_the_ledger_is_verified_every_night():
    (schedule,) = [one for one in defs.schedules or [] if one.name == "verify_daily"]
    assert schedule.cron_schedule == "0 3 * * *"
    assert schedule.job_name == "verify_ledger"


def test_what_starts_by_itself_and_what_is_off_until_it_is_switched_on():
    sensors = {one.name: (one.default_status.value, one.minimum_interval_seconds) for one in defs.sensors or []}
    assert sensors == {
        "start_month_close": ("RUNNING", 60),
        "close_overdue": ("RUNNING", 3600),
        "alert_on_runs": ("RUNNING", 30),
        "alert_on_checks": ("RUNNING", 30),
        "alert_on_operations": ("RUNNING", 30),
        "alert_on_ticks": ("RUNNING", 60),
        "deliver_alerts": ("RUNNING", 30),
    }
    schedules = {one.name: (one.default_status.value, one.cron_schedule) for one in defs.schedules or []}  # type: ignore[union-attr]
    assert schedules == {
        "verify_daily": ("RUNNING", "0 3 * * *"),
        "month_close_on_last_day": ("STOPPED", "0 23 L * *"),
        "rotate_daily": ("RUNNING", "0 2 * * *"),
        "refresh_statistics_daily": ("RUNNING", "30 2 * * *"),
        "archive_source_monthly": ("STOPPED", "0 4 15 * *"),
        "archive_ledger_monthly": ("STOPPED", "0 5 15 * *"),
    }
    assert all(len(one.description or "") > 20 for one in [*(defs.sensors or []), *(defs.schedules or [])])  # type: ignore[union-attr]


def test_everything_that_is_typed_into_the_launchpad_is_described():
    """The Launchpad shows these sentences beside the fields, and nothing else."""
    jobs = [job for job in defs.get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    assert [job.name for job in jobs if len(job.description or "") < 20] == []
    typed = {
        f"{job.name} {name}": field.description
        for job in jobs
        for node in job.nodes
        for name, field in getattr(getattr(node.definition.config_field, "config_type", None), "fields", {}).items()
    }
    assert {"restart_worker batch_id", "restore_month period", "archive_ledger dry_run"} < set(typed)
    assert [name for name, description in typed.items() if not description] == []
    assert [name for name, field in LedgerResource.model_fields.items() if not field.description] == []


def test_the_job_closes_a_month_with_everything():
    job = defs.resolve_job_def("month_close")
    assert job.partitions_def == MONTHS
    assert job.asset_layer.executable_asset_keys == {AssetKey(name) for name in GRAPH}
    assert {key.name for key in job.asset_layer.asset_graph.asset_check_keys} == set().union(*CHECKS.values())


# ------------------------------------------------------------------------------------------------ walls of the house


def imports_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_the_accounting_core_is_pure():
    forbidden = ("dagster", "psycopg", "ledger_assets.storage", "ledger_assets.assets", "ledger_assets.checks")
    for file in (PACKAGE / "accounting").rglob("*.py"):
        assert not [name for name in imports_of(file) if name.startswith(forbidden)], file


def test_importing_the_accounting_core_imports_neither_dagster_nor_psycopg():
    modules = ", ".join(f"ledger_assets.accounting.{file.stem}" for file in (PACKAGE / "accounting").glob("[a-z]*.py"))
    program = f"import sys, {modules}; print(sorted({{'dagster', 'psycopg'}} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_storage_does_not_know_dagsters_assets():
    for file in (PACKAGE / "storage").rglob("*.py"):
        if file.name != "dagster_storage.py":
            assert not [name for name in imports_of(file) if name.startswith("dagster")], file


def test_only_settings_reads_the_environment():
    for file in PACKAGE.rglob("*.py"):
        if file.name not in ("settings.py", "demo.py"):  # the demonstration hands its environment on to Dagster
            assert not re.search(r"os\.environ|getenv", file.read_text(encoding="utf-8")), file


def test_there_is_no_drawer_for_everything():
    drawers = {"utils", "helpers", "common", "misc", "lib"}
    assert [path for path in PROJECT.joinpath("ledger_assets").rglob("*") if path.stem in drawers] == []


# ------------------------------------------------------------------------------------------------ statements


def statement_names() -> set[str]:
    """Every text of the package that looks like the name of a statement, f-strings by their beginning."""
    found = set()
    for file in [*PACKAGE.rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "/" in node.value:
                found.add(node.value)
    return found


def statement_files() -> set[str]:
    return {
        str(file.relative_to(PROJECT / "sql").with_suffix(""))
        for file in (PROJECT / "sql").rglob("*.sql")
        if file.parent.name != "migrations"
    }


def test_every_statement_file_is_used():
    names = statement_names()
    beginnings = tuple(name for name in names if name.endswith(("/", "offending_")))
    # Statements that are named by a part: statement(f"control/{name}").
    parts = {node for file in PACKAGE.rglob("*.py") for node in _words(file)}
    unused = {
        name
        for name in statement_files()
        if name not in names
        and not (
            name.startswith(beginnings) and name.rsplit("/", 1)[1].removeprefix("offending_") in parts | set(GATES)
        )
    }
    assert unused == set()


def test_every_statement_that_is_named_exists():
    files = statement_files()
    folders = {name.split("/")[0] for name in files}
    named = {name for name in statement_names() if name.count("/") == 1 and name.split("/")[0] in folders}
    missing = {name for name in named if re.fullmatch(r"[a-z]+/[a-z_]*[a-z]", name) and name not in files}
    assert missing == set()


def _words(file: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
