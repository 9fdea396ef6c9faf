"""Cells that a spreadsheet program will open."""

from typing import Final

_BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def spreadsheet_safe(cell: str) -> str:
    """The text with an apostrophe before it if a spreadsheet would take it for a formula.

    That is text that begins with one of = + - @, with a tab or a line break, also after blanks (spreadsheets drop them)
    and in full width. A plain number such as -12.50 is text like any other: write numbers as numbers.
    """
    if cell.startswith(_BEGINS_A_FORMULA) or cell.lstrip().startswith(_BEGINS_A_FORMULA):
        return f"'{cell}"
    return cell
