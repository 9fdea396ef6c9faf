"""How far a batch is, how fast, and how long it will take (A3); and when that is worth a line.

Pure: counts and seconds in, words out. Records are source transactions, of a reversal entries.
"""

from dataclasses import dataclass, field

SLOW_BELOW = 500
"""Records a second, as `control.slow_workers` has it."""
SLOW_AFTER_SECONDS = 5
"""A worker that took less is not called slow, whatever its pace: its fixed cost counts more than its rows."""
LINES = 10
"""At most so many lines tell the progress of a batch."""


@dataclass(frozen=True)
class Progress:
    """Where a batch stands. `done` includes what was `kept` from the attempt before, which took no time of this one."""

    done: int
    expected: int
    kept: int
    seconds: float

    @property
    def percent(self) -> int:
        """Whole percent, rounded down: 100 is said when all is done, and not before."""
        return 100 if self.done >= self.expected else 100 * self.done // self.expected

    @property
    def records_per_second(self) -> int | None:
        """The pace of this attempt; None while it has none."""
        made = self.done - self.kept
        return round(made / self.seconds) if made > 0 and self.seconds > 0 else None

    @property
    def seconds_to_go(self) -> int | None:
        """At the pace so far; None while there is none."""
        pace = self.records_per_second
        return round(max(self.expected - self.done, 0) / pace) if pace else None

    def __str__(self) -> str:
        told = f"{self.percent} %: {self.done:,} of {self.expected:,} transactions"
        if self.records_per_second is not None:
            told += f", {self.records_per_second:,} a second"
        if self.seconds_to_go:
            told += f", about {duration(self.seconds_to_go)} to go"
        return told


@dataclass
class EveryTenth:
    """Lets one progress of each tenth through: at most ten lines a batch, the last one at 100 %."""

    _told: int = field(default=0, init=False)

    def is_due(self, progress: Progress) -> bool:
        """Whether this one begins another tenth."""
        tenth = progress.percent * LINES // 100
        if tenth <= self._told:
            return False
        self._told = tenth
        return True


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 5 s, 20 min, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if left else f"{minutes} min"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if left else f"{hours} h"
