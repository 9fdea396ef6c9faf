"""The 10 % and 20 % rules as functions of counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.worker_failures import Decision, decide, in_words

ORDER = [Decision.HEAL, Decision.FINISH, Decision.PAUSE]


@pytest.mark.parametrize(
    ("failed", "total", "decision"),
    [
        (0, 0, Decision.HEAL),
        (0, 1, Decision.HEAL),
        (1, 1, Decision.PAUSE),
        (1, 5, Decision.PAUSE),  # exactly 20 %
        (1, 6, Decision.FINISH),
        (1, 10, Decision.FINISH),  # exactly 10 %
        (1, 11, Decision.HEAL),
        (2, 11, Decision.FINISH),
        (3, 15, Decision.PAUSE),
        (199, 1000, Decision.FINISH),
        (200, 1000, Decision.PAUSE),
        (99, 1000, Decision.HEAL),
        (100, 1000, Decision.FINISH),
    ],
)
def test_the_limits_belong_to_the_severer_side(failed: int, total: int, decision: Decision):
    assert decide(failed, total) is decision


@given(total=st.integers(1, 10**12), failed=st.integers(0, 10**12))
def test_the_decision_is_that_of_whole_numbers(total: int, failed: int):
    """Without a share: ten times the failed against the total."""
    if failed > total:
        with pytest.raises(ValueError, match="cannot have failed"):
            decide(failed, total)
        return
    severity = (failed > 0 and 10 * failed >= total) + (failed > 0 and 5 * failed >= total)
    assert decide(failed, total) is ORDER[severity]


@given(total=st.integers(1, 500), failed=st.integers(0, 499))
def test_another_failure_never_makes_it_milder(total: int, failed: int):
    if failed < total:
        assert ORDER.index(decide(failed + 1, total)) >= ORDER.index(decide(failed, total))


def test_the_reason_names_the_limit_that_was_reached():
    assert in_words(1, 6) == "1 of 6 workers failed (17 %): from 10 % on a batch does not heal itself"
    assert in_words(2, 6) == "paused, 2 of 6 workers failed (33 %): from 20 % on no further worker is begun"
    assert in_words(1, 20) == "1 of 20 workers failed (5 %), and failed again when they were done once more"
