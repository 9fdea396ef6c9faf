"""What a page shows, and what came: the same but for what differs from day to day and from machine to machine.

Not compared: moments, durations, sizes in bytes, hashes and ids of hex digits, how wide a column is, empty lines. A
line `...` stands for any lines, `...` within a line for any text. Amounts, counts, days of the books, names and words
have to be there as they are shown.
"""

import difflib
import re
from collections.abc import Sequence

_ALIKE = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?)\b)?"), "<moment>"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:ms|s|min|seconds|minutes)\b"), "<duration>"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:bytes|kB|MB|GB|KiB|MiB|GiB)\b"), "<size>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b(?=[0-9]*[a-f])[0-9a-f]{12,}\b"), "<hash>"),
    (re.compile(r"(?:-+\+)+-+|-{3,}|─+"), "---"),
    (re.compile(r"\s+"), " "),
)


def normalised(lines: Sequence[str]) -> list[str]:
    """The lines as they are compared."""
    found = []
    for line in lines:
        for pattern, word in _ALIKE:
            line = pattern.sub(word, line)  # noqa: PLW2901 (each works on what the one before left)
        if line.strip():
            found.append(line.strip())
    return found


def difference(shown: Sequence[str], came: Sequence[str]) -> str:
    """Nothing when the lines that came are those that the page shows, else a diff from the page to what came."""
    page, answer = normalised(shown), normalised(came)
    if re.fullmatch("".join(_as_pattern(line) for line in page), "".join(f"{line}\n" for line in answer)):
        return ""
    return "\n".join(difflib.unified_diff(page, answer, "the page shows", "what came", lineterm="", n=2))


def _as_pattern(line: str) -> str:
    if line == "...":
        return r"(?:.*\n)*?"
    return ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
