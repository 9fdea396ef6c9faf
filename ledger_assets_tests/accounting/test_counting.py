"""How many of something."""

import pytest

from ledger_assets.accounting.counting import counted, entries_and_lines


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ("row",), "1 row"),
        (0, ("row",), "0 rows"),
        (2_000, ("row",), "2,000 rows"),
        (1, ("batch", "batches"), "1 batch"),
        (2, ("batch", "batches"), "2 batches"),
    ],
)
def test_one_is_not_several(number: int, words: tuple[str, ...], said: str):
    assert counted(number, *words) == said


def test_what_was_written():
    assert entries_and_lines(1, 8) == "1 entry, 8 lines"
    assert entries_and_lines(1_000, 1) == "1,000 entries, 1 line"
