"""What can be wrong with a delivery as a whole: its file, its mapping, or its place in the books.

Here: the errors that end an ingest with nothing loaded. Not here: what is wrong with a single row (schemas); a bad row
is data, it is kept with its reasons.
"""

from functools import partial

from ledger_assets.accounting.errors import LedgerError


class SourceFileError(LedgerError):
    """A file that cannot be read as transactions.

    Args:
        file: the file as the user named it.
        problem: what is wrong with it, as a sentence without full stop.
        fix: what to do about it, as a sentence without full stop.
        line: the line of a text file (the header is line 1), or for Parquet the row, counted from 1.
        column: the column of the file.
        value: the offending text.
    """

    def __init__(
        self,
        file: str,
        problem: str,
        fix: str,
        *,
        line: int | None = None,
        column: str | None = None,
        value: str | None = None,
    ) -> None:
        places = [file, "" if line is None else f"line {line}", "" if column is None else f"column {column}"]
        super().__init__(", ".join(filter(None, places)), problem, fix)
        self.file = file
        self.line = line
        self.column = column
        self.value = value

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders by pickle, which by itself would lose the keyword arguments.
        whole = partial(SourceFileError, line=self.line, column=self.column, value=self.value)
        return whole, (self.file, self.rule, self.fix)


class UnreadableValue(LedgerError):  # noqa: N818 - not yet an error: the reader makes it one of its file
    """A value that is not what its column holds (a number, a date), found in a frame that does not know its file.

    Args:
        row_number: the row in the file, counted from 1.
        column: the column of the file.
        value: the offending value as text.
        problem: what it should have been.
        fix: what to write instead.
    """

    def __init__(self, row_number: int, column: str, value: str, problem: str, fix: str) -> None:
        super().__init__(f"row {row_number}, column {column}", problem, fix)
        self.args = (row_number, column, value, problem, fix)
        self.row_number = row_number
        self.column = column
        self.value = value


class MappingError(LedgerError):
    """A mapping that cannot be used: the culprit names the file and the key, the fix what is allowed there."""


class LoadRefusedError(LedgerError):
    """A load that may not be made or withdrawn, although the file can be read."""
