"""Which months should be closed by now, and are not; and that somebody is told so."""

from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import class_row

from ledger_assets.storage.database import statement
from ledger_assets.storage.incidents import report_incident, resolve


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


def note_overdue(
    connection: psycopg.Connection, *, due_day: int, first_period: str, now: datetime, performed_by: str
) -> list[Overdue]:
    """Open an incident for each month that is overdue, end those of months that are not any more; the overdue ones.

    Not any more: it was closed, or nothing of it is expected because the file for the wrong month was withdrawn. An
    incident that another program has reported is left to it. Safe to repeat: a month is noted once a day.
    """
    late = overdue(connection, due_day=due_day, first_period=first_period, now=now)
    for month in late:
        report_incident(
            connection,
            kind="CLOSE_OVERDUE",
            subject=month.period,
            period=month.period,
            expected=month.expected,
            actual=month.actual,
            what_to_do=month.what_to_do,
            occurrence=f"overdue:{month.period}:{month.days_late}",  # over, and overdue the next day: told again
            performed_by=performed_by,
        )
    open_months = {period for (period,) in connection.execute(statement("incidents/open_overdue")).fetchall()}
    for period in sorted(open_months - {month.period for month in late}):
        resolve(
            connection,
            kinds=["CLOSE_OVERDUE"],
            subject=period,
            reason="it is closed, or nothing of it is expected any more",
            performed_by=performed_by,
        )
    return late
