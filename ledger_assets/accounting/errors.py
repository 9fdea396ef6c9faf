"""The one family of errors of the accounting core.

Here: errors that say which thing is wrong (culprit), which rule it breaks, and what to do (fix), because the
reader is on call at 23:00. Not here: verdicts of gates and findings of rule checks; those are data, not exceptions.
"""

from typing import Final

_QUOTED: Final = 120
"""At most so many characters of an expression are quoted in a message."""


def quoted(value: object) -> str:
    """A value as a message shows it: short, however long it is. A number of thousands of digits has no text at all."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):
        return f"a very large {type(value).__name__}"
    return shown if len(shown) <= _QUOTED else f"{shown[:_QUOTED]}..."


class LedgerError(Exception):
    """Something that the accounting rules forbid.

    Args:
        culprit: what is wrong, named so that it can be found (file and key, template and line, row).
        rule: what is broken, as a sentence without full stop.
        fix: what the reader can do about it, as a sentence without full stop.
    """

    def __init__(self, culprit: str, rule: str, fix: str) -> None:
        # All three go to Exception.args, so that the error survives pickling between worker processes.
        super().__init__(culprit, rule, fix)
        self.culprit = culprit
        self.rule = rule
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.culprit}: {self.rule}. Fix: {self.fix}."


class AmountError(LedgerError):
    """An amount that is not a whole number of minor units, or a split that does not describe a whole."""


class AmountOverflow(AmountError):  # noqa: N818 - it says what happened; `AmountOverflowError` adds a word, no meaning
    """An exact result that does not fit into Int64 minor units. Raised instead of wrapping round silently."""


class RuleError(LedgerError):
    """Accounting rules that contradict themselves or each other."""


class RuleFileError(RuleError):
    """A rule file that cannot be read: the culprit names file and key."""


class PostingError(LedgerError):
    """Transactions that cannot be expanded as a whole (missing columns, exhausted numbers)."""


class ExpressionError(RuleError):
    """An amount or condition expression that is refused.

    Args:
        text: the whole expression.
        position: offset of the offending character in `text`, counted from 0; `len(text)` means "at the end".
        rule: what is wrong there.
        fix: what to write instead.
        where: what the expression belongs to (file and key), as soon as that is known.
    """

    def __init__(self, text: str, position: int, rule: str, fix: str, where: str = "") -> None:
        super().__init__(f"{where or 'expression'}, character {position + 1}", rule, fix)
        self.args = (text, position, rule, fix, where)
        self.text = text
        self.position = position
        self.where = where

    def at(self, where: str) -> "ExpressionError":
        """The same error, naming what the expression belongs to."""
        return ExpressionError(self.text, self.position, self.rule, self.fix, where)

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self._quoted()}"

    def _quoted(self) -> str:
        """The line of the text that holds the place, and a caret below the place."""
        start = max(self.text.rfind("\n", 0, self.position) + 1, self.position - _QUOTED // 2)
        line = self.text[start : start + _QUOTED].split("\n", 1)[0]
        # Tabs are kept in the margin so that the caret stays below its character.
        margin = "".join("\t" if character == "\t" else " " for character in line[: self.position - start])
        return f"    {line}\n    {margin}^"
