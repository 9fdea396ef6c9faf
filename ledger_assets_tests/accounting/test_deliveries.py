"""The controls on deliveries as functions: they pass exactly when nothing changed and nothing is open."""

from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.deliveries import loads_intact, rejected_rows_resolved
from ledger_assets.accounting.gates import LoadTotals

few = st.integers(0, 2)
loads = st.lists(st.builds(LoadTotals, load_id=few, loaded_count=few, loaded_checksum=few, count=few, checksum=few))


@given(loads=loads)
def test_loads_are_intact_when_each_is_as_it_was_loaded(loads: list[LoadTotals]) -> None:
    intact = [(load.loaded_count, load.loaded_checksum) == (load.count, load.checksum) for load in loads]
    assert loads_intact(loads).passed == all(intact)


def test_what_changed_is_named_by_load() -> None:
    verdict = loads_intact([LoadTotals(1, 10, 77, 10, 77), LoadTotals(2, 10, 77, 9, 70)])
    assert (verdict.gate, verdict.expected, verdict.actual, verdict.difference) == ("loads_intact", "20", "19", "-1")
    assert verdict.detail == (
        "a load has changed: load 2 rows: expected 10, found 9; load 2 checksum: expected 77, found 70"
    )


@given(open_rows=st.dictionaries(st.sampled_from(["ZERO_AMOUNT", "MISSING_DATE", "WRONG_MONTH"]), st.integers(1, 9)))
def test_any_open_row_is_one_too_many(open_rows: dict[str, int]) -> None:
    verdict = rejected_rows_resolved(open_rows)
    assert verdict.passed == (not open_rows)
    assert (verdict.expected, verdict.actual) == ("0", str(sum(open_rows.values())))
    assert all(f"{reason}: expected 0, found {rows}" in verdict.detail for reason, rows in open_rows.items())


def test_open_rows_say_what_can_be_done_with_them() -> None:
    assert rejected_rows_resolved({"ZERO_AMOUNT": 1200}).detail == (
        "refused rows wait for a correction (deliver it), a withdrawal of their load, or an acknowledgement: "
        "ZERO_AMOUNT: expected 0, found 1,200"
    )
