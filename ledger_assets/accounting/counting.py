"""How many of something, as people say it."""


def counted(number: int, one: str, several: str = "") -> str:
    """`1 row`, `2,000 rows`; `several` for words that do not just take an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def entries_and_lines(entries: int, lines: int) -> str:
    """What was written, or read."""
    return f"{counted(entries, 'entry', 'entries')}, {counted(lines, 'line')}"
