"""Which months should be closed by now, and are not."""

from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import class_row

from ledger_assets.storage.database import statement


@dataclass(frozen=True)
class Overdue:
    """A month that is not closed although its day has passed. `due` is the last day on which it was in time (UTC)."""

    period: str
    due: date
    days_late: int
    status: str
    loads: int
    open_batch: str | None

    @property
    def expected(self) -> str:
        """What was to be, for an alert."""
        return f"{self.period} closed by {self.due:%Y-%m-%d}"

    @property
    def actual(self) -> str:
        """What is, for an alert."""
        batch = f", {self.open_batch}" if self.open_batch else ""
        days = "1 day" if self.days_late == 1 else f"{self.days_late:,} days"
        return f"{self.status}, {days} late{batch}"

    @property
    def what_to_do(self) -> str:
        """For an alert."""
        return f"ledger-assets status {self.period} says what it waits for; then ledger-assets close {self.period}"


def overdue(connection: psycopg.Connection, *, due_day: int, first_period: str, now: datetime) -> list[Overdue]:
    """The months that are overdue at a moment, the earliest first; one query on small tables.

    A month counts when something of it was loaded, reported or announced; another one only when it is the next to be
    closed and holds such a month up: ten empty months before it are one message, and not ten.

    Args:
        due_day: the day of the following month on which a month has to be closed at the latest (UTC).
        first_period: the first month of the books.
        now: the moment, with its time zone.
    """
    with connection.cursor(row_factory=class_row(Overdue)) as cursor:
        parameters = {"due_day": due_day, "first_period": first_period, "now": now}
        return cursor.execute(statement("control/overdue_months"), parameters).fetchall()
