"""How long hypothesis looks: a moment in CI, as many times as FUZZ_TIMES says in a campaign (`make fuzz`)."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

TIMES: Final = int(os.environ.get("FUZZ_TIMES", "1"))
"""How many times the examples of CI a campaign tries."""


def examples(number: int) -> settings:
    """So many examples in CI, and `FUZZ_TIMES` as many in a campaign."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
