"""What Polars and sqlglot do, as far as accounting/ relies on it. A red test here means: read the code that relies
on it before upgrading.
"""

import polars as pl
import pytest
from sqlglot import exp
from sqlglot.dialects.postgres import Postgres

LARGEST = 2**63 - 1


def _one(expression: pl.Expr, **columns: object) -> object:
    return pl.DataFrame({name: [value] for name, value in columns.items()}).select(expression).item()


def test_int64_arithmetic_wraps_silently() -> None:
    assert _one(pl.col("a") + 1, a=LARGEST) == -(2**63)
    assert _one(pl.col("a") * 2, a=LARGEST) == -2
    assert _one(pl.col("a").abs(), a=-(2**63)) == -(2**63)
    assert pl.Series([LARGEST, 1]).sum() == -(2**63)


def test_int128_arithmetic_wraps_silently_too() -> None:
    product = pl.col("a").cast(pl.Int128) * pl.lit(10**37, pl.Int128)
    assert _one(product, a=LARGEST) != LARGEST * 10**37


def test_int128_products_are_exact_within_their_range() -> None:
    assert _one(pl.col("a").cast(pl.Int128) * pl.lit(10**18, pl.Int128), a=LARGEST) == LARGEST * 10**18


def test_strict_cast_from_int128_raises_with_the_text_that_overflow_raises_looks_for() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError, match="conversion from `i128` to `i64` failed"):
        _one((pl.col("a").cast(pl.Int128) + 1).cast(pl.Int64), a=LARGEST)


def test_integer_division_floors() -> None:
    assert _one(pl.col("a").cast(pl.Int128) // pl.lit(3, pl.Int128), a=-5) == -2


def test_horizontal_sum_skips_nulls_but_plus_does_not() -> None:
    frame = pl.DataFrame({"a": [1], "b": [None]}, schema={"a": pl.Int64, "b": pl.Int64})
    assert frame.select(pl.sum_horizontal("a", "b")).item() == 1
    assert frame.select(pl.col("a") + pl.col("b")).item() is None


def test_an_exploded_array_of_columns_is_woven_row_by_row() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [10, 20], "c": [100, 200]})
    woven = frame.select(pl.concat_arr("a", "b", "c").explode()).to_series()
    assert woven.to_list() == [1, 10, 100, 2, 20, 200]
    assert frame.select(pl.concat_arr("a").explode()).to_series().to_list() == [1, 2]


def test_replace_strict_gives_the_default_for_null_too() -> None:
    column = pl.Series(["a", "z", None])
    assert column.replace_strict(["a"], [0], default=1, return_dtype=pl.Int64).to_list() == [0, 1, 1]


def test_null_propagates_as_in_sql() -> None:
    frame = pl.DataFrame({"a": ["x", None]})
    known, unknown = pl.col("a") == "x", pl.col("a") == "y"
    answers = frame.select(
        member=pl.col("a").is_in(["x"]),
        like=pl.col("a").str.contains("^x$"),
        negated=~unknown,
        conjunction=known & pl.lit(value=False),
        disjunction=known | pl.lit(value=True),
        coalesced=pl.any_horizontal(known, unknown),
    )
    assert answers.row(0) == (True, True, True, False, True, True)
    assert answers.row(1) == (None, None, None, False, True, None)


def test_the_end_of_text_in_a_regular_expression_is_the_very_end() -> None:
    assert pl.Series(["A\n"]).str.contains("^(?s:A)$").to_list() == [False]
    assert pl.Series(["A\n"]).str.contains(r"^(?s:\x{41}.)$").to_list() == [True]


def test_a_strict_cast_does_not_mind_values_that_a_condition_left_out() -> None:
    wide = pl.col("a").cast(pl.Int128) * 2
    masked = pl.when(pl.col("a") < 10).then(wide).cast(pl.Int64)
    assert pl.DataFrame({"a": [1, LARGEST]}).select(masked).to_series().to_list() == [2, None]


def _parsed(text: str) -> exp.Expr:
    (root,) = Postgres().parser().parse(Postgres().tokenize(text), text)
    assert root is not None
    return root


def test_sqlglot_reads_a_colon_name_as_placeholder_without_a_place() -> None:
    placeholder = _parsed(":gross_amount")
    assert isinstance(placeholder, exp.Placeholder)
    assert placeholder.name == "gross_amount"
    assert "start" not in placeholder.meta


def test_sqlglot_keeps_meaning_in_arguments_that_a_check_of_node_types_would_miss() -> None:
    assert _parsed("a NOT LIKE 'x'").args["negate"] is True
    assert _parsed("a IS NOT NULL").args["negate"] is True
    assert _parsed("a BETWEEN SYMMETRIC 2 AND 1").args["symmetric"] is True
    assert _parsed("a / 2").args["typed"] is True
    assert isinstance(_parsed("a NOT IN (1)"), exp.Not)


def test_sqlglot_takes_two_operands_side_by_side_for_an_alias() -> None:
    assert isinstance(_parsed("a b"), exp.Alias)


def test_sqlglot_yields_leaves_in_the_order_of_the_text() -> None:
    root = _parsed("a BETWEEN 1 AND b AND NOT c IN ('x', 'y') OR - :d = (e + 2) * 3")
    leaves = [node.name for node in root.dfs() if isinstance(node, exp.Identifier | exp.Placeholder | exp.Literal)]
    assert leaves == ["a", "1", "b", "c", "x", "y", "d", "e", "2", "3"]


def test_sqlglot_drops_comments() -> None:
    assert _parsed("1 /* one */ -- two").sql(comments=False) == "1"
