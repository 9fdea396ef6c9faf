"""Text from outside as terminals, pages and logs may show it.

Here: what makes a text do something instead of saying something, made visible or harmless. Not here: masking of
personal data, and formulas in spreadsheets (the audit export has its own rule for them).
"""

import re
from typing import Final

# Control characters but tab and newline (ESC begins a command to the terminal, U+009B alone does too), line and
# paragraph separators, and the marks that turn the direction of what follows.
_COMMANDS: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~$:])")


def visible(text: str) -> str:
    r"""The text with every character that a terminal would obey written as its code: ESC as `\x1b`."""
    return _COMMANDS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def visible_in_json(document: str) -> str:
    """As `visible`, in the notation of JSON, for a document in which such characters stand in texts only."""
    return _COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def on_one_line(text: str) -> str:
    """As `visible`, on one line: it cannot pass for an entry of its own in a log."""
    return visible(" ".join(text.splitlines()))


def in_markdown(text: str) -> str:
    """The text as Markdown shows it literally: no link, no image, no cell of its own, no heading."""
    return _MARKDOWN.sub(r"\\\1", on_one_line(text))
