"""The composition root: what Dagster knows. Lists, no logic."""

from dagster import Definitions, in_process_executor

from ledger_assets.assets.account_balance_snapshot import account_balance_snapshot
from ledger_assets.assets.close_report import close_report
from ledger_assets.assets.journal_templates import journal_templates
from ledger_assets.assets.ledger_entries import ledger_entries
from ledger_assets.assets.staged_journal_entries import staged_journal_entries
from ledger_assets.assets.txn_source import txn_source
from ledger_assets.automation.alerts import (
    alert_on_checks,
    alert_on_operations,
    alert_on_runs,
    alert_on_ticks,
    deliver_alerts,
)
from ledger_assets.automation.housekeeping import (
    archive_ledger,
    archive_ledger_monthly,
    archive_source,
    archive_source_monthly,
    refresh_statistics,
    refresh_statistics_daily,
    restore_month,
    rotate_daily,
    rotate_partitions,
)
from ledger_assets.automation.jobs import month_close
from ledger_assets.automation.operator_jobs import month_close_rehearsal, restart_worker
from ledger_assets.automation.schedules import month_close_on_last_day, verify_daily, verify_ledger
from ledger_assets.automation.sensors import close_overdue, start_month_close
from ledger_assets.checks.account_balance_snapshot import balance_controls
from ledger_assets.checks.journal_templates import rule_approvals, rule_controls
from ledger_assets.checks.ledger_entries import seal_controls
from ledger_assets.checks.preflight import preflight_controls
from ledger_assets.checks.staged_journal_entries import gates_before_commit
from ledger_assets.checks.txn_source import delivery_controls
from ledger_assets.resources import LedgerResource

defs = Definitions(
    assets=[
        txn_source,
        journal_templates,
        staged_journal_entries,
        ledger_entries,
        account_balance_snapshot,
        close_report,
    ],
    asset_checks=[
        preflight_controls,
        delivery_controls,
        rule_controls,
        rule_approvals,
        gates_before_commit,
        seal_controls,
        balance_controls,
    ],
    jobs=[
        month_close,
        month_close_rehearsal,
        restart_worker,
        verify_ledger,
        rotate_partitions,
        refresh_statistics,
        archive_source,
        archive_ledger,
        restore_month,
    ],
    schedules=[
        verify_daily,
        month_close_on_last_day,
        rotate_daily,
        refresh_statistics_daily,
        archive_source_monthly,
        archive_ledger_monthly,
    ],
    sensors=[
        start_month_close,
        close_overdue,
        alert_on_runs,
        alert_on_checks,
        alert_on_ticks,
        alert_on_operations,
        deliver_alerts,
    ],
    resources={"ledger": LedgerResource()},
    executor=in_process_executor,  # a process per step would cost two to three seconds of imports each
)
