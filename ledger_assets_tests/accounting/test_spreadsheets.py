"""Cells that a spreadsheet must not take for formulas."""

import pytest

from ledger_assets.accounting.spreadsheets import spreadsheet_safe


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", " \t@x", "\u00a0=1", "＝1+1"],
)
def test_a_formula_becomes_text(cell: str) -> None:
    assert spreadsheet_safe(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", " ", "SUM(A1)", "a=1", "2024-01", "'=1", "1-2", "{}"])
def test_other_text_stays(cell: str) -> None:
    assert spreadsheet_safe(cell) == cell
