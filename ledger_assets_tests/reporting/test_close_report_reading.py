"""The close report on a real database: what is read, from one snapshot, and where the asset puts it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import materialize

from ledger_assets.assets.close_report import close_report as close_report_asset
from ledger_assets.reporting import reading
from ledger_assets.reporting.page import render
from ledger_assets.reporting.papers import report_path
from ledger_assets.reporting.reading import read
from ledger_assets.resources import LedgerResource
from ledger_assets_tests.reporting.close_months import BATCH
from ledger_assets_tests.reporting.page import Page
from ledger_assets_tests.scenario import execute

A_POSTED_MONTH = """
INSERT INTO acct.chart_of_accounts
    (account_code, description, account_type, fund, recognised_type, recognised_component)
VALUES ('1100-20', 'Cash', 'ASSET', 'TABARRU', NULL, NULL),
       ('4110-20', 'Contributions', 'INCOME', 'TABARRU', 'PREMIUM', 'tabarru_amount');
INSERT INTO acct.rule_set (rule_set, version, prepared_by, content_hash, approved_by, approved_at)
VALUES ('combined', 1, 'agus', repeat('a', 64), 'siti', '2024-12-20 09:00+00');
INSERT INTO control.period (period, status, next_je_number, closed_at)
VALUES ('2025-01', 'CLOSED', 2, '2025-02-03 18:20+00');
INSERT INTO control.batch (batch_id, period, kind, attempt, state, committed_at, rule_set, rule_version,
                           first_je_number, last_je_number, entry_count, line_count, started_by)
VALUES ('2025-01-MONTHEND', '2025-01', 'MONTHEND', 2, 'COMMITTED', '2025-02-03', 'combined', 1, 1, 1, 1, 2, 'dewi'),
       ('2025-01-DRYRUN', '2025-01', 'DRYRUN', 1, 'VALIDATED', NULL, 'combined', 1, 1, 1, 1, 2, 'dewi');
INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome)
VALUES ('2025-01-MONTHEND', '2025-01', 'STATE', 'rina', 'VALIDATED', 'COMMITTED', 'SUCCESS'),
       (NULL, '2025-01', 'CLOSE_PERIOD', 'budi', 'OPEN', 'CLOSED', 'SUCCESS'),
       (NULL, '2025-01', 'EXPORT', 'somebody', NULL, NULL, 'SUCCESS');
INSERT INTO control.batch_validation_result (batch_id, attempt, gate, passed, expected, actual, difference, detail)
SELECT '2025-01-MONTHEND', attempt, gate, attempt = 2, '1', '1', '+0', 'said by attempt ' || attempt
FROM generate_series(1, 2) AS attempt, unnest(ARRAY[
    'record_count', 'sequence_integrity', 'debit_credit_balance', 'fund_reconciliation', 'source_unchanged']) AS gate;
SELECT ledger.open_period('2025-01');
CREATE TABLE ledger.je_line_test (LIKE ledger.je_line);
GRANT SELECT ON ledger.je_line_test TO ledger_engine; -- as every leaf that our functions make
INSERT INTO ledger.je_line_test (amount, je_number, line_number, account_id, period)
SELECT CASE account_type WHEN 'ASSET' THEN 125050 ELSE -125050 END, 1, account_id, account_id, '2025-01'
FROM acct.chart_of_accounts;
ALTER TABLE ledger.je_line_2025_01 ATTACH PARTITION ledger.je_line_test FOR VALUES FROM (1) TO (2);
INSERT INTO control.batch_worker (batch_id, worker_number, records_expected, line_leaf)
VALUES ('2025-01-MONTHEND', 1, 1, 'ledger.je_line_test');
INSERT INTO ledger.account_balance_snapshot (period, account_code, fund, opening_balance, debit, credit)
VALUES ('2025-01', '1100-20', 'TABARRU', 0, 1250.50, 0), ('2025-01', '4110-20', 'TABARRU', 0, 0, 1250.50);
INSERT INTO ledger.fund_balance (period, fund, opening_balance, income) VALUES ('2025-01', 'TABARRU', 0, 1250.50);
INSERT INTO source.book_currency (currency, set_by) VALUES ('IDR', 'feed');
INSERT INTO source.load (load_id, period, file_name, file_sha256, mapping_sha256, row_count, accepted_count,
                         rejected_count, skipped_count, unchanged_count, checksum, loaded_by)
VALUES (1, '2025-01', 'january.csv', repeat('1', 64), repeat('0', 64), 2, 1, 1, 0, 0, 0, 'feed');
INSERT INTO source.load_total VALUES (1, 'PREMIUM', 1, 1250.50, 1250.50, 0, 0);
INSERT INTO control.load_batch VALUES (1, '2025-01-MONTHEND');
INSERT INTO source.rejected_row (load_id, row_number, txn_id, reasons, raw, status,
                                 resolved_by, resolved_at, resolution)
VALUES (1, 2, 'T-2', '{MISSING_POLICY,WRONG_MONTH}', '{"policy_id": "POL-SECRET"}', 'ACKNOWLEDGED',
        'dewi', now(), 'known');
"""

A_LATE_LOAD = """
INSERT INTO source.load (load_id, period, file_name, file_sha256, mapping_sha256, row_count, accepted_count,
                         rejected_count, skipped_count, unchanged_count, checksum, loaded_by)
VALUES (2, '2025-01', 'late.csv', repeat('2', 64), repeat('0', 64), 5, 5, 0, 0, 0, 0, 'feed');
INSERT INTO source.load_total VALUES (2, 'CLAIM', 5, 10.00, 10.00, 0, 0);
"""


def test_a_posted_month_is_read_as_it_is(ledger: psycopg.Connection, by_hand: psycopg.Connection):
    by_hand.execute(A_POSTED_MONTH)
    by_hand.commit()
    report = read(ledger, "2025-01")
    assert report.open_points == []
    assert (report.status, report.month["closed_by"], report.month["currency"]) == ("Closed", "budi", "IDR")
    assert [batch["batch_id"] for batch in report.batches] == [BATCH]
    assert (report.batches[0]["posted_by"], report.batches[0]["approved_by"]) == ("rina", "siti")
    assert report.numbers == (1, 1)
    assert report.line_debit == report.all_accounts.credit == Decimal("1250.50")
    assert [(r.txn_type, r.delivered["tabarru_amount"]) for r in report.recognitions] == [
        ("PREMIUM", Decimal("1250.50"))
    ]
    assert report.refusals == [{"reason": "MISSING_POLICY", "open": 0, "acknowledged": 1, "resolved": 0}]
    page = render(report)
    assert "1,250.50" in page
    assert "POL-SECRET" not in page


def test_what_arrived_after_posting_is_an_open_point(ledger: psycopg.Connection, by_hand: psycopg.Connection):
    by_hand.execute(A_POSTED_MONTH)
    by_hand.execute(A_LATE_LOAD)
    by_hand.commit()
    ledger.execute(
        "INSERT INTO control.exception_queue (batch_id, attempt, period, load_id, row_number, txn_id, reason, detail)"
        " VALUES ('2025-01-MONTHEND', 2, '2025-01', 2, 1, 'T-9', 'NO_TEMPLATE', 'policy POL-SECRET has no template')"
    )
    ledger.commit()
    report = read(ledger, "2025-01")
    assert report.open_points == [
        "5 delivered transactions are in no posted batch.",
        "1 transaction is in the exception queue.",
    ]
    page = Page(render(report))
    assert page.row("source", "(not in the rules)not posted yet")  # no rule of these books names CLAIM
    assert page.row("open", "NO_TEMPLATE")[1:] == [BATCH, "1"]
    assert "POL-SECRET" not in page.text


def test_the_figures_come_from_one_snapshot(
    ledger: psycopg.Connection, by_hand: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    """Somebody loads a file after the first statement: the page must not show half of it."""
    by_hand.execute(A_POSTED_MONTH)
    by_hand.commit()
    rows = reading.rows

    def rows_then_a_late_load(connection: psycopg.Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
        result = rows(connection, name, **parameters)
        if name == "reporting/batches":
            by_hand.execute(A_LATE_LOAD)
            by_hand.commit()
        return result

    monkeypatch.setattr(reading, "rows", rows_then_a_late_load)
    assert len(read(ledger, "2025-01").deliveries) == 1
    monkeypatch.undo()
    assert len(read(ledger, "2025-01").deliveries) == 2


def test_the_asset_writes_the_page_and_sums_it_up(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    execute(ledger_url, A_POSTED_MONTH)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    resources = {"ledger": LedgerResource(url=ledger_url)}
    run = materialize([close_report_asset], partition_key="2025-01", resources=resources)
    metadata = run.asset_materializations_for_node("close_report")[0].metadata
    assert metadata["path"].value == str(report_path(tmp_path, "2025-01"))
    assert "January 2025" in report_path(tmp_path, "2025-01").read_text(encoding="utf-8")
    assert (metadata["status"].value, metadata["entries"].value, metadata["open_points"].value) == ("Closed", 1, 0)
    assert "| TABARRU | 0.00 | 1,250.50 | 1,250.50 | 0.00 |" in metadata["summary"].value


def test_a_month_that_nobody_touched_is_not_posted(ledger: psycopg.Connection):
    report = read(ledger, "2025-06")
    assert (report.status, report.title, report.numbers) == ("Not posted", "June 2025", None)
    assert "The month has no batch yet." in render(report)
