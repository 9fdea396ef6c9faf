"""What a load stores and what it rejects, on a real PostgreSQL: row by row, with totals that the server finds."""

import os
from decimal import Decimal
from pathlib import Path

import polars as pl
import psycopg
import pytest

from ledger_assets.accounting.generation import DEFECTS, generate, write
from ledger_assets.accounting.mapping import load_mapping, parse_mapping
from ledger_assets.accounting.schemas import AMOUNTS, SOURCE_COLUMNS, TEXTS
from ledger_assets.accounting.source_errors import SourceFileError
from ledger_assets.storage import source_files
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests.storage.source_delivery import (
    BLOCK_BYTES,
    everything,
    january,
    load,
    rewritten,
    rows_of,
    value_of,
)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "_CSV_BLOCK_BYTES", BLOCK_BYTES)


# ------------- what is stored


@pytest.mark.parametrize("name", ["january.csv", "january.parquet"])
def test_a_file_is_stored_row_by_row(ledger: psycopg.Connection, tmp_path: Path, name: str) -> None:
    progress: list[int] = []
    result = load(ledger, january(tmp_path, name), progress=progress.append)
    stored = rows_of(ledger, "SELECT * FROM source.txn_source ORDER BY row_number")
    good = pl.concat(generate("2025-01", 300, 1)).to_dicts()
    assert [{key: row[key] for key in SOURCE_COLUMNS} for row in stored] == good
    assert [row["row_number"] for row in stored] == list(range(1, 301))
    assert {(row["period"], row["load_id"]) for row in stored} == {("2025-01", result.load_id)}
    assert (result.row_count, result.accepted_count, result.already_loaded) == (300, 300, False)
    assert sum(progress) == 300
    assert str(result) == f"{name}: 300 rows, 300 accepted (load {result.load_id} of 2025-01)"


def test_control_totals_and_checksum_are_those_of_the_stored_rows(ledger: psycopg.Connection, tmp_path: Path) -> None:
    # Generated components of 40 % are equal: moved apart, so that one total cannot pass for another.
    frame = pl.concat(generate("2025-01", 300, 1)).with_columns(
        tanahud_amount=pl.lit("0.01").cast(pl.Decimal(18, 2)),
        ujroh_amount=pl.col("ujroh_amount") + pl.col("tanahud_amount") - pl.lit("0.01").cast(pl.Decimal(18, 2)),
    )
    path = tmp_path / "january.parquet"
    write([frame], path)
    result = load(ledger, path)
    totals = {row["txn_type"]: row for row in rows_of(ledger, "SELECT * FROM source.load_total")}
    for txn_type in ("PREMIUM", "CLAIM"):
        of_type = frame.filter(pl.col("txn_type") == txn_type)
        assert totals[txn_type]["row_count"] == of_type.height
        for name in AMOUNTS:
            assert totals[txn_type][name.replace("_amount", "_total")] == sum(of_type[name].to_list(), Decimal(0))
    checksum = value_of(ledger, "SELECT source.load_checksum(%s)", result.load_id)
    assert checksum == Decimal(result.checksum) == value_of(ledger, "SELECT checksum FROM source.load")


@pytest.mark.parametrize("column", [*SOURCE_COLUMNS, "row_number"])
def test_the_checksum_notices_a_change_of_any_column(
    ledger: psycopg.Connection, by_hand: psycopg.Connection, tmp_path: Path, column: str
) -> None:
    result = load(ledger, january(tmp_path, rows=20))
    with by_hand.transaction(force_rollback=True):
        # The constraints are not what is tested here.
        for name in ("gross_is_positive", "no_component_is_negative", "components_add_up_to_gross"):
            by_hand.execute(f"ALTER TABLE source.txn_source DROP CONSTRAINT {name}")
        changed = f"{column} || 'x'" if column in TEXTS else f"{column} - 1"
        by_hand.execute(f"UPDATE source.txn_source SET {column} = {changed} WHERE bank_value_date > '2025-01-01'")
        assert value_of(by_hand, "SELECT source.load_checksum(%s)", result.load_id) != Decimal(result.checksum)


def test_the_same_rows_have_the_same_checksum_in_another_load(ledger: psycopg.Connection, tmp_path: Path) -> None:
    first = load(ledger, january(tmp_path))
    withdraw(ledger, first.load_id, reason="again", by="tester")
    assert load(ledger, january(tmp_path)).checksum == first.checksum


def test_a_leaf_has_its_constraints_and_indexes_and_is_found_through_the_root(
    ledger: psycopg.Connection, by_hand: psycopg.Connection, tmp_path: Path
) -> None:
    result = load(ledger, january(tmp_path))
    leaf = f"txn_source_2025_01_load_{result.load_id}"
    assert value_of(ledger, "SELECT leaf::text FROM source.load") == f"source.{leaf}"
    indexes = rows_of(ledger, "SELECT indexdef FROM pg_indexes WHERE tablename = %s", leaf)
    assert sorted(row["indexdef"].partition(" USING ")[2] for row in indexes) == [
        "brin (bank_value_date)", "brin (row_number)", "btree (product_code, channel)", "btree (txn_id)",
    ]  # fmt: skip
    for fault, constraint in {
        "gross_amount = gross_amount + 1": "components_add_up_to_gross",
        "gross_amount = 0, tabarru_amount = 0, tanahud_amount = 0, ujroh_amount = 0": "gross_is_positive",
        "tabarru_amount = -1, ujroh_amount = gross_amount + 1, tanahud_amount = 0": "no_component_is_negative",
        "bank_value_date = '2025-02-01'": "has_its_value_date_in_the_period",
    }.items():
        with pytest.raises(psycopg.errors.CheckViolation) as caught, by_hand.transaction():
            by_hand.execute(f"UPDATE source.{leaf} SET {fault}")
        assert caught.value.diag.constraint_name == constraint


def test_attaching_reads_no_row(ledger: psycopg.Connection, tmp_path: Path) -> None:
    notices: list[str] = []
    ledger.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
    ledger.execute("SET client_min_messages = debug1")
    result = load(ledger, january(tmp_path))
    implied = [text for text in notices if "is implied by existing constraints" in text]
    assert any(f"load_{result.load_id}" in text for text in implied)


def test_months_and_loads_are_partitions_of_their_own(ledger: psycopg.Connection, tmp_path: Path) -> None:
    load(ledger, january(tmp_path))
    load(ledger, january(tmp_path, "late.csv", seed=2))
    february = tmp_path / "february.parquet"
    write(generate("2025-02", 100, 1), february)
    load(ledger, february, period="2025-02")
    counts = rows_of(ledger, "SELECT period, load_id, count(*) FROM source.txn_source GROUP BY 1, 2 ORDER BY 1, 2")
    assert [(row["period"], row["count"]) for row in counts] == [("2025-01", 300), ("2025-01", 300), ("2025-02", 100)]
    plan = rows_of(ledger, "EXPLAIN SELECT * FROM source.txn_source WHERE period = '2025-02'")
    assert "2025_01" not in str(plan)


# -------------------------------------------------------------------------------------------------- what is rejected


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if defect.control == "rejection"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_each_defect_is_rejected_with_its_reason_and_the_row_as_delivered(
    ledger: psycopg.Connection, tmp_path: Path, name: str, ending: str
) -> None:
    path = january(tmp_path, f"january.{ending}", defects=(name,))
    result = load(ledger, path)
    (rejected,) = rows_of(ledger, "SELECT * FROM source.rejected_row")
    assert (rejected["row_number"], rejected["reasons"], rejected["status"]) == (2, [DEFECTS[name].reason], "OPEN")
    if ending == "csv":
        delivered = pl.read_csv(path, infer_schema=False).fill_null("")
    else:
        delivered = pl.read_parquet(path).cast(pl.String)
    assert rejected["raw"] == delivered.row(1, named=True)
    assert (result.accepted_count, result.rejected_count, result.reasons) == (299, 1, {DEFECTS[name].reason: 1})
    assert "1 rejected" in str(result)


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if defect.control == "reader"])
def test_a_file_that_cannot_be_read_to_its_end_leaves_nothing(
    ledger: psycopg.Connection, tmp_path: Path, name: str
) -> None:
    load(ledger, january(tmp_path))
    before = everything(ledger)
    path = january(tmp_path, "broken.csv", rows=2000, seed=2, defects=(name,))
    with pytest.raises(SourceFileError):
        load(ledger, path)
    assert everything(ledger) == before


def test_an_id_that_comes_again_far_down_in_the_file_is_rejected(ledger: psycopg.Connection, tmp_path: Path) -> None:
    """Rows too far apart to be judged together: the unique index of the leaf finds them."""

    def repeat(frame: pl.DataFrame) -> pl.DataFrame:
        again = frame.slice(10, 2).with_columns(policy_id=pl.lit("OTHER"), channel=pl.lit('AG"E\\NCY'))
        bad = frame.slice(12, 1).with_columns(gross_amount=pl.lit("1.00"))
        return pl.concat([frame, again, bad, frame.slice(10, 1)])

    result = load(ledger, rewritten(january(tmp_path), "twice.csv", repeat))
    rejected = rows_of(ledger, "SELECT row_number, reasons, raw FROM source.rejected_row ORDER BY row_number")
    assert [(row["row_number"], row["reasons"]) for row in rejected] == [
        (301, ["DUPLICATE_TXN_ID"]), (302, ["DUPLICATE_TXN_ID"]),
        (303, ["COMPONENTS_DO_NOT_ADD_UP", "DUPLICATE_TXN_ID"]), (304, ["DUPLICATE_TXN_ID"]),
    ]  # fmt: skip
    assert rejected[0]["raw"].keys() == set(SOURCE_COLUMNS)
    assert rejected[0]["raw"]["channel"] == 'AG"E\\NCY'
    assert (result.accepted_count, result.rejected_count) == (300, 4)
    assert value_of(ledger, "SELECT count(*) FROM source.txn_source WHERE policy_id = 'OTHER'") == 0
    assert value_of(ledger, "SELECT source.load_checksum(%s)", result.load_id) == Decimal(result.checksum)


@pytest.mark.parametrize("block", [4_000, 16_000, 10_000_000])
def test_the_size_of_batches_changes_nothing(
    ledger: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    def spoil(frame: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([frame, frame.slice(0, 3).with_columns(channel=pl.lit("X")), frame.slice(0, 2)])

    monkeypatch.setattr(source_files, "_CSV_BLOCK_BYTES", block)
    load(ledger, rewritten(january(tmp_path, defects=("zero_amount",)), "spoilt.csv", spoil))
    verdicts = {row["row_number"]: row["reasons"] for row in rows_of(ledger, "SELECT * FROM source.rejected_row")}
    duplicate = ["DUPLICATE_TXN_ID"]
    # Row 2 is rejected, so 302 is the first good row with its id, and 305 repeats that one.
    assert verdicts == {
        2: ["ZERO_AMOUNT"], 301: duplicate, 302: ["ZERO_AMOUNT"], 303: duplicate, 304: duplicate, 305: ["ZERO_AMOUNT"],
    }  # fmt: skip


def test_a_load_of_which_nothing_is_accepted_has_no_leaf(ledger: psycopg.Connection, tmp_path: Path) -> None:
    result = load(ledger, january(tmp_path), period="2025-02")
    assert (result.accepted_count, result.reasons) == (0, {"WRONG_MONTH": 300})
    assert value_of(ledger, "SELECT leaf FROM source.load") is None
    assert value_of(ledger, "SELECT source.load_checksum(%s)", result.load_id) == 0
    withdraw(ledger, result.load_id, reason="wrong month", by="tester")
    assert value_of(ledger, "SELECT count(*) FROM source.rejected_row WHERE status = 'OPEN'") == 0


def test_skipped_rows_are_counted(ledger: psycopg.Connection, tmp_path: Path) -> None:
    mapping = parse_mapping(b'[skip]\nwhere = { txn_type = ["CLAIM"] }', "m.toml")
    path = january(tmp_path, defects=("zero_amount",))
    claims = pl.read_csv(path, infer_schema=False)["txn_type"].eq("CLAIM").sum()
    result = load(ledger, path, mapping=mapping)
    assert (result.skipped_count, result.rejected_count, result.row_count) == (claims, 1, 300)
    assert result.accepted_count == 299 - claims


# ------------------------------------------------------------------------------------------------------- real data

PROJECT = Path(__file__).resolve().parents[2]
LGPIF = Path(os.environ.get("LEDGER_DATA_DIR", PROJECT.parent / "shared" / "data")) / "lgpif"


@pytest.mark.skipif(not LGPIF.is_dir(), reason=f"no data in {LGPIF}")
@pytest.mark.parametrize(
    ("name", "per_year", "total"),
    [("policies", 1, Decimal(83_434_812)), ("claims", 12, Decimal("97536585.35"))],
)
def test_real_data_is_taken_in_to_the_cent(
    ledger: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, name: str, per_year: int, total: Decimal
) -> None:
    monkeypatch.undo()  # whole blocks: sixty months are read here
    mapping = load_mapping(PROJECT / "examples" / "lgpif" / f"{name}.toml")
    results = [
        load(ledger, LGPIF / f"{name}.csv", period=f"{year}-{month:02}", mapping=mapping, currency=None)
        for year in range(2006, 2011)
        for month in range(1, per_year + 1)
    ]
    assert all(result.accepted_count and not result.rejected_count for result in results)
    assert sum(result.accepted_count for result in results) == results[0].row_count
    assert value_of(ledger, "SELECT sum(gross_total) FROM source.load_total") == total
    assert value_of(ledger, "SELECT count(*) FROM source.txn_source") == results[0].row_count


def test_a_large_leaf_is_indexed_by_several_processes_and_finds_its_duplicates(
    ledger: psycopg.Connection, tmp_path: Path
) -> None:
    rows = 110_000
    frames = [frame.with_columns(pl.col("policy_id").str.pad_end(199, "-")) for frame in generate("2025-01", rows, 1)]
    last = frames[-1].tail(1).with_columns(txn_id=frames[0]["txn_id"].head(1), channel=pl.lit("ONLINE"))
    path = tmp_path / "january.parquet"
    write([*frames, last], path)
    result = load(ledger, path)
    assert (result.accepted_count, dict(result.reasons)) == (rows, {"DUPLICATE_TXN_ID": 1})
    assert value_of(ledger, "SELECT row_number FROM source.rejected_row") == rows + 1
    (leaf,) = rows_of(
        ledger,
        "SELECT pg_relation_size(leaf) AS bytes, reloptions, "
        "ARRAY(SELECT split_part(pg_get_indexdef(indexrelid), ' USING ', 2) FROM pg_index WHERE indrelid = leaf "
        "ORDER BY 1) AS indexes FROM source.load JOIN pg_class ON oid = leaf",
    )
    assert leaf["bytes"] > 32 * 1024 * 1024  # from where helpers are asked for
    assert leaf["reloptions"] is None  # how it was indexed says nothing about how it is read
    assert leaf["indexes"] == [
        "brin (bank_value_date)",
        "brin (row_number)",
        "btree (product_code, channel)",
        "btree (txn_id)",
    ]
