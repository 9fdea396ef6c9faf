"""What a check of the rules finds: a list of findings, empty when it passes.

Findings are data and not exceptions, because a reader wants all of them at once.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a rule set.

    Attributes:
        rule: the name of the check, such as `balance`.
        culprit: what is wrong, named so that it can be found.
        message: what is broken, as a sentence without full stop.
        fix: what to do about it.
    """

    rule: str
    culprit: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"[{self.rule}] {self.culprit}: {self.message}. Fix: {self.fix}."
