"""What a batch does about workers that failed (A3): the 10 % and 20 % rules, in one place.

Here: the limits and the decision, from counts. Not here: what counts as a failed worker, and the doing
(`storage/staging.py`).
"""

from enum import StrEnum
from fractions import Fraction
from typing import Final

HEALS_BELOW: Final = Fraction(10, 100)
PAUSES_FROM: Final = Fraction(20, 100)
TRIES: Final = 2
"""How often a worker is tried in all by a batch that heals itself."""


class Decision(StrEnum):
    """What the batch does next."""

    HEAL = "heal"
    """Go on; when the others are done, do the failed ones once more."""
    FINISH = "finish"
    """Go on with the others, then end FAILED: a person looks at the failed ones and restarts them."""
    PAUSE = "pause"
    """Begin no further worker, end FAILED: what is wrong is not a single worker's."""


def decide(failed: int, total: int) -> Decision:
    """The decision after `failed` of `total` workers have failed; both limits are shares of all workers of the batch.

    Under 10 % it heals itself, at exactly 10 % no longer; from exactly 20 % on it pauses. So with up to five workers
    one failure is a pause, with six to ten it ends the batch after the others, from eleven on it is healed.
    Raises ValueError for counts that cannot be.
    """
    if not 0 <= failed <= total:
        raise ValueError(f"{failed} of {total} workers cannot have failed")
    if failed == 0:
        return Decision.HEAL
    share = Fraction(failed, total)
    if share < HEALS_BELOW:
        return Decision.HEAL
    return Decision.FINISH if share < PAUSES_FROM else Decision.PAUSE


def in_words(failed: int, total: int) -> str:
    """How many failed, and what that means: the beginning of the reason of a failed batch."""
    counted = f"{failed} of {total} workers failed ({100 * failed / total:.0f} %)"
    match decide(failed, total):
        case Decision.HEAL:
            return f"{counted}, and failed again when they were done once more"
        case Decision.FINISH:
            return f"{counted}: from {HEALS_BELOW * 100} % on a batch does not heal itself"
        case Decision.PAUSE:
            return f"paused, {counted}: from {PAUSES_FROM * 100} % on no further worker is begun"
