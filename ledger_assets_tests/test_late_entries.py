"""What counts as a late transaction, whatever else is in the books."""

from ledger_assets_tests.scenario import ROWS, rows_of, value_of
from ledger_assets_tests.test_reversal import MARCH, reversed_


def test_a_reversal_is_not_late_though_it_bears_the_date_of_what_it_answers(closed_url: str) -> None:
    reversed_(closed_url, into=MARCH)
    dated = "SELECT count(*) FROM ledger.je_header WHERE period = %s AND original_date IS NOT NULL"
    assert value_of(closed_url, dated, MARCH) == ROWS
    assert rows_of(closed_url, "SELECT * FROM ledger.late_entry") == []
