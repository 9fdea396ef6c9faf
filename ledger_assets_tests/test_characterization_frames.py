"""What Pandera, Polars and pgpq do to frames on their way in and out, as far as ours relies on it.

A red test here means: read the code that relies on it before upgrading. Arithmetic of the expansion is in
accounting/test_characterization_polars.py.
"""

import io
from datetime import date
from decimal import Decimal
from typing import Any

import pandera.polars as pa
import polars as pl
import psycopg
import pytest
from pandera.errors import SchemaErrors
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql

from ledger_assets.storage.binary_copy import copy_frame

LARGEST_DECIMAL = Decimal("9" * 38)


# ------------------------------------------------------------------------------------------------ Pandera


def _positive(name: str = "POSITIVE") -> pa.Check:
    return pa.Check(lambda data: data.lazyframe.select(pl.col("amount") > 0), name=name, error=name, n_failure_cases=1)


SCHEMA = pa.DataFrameSchema({"amount": pa.Column(pl.Int64)}, checks=[_positive()], strict=True)


def _failed_checks(schema: pa.DataFrameSchema, frame: pl.DataFrame | pl.LazyFrame) -> list[str]:
    with pytest.raises(SchemaErrors) as caught:
        schema.validate(frame, lazy=True)
    return caught.value.failure_cases["check"].to_list()


def test_pandera_checks_the_rows_of_an_eager_frame():
    assert _failed_checks(SCHEMA, pl.DataFrame({"amount": [1, -1, -2]})) == ["POSITIVE"]


def test_pandera_passes_bad_rows_of_a_lazy_frame():
    assert SCHEMA.validate(pl.LazyFrame({"amount": [-1]}), lazy=True).collect()["amount"].to_list() == [-1]


def test_pandera_checks_the_columns_of_a_lazy_frame():
    assert _failed_checks(SCHEMA, pl.LazyFrame({"sum": [1]})) == ["column_in_schema", "column_in_dataframe"]


def test_pandera_passes_an_empty_frame_through_a_check_that_nothing_satisfies():
    never = pa.Check(lambda data: data.lazyframe.select(pl.col("amount") != pl.col("amount")), name="NEVER")
    schema = pa.DataFrameSchema({"amount": pa.Column(pl.Int64)}, checks=[never])
    assert schema.validate(pl.DataFrame(schema={"amount": pl.Int64}), lazy=True).is_empty()
    assert _failed_checks(schema, pl.DataFrame({"amount": [1]})) == ["NEVER"]


def test_pandera_tells_all_failed_checks_that_return_a_lazy_frame():
    schema = pa.DataFrameSchema({"amount": pa.Column(pl.Int64)}, checks=[_positive("ONE"), _positive("TWO")])
    assert _failed_checks(schema, pl.DataFrame({"amount": [-1]})) == ["ONE", "TWO"]


def test_pandera_refuses_a_decimal_of_another_scale():
    schema = pa.DataFrameSchema({"amount": pa.Column(pl.Decimal(18, 2))})
    amounts = pl.Series("amount", [Decimal("1.25")])
    schema.validate(amounts.cast(pl.Decimal(18, 2)).to_frame(), lazy=True)
    assert _failed_checks(schema, amounts.cast(pl.Decimal(18, 3)).to_frame()) == [
        "dtype('Decimal(precision=18, scale=2)')"
    ]


# ------------------------------------------------------------------------------------------------ Polars' decimals


def _decimals(*values: str, dtype: pl.DataType) -> pl.Series:
    return pl.Series("amount", [Decimal(value) for value in values], dtype=dtype)


def test_a_cast_to_fewer_decimals_rounds_silently():
    cents = _decimals("0.125", "0.135", dtype=pl.Decimal(18, 3)).cast(pl.Decimal(18, 2))
    assert cents.to_list() == [Decimal("0.12"), Decimal("0.14")]


def test_text_with_more_decimals_is_rounded_silently():
    assert pl.Series(["0.125", "0.135"]).cast(pl.Decimal(18, 2)).to_list() == [Decimal("0.12"), Decimal("0.14")]


def test_comparing_with_the_rounded_value_finds_the_decimals_too_many():
    amounts = _decimals("0.125", "0.120", dtype=pl.Decimal(38, 3))
    assert (amounts.cast(pl.Decimal(38, 2), strict=False) != amounts).to_list() == [True, False]


def test_a_product_of_decimals_keeps_the_larger_scale_and_rounds_silently():
    frame = pl.DataFrame({"a": [Decimal("0.05")], "b": [Decimal("0.5")]})
    product = frame.select(pl.col("a") * pl.col("b")).to_series()
    assert (product.dtype, product.item()) == (pl.Decimal(38, 2), Decimal("0.02"))


@pytest.mark.parametrize(
    "expression", [pl.col("amount") + pl.col("amount"), pl.col("amount") * pl.col("amount"), pl.col("amount").sum()]
)
def test_decimal_overflow_raises(expression: pl.Expr):
    frame = pl.DataFrame({"amount": [LARGEST_DECIMAL] * 2}, schema={"amount": pl.Decimal(38, 0)})
    with pytest.raises(pl.exceptions.ComputeError, match="overflow in decimal"):
        frame.select(expression)


def test_a_strict_cast_to_a_decimal_with_too_few_digits_raises_and_a_lax_one_gives_null():
    amount = pl.Series([LARGEST_DECIMAL], dtype=pl.Decimal(38, 0))
    with pytest.raises(pl.exceptions.InvalidOperationError, match="failed"):
        amount.cast(pl.Decimal(18, 2))
    assert amount.cast(pl.Decimal(18, 2), strict=False).to_list() == [None]


# ------------------------------------------------------------------------------------------------ Polars' CSV


def _csv(text: str, schema: dict[str, Any], **options: Any) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(text.encode()), has_header=False, schema=schema, **options)


def test_read_csv_keeps_empty_strings_when_it_is_told_to():
    schema = {"number": pl.Int32, "text": pl.String}
    assert _csv('1,""\n2,\n', schema, empty_string_is_null=False)["text"].to_list() == ["", ""]
    assert _csv('1,""\n2,\n', schema)["text"].to_list() == ["", None]


@pytest.mark.parametrize("value", ["12.34", "x", str(2**63)])
def test_read_csv_raises_on_what_is_no_int64(value: str):
    with pytest.raises(pl.exceptions.ComputeError, match="could not parse"):
        _csv(f"{value}\n", {"amount": pl.Int64}, empty_string_is_null=False)


def test_read_csv_raises_on_a_column_too_many():
    with pytest.raises(pl.exceptions.SchemaError):
        _csv("1,2\n", {"amount": pl.Int64}, empty_string_is_null=False)


# ------------------------------------------------------------------------------------------------ pgpq and COPY


def _encoder(dtype: pl.DataType | type[pl.DataType]) -> ArrowToPostgresBinaryEncoder:
    arrow = pl.DataFrame(schema={"value": dtype}).to_arrow(compat_level=pl.CompatLevel.oldest())
    return ArrowToPostgresBinaryEncoder(arrow.schema)


@pytest.mark.parametrize(
    ("dtype", "type_in_postgres"),
    [
        (pl.Int64, "Int8"), (pl.Int32, "Int4"), (pl.Int16, "Int2"), (pl.String, "Text"), (pl.Date, "Date"),
        (pl.Decimal(18, 2), "Numeric"), (pl.Decimal(38, 2), "Numeric"), (pl.List(pl.String), "List(Column(Text()"),
    ],
)  # fmt: skip
def test_pgpq_encodes_a_type_as_its_namesake(dtype: pl.DataType | type[pl.DataType], type_in_postgres: str):
    (column,) = _encoder(dtype).schema().columns
    assert repr(column).startswith(f"Column({type_in_postgres}")


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Datetime("ns")])
def test_pgpq_refuses_what_has_no_namesake(dtype: pl.DataType | type[pl.DataType]):
    with pytest.raises(ValueError, match="TypeNotSupported"):
        _encoder(dtype)


def test_int128_cannot_leave_polars():
    with pytest.raises(ValueError, match="_pli128"):
        _encoder(pl.Int128)


def _copied(connection: psycopg.Connection, column: str, frame: pl.DataFrame) -> list[Any]:
    connection.execute(sql.SQL("CREATE TEMP TABLE copied (value {})").format(sql.SQL(column)))
    with connection.cursor() as cursor:
        copy_frame(cursor, sql.Identifier("copied"), frame)
    return [value for (value,) in connection.execute("SELECT value FROM copied").fetchall()]


@pytest.mark.parametrize(
    ("dtype", "column", "values"),
    [
        (pl.Int64, "bigint", [2**63 - 1, -(2**63), None]),
        (pl.Int32, "integer", [2**31 - 1, -(2**31), None]),
        (pl.Int16, "smallint", [2**15 - 1, -(2**15), None]),
        (pl.String, "text", ["", "é€\t\n\\N", None]),
        (pl.Date, "date", [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31), None]),
        (pl.Decimal(18, 2), "numeric(18, 2)", [Decimal("9" * 16 + ".99"), Decimal("-0.01"), Decimal("0.00"), None]),
        (pl.List(pl.String), "text[]", [["A", "B"], ["C"]]),
    ],
)
def test_binary_copy_brings_every_value_as_it_was(dtype: Any, column: str, values: list[Any], ledger):
    assert _copied(ledger, column, pl.DataFrame({"value": values}, schema={"value": dtype})) == values


@pytest.mark.parametrize(("dtype", "column"), [(pl.Int32, "bigint"), (pl.Int64, "integer"), (pl.Int32, "smallint")])
def test_binary_copy_refuses_a_number_of_another_width(dtype: Any, column: str, ledger):
    with pytest.raises(psycopg.Error, match=r"incorrect binary data format|insufficient data left in message"):
        _copied(ledger, column, pl.DataFrame({"value": [1]}, schema={"value": dtype}))


def test_binary_copy_refuses_text_for_a_date(ledger: psycopg.Connection):
    with pytest.raises(psycopg.DataError):
        _copied(ledger, "date", pl.DataFrame({"value": ["2024-01-31"]}))


def test_binary_copy_takes_a_date_for_an_integer_because_only_the_width_is_checked(ledger: psycopg.Connection):
    assert _copied(ledger, "integer", pl.DataFrame({"value": [date(2000, 1, 2)]})) == [1]


def test_binary_copy_rounds_a_numeric_to_the_scale_of_the_column(ledger: psycopg.Connection):
    amounts = _decimals("0.125", dtype=pl.Decimal(18, 3)).alias("value").to_frame()
    assert _copied(ledger, "numeric(18, 2)", amounts) == [Decimal("0.13")]
