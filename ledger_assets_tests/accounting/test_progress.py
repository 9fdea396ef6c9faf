"""Progress as people read it: percent, pace, time to go, and how often it is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.progress import LINES, EveryTenth, Progress, duration


def test_what_was_kept_took_no_time():
    progress = Progress(done=750_000, expected=1_000_000, kept=500_000, seconds=5)
    assert str(progress) == "75 %: 750,000 of 1,000,000 transactions, 50,000 a second, about 5 s to go"


@pytest.mark.parametrize("progress", [Progress(0, 10, 0, 0), Progress(5, 10, 5, 3), Progress(5, 10, 0, 0)])
def test_without_a_pace_there_is_no_time_to_go(progress: Progress):
    assert (progress.records_per_second, progress.seconds_to_go) == (None, None)


def test_a_hundred_percent_is_all():
    assert Progress(999_999, 1_000_000, 0, 1).percent == 99
    assert Progress(1_000_000, 1_000_000, 0, 1).percent == 100
    assert Progress(0, 0, 0, 1).percent == 100


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=200), st.integers(0, 10**6))
def test_however_many_workers_there_are_few_lines_are_told(workers: list[int], kept: int):
    done, expected, tenths, told = kept, kept + sum(workers), EveryTenth(), []
    for worker in workers:
        done += worker
        progress = Progress(done, expected, kept, 1)
        told += [progress] if tenths.is_due(progress) else []
    assert 1 <= len(told) <= LINES
    assert told[-1].percent == 100


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, said: str):
    assert duration(seconds) == said
