"""The generator: the same rows from the same seed however they are cut, amounts that add up, defects that hit."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.generation import DEFECTS, PRODUCTS, generate, write
from ledger_assets.accounting.schemas import SOURCE_COLUMNS


def generated(period: str = "2025-01", rows: int = 2000, seed: int = 7, defects: tuple[str, ...] = ()) -> pl.DataFrame:
    return pl.concat(generate(period, rows, seed, defects))


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 500), chunk_rows=st.integers(1, 600), seed=st.integers(0, 2**64))
def test_rows_do_not_depend_on_how_they_are_cut(rows: int, chunk_rows: int, seed: int) -> None:
    whole = pl.concat(generate("2025-02", rows, seed))
    cut = pl.concat(generate("2025-02", rows, seed, chunk_rows=chunk_rows))
    assert cut.equals(whole)
    assert whole.height == rows


def test_the_first_rows_are_pinned() -> None:
    """A seed names a data set: benchmarks and issues refer to it, so it must not change from release to release."""
    first = generated(rows=1).row(0, named=True)
    assert first == {
        "txn_id": "TXN-202501-7-000000001",
        "txn_type": "PREMIUM",
        "policy_id": "POL-00502868",
        "product_code": "HYBRID-LIFE-001",
        "channel": "BROKER",
        "txn_date": date(2025, 1, 27),
        "bank_value_date": date(2025, 1, 27),
        "currency": "IDR",
        "gross_amount": Decimal("2491736.87"),
        "tabarru_amount": Decimal("996694.74"),
        "tanahud_amount": Decimal("996694.74"),
        "ujroh_amount": Decimal("498347.39"),
    }


def test_amounts_are_split_40_40_20_with_the_remainder_on_ujroh() -> None:
    minor = generated().select((pl.col("^.*_amount$") * 100).cast(pl.Int64))
    for gross, tabarru, tanahud, ujroh in minor.rows():
        assert tabarru == tanahud == gross * 40 // 100
        assert tabarru + tanahud + ujroh == gross


def test_the_month_is_plausible() -> None:
    frame = generated(period="2024-02", rows=20_000)
    contributions = frame.filter(pl.col("txn_type") == "PREMIUM")
    assert contributions["gross_amount"].is_between(500_000, 5_000_000).all()
    assert 0.13 < 1 - contributions.height / frame.height < 0.17
    assert set(frame["product_code"]) == set(PRODUCTS)
    assert (frame["bank_value_date"].min(), frame["bank_value_date"].max()) == (date(2024, 2, 1), date(2024, 2, 29))
    assert set((frame["bank_value_date"] - frame["txn_date"]).dt.total_days()) == {0, 1, 2, 3}
    assert frame.columns == list(SOURCE_COLUMNS)


def test_ids_are_unique_over_periods_and_seeds() -> None:
    frames = [generated(period, 500, seed) for period in ("2025-01", "2025-02") for seed in (1, 2)]
    assert pl.concat(frames)["txn_id"].is_unique().all()
    assert frames[0]["gross_amount"].to_list() != frames[1]["gross_amount"].to_list()


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if defect.changes])
def test_a_defect_changes_one_row_in_a_thousand_and_only_its_columns(name: str) -> None:
    good = generated().with_columns(pl.col(DEFECTS[name].as_text).cast(pl.String))
    bad = generated(defects=(name,))
    differs = good.select(
        pl.any_horizontal(pl.col(column).ne_missing(bad[column]) for column in SOURCE_COLUMNS)
    ).to_series()
    assert differs.arg_true().to_list() == [1, 1001]
    changed = {column for column in SOURCE_COLUMNS if not good[column].equals(bad[column])}
    assert changed == set(DEFECTS[name].changes)


def test_defects_do_not_hit_the_same_row() -> None:
    both = generated(rows=4, defects=("zero_amount", "missing_policy"))
    assert both["gross_amount"].eq(0).arg_true().to_list() == [1]
    assert both["policy_id"].is_null().arg_true().to_list() == [3]


def test_too_few_rows_for_the_defects_are_refused() -> None:
    with pytest.raises(LedgerError, match="2 defects need 4 rows"):
        generate("2025-01", 3, 1, ["zero_amount", "missing_policy"])


def test_an_unknown_defect_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LedgerError, match="choose from missing_component"):
        generate("2025-01", 10, 1, ["typo"])


@pytest.mark.parametrize(("period", "rows", "seed"), [("2025-13", 1, 1), ("2025-01", -1, 1), ("2025-01", 1, -1)])
def test_impossible_requests_are_refused(period: str, rows: int, seed: int) -> None:
    with pytest.raises(ValueError, match=r"must be|month"):
        generate(period, rows, seed)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_written_file_holds_the_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"january.{ending}"
    assert write(generate("2025-01", 1000, 7, chunk_rows=300), path) == 1000
    read = pl.read_csv(path, infer_schema=False) if ending == "csv" else pl.read_parquet(path)
    assert read.cast(pl.String).equals(generated(rows=1000).cast(pl.String))
    assert list(tmp_path.iterdir()) == [path], "no unfinished file may stay"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "january.csv"
    path.write_text("as it was")

    def interrupted() -> Iterator[pl.DataFrame]:
        yield generated(rows=10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(interrupted(), path)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"end in \.csv or \.parquet"):
        write(generate("2025-01", 1, 1), tmp_path / "january.xlsx")
