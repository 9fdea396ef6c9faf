"""A page of the manual, taken apart: its fenced blocks, and what a reader may type of it.

Belongs here: reading Markdown. Not here: running anything (story.py), or what is said of a page (the tests).
"""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<inside>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_EXIT_CODE = re.compile(r"(?:\s+# |^)exit code (\d+)$")


class Block(NamedTuple):
    """A fenced block: the word after the fence, what is inside, where that begins, and what was said of it."""

    language: str
    text: str
    line: int
    before: str
    """The last line before the fence that is not empty."""
    follows_a_block: bool
    """Whether nothing but empty lines lies between it and the block before."""
    not_run: str = ""
    """The reason why its commands are not run: `<!-- not run: ... -->` on the line before."""


class Step(NamedTuple):
    """One thing that a reader does, in the order of the page."""

    line: int
    kind: str
    """`command`, `sql`, `python`, or `file`: what is shown is put into a file."""
    text: str
    shown: list[str]
    """The output that the page shows; empty when it shows none."""
    exit_code: int = 0
    name: str = ""
    """Of a file."""


def text(page: str) -> str:
    """The page as it is in the tree."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(markdown: str) -> list[Block]:
    """The fenced blocks, without their indentation."""
    found, end = [], 0
    for fence in _FENCE.finditer(markdown):
        between = [line.strip() for line in markdown[end : fence.start()].splitlines() if line.strip()]
        mark = _NOT_RUN.fullmatch(between[-1]) if between else None
        before = between[:-1] if mark else between
        inside = re.sub(rf"^{fence['indent']}", "", fence["inside"], flags=re.MULTILINE)
        line = markdown.count("\n", 0, fence.start()) + 2
        follows = bool(found) and not before
        found.append(Block(fence["language"], inside, line, (before or [""])[-1], follows, mark[1] if mark else ""))
        end = fence.end()
    return found


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page of the tree."""
    return blocks_of(text(page))


def spans(page: str) -> list[str]:
    """What stands between backticks in the prose."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text(page)))


def shell_lines(page: str) -> Iterator[str]:
    """Everything that a reader may type: the lines of shell blocks, the commands of a console, inline code."""
    for block in blocks(page):
        for _, command, _ in typed(block):
            yield command
    yield from spans(page)


def commands(page: str) -> Iterator[list[str]]:
    """The words after `ledger-assets`, wherever it stands."""
    for line in shell_lines(page):
        words = shlex.split(line, comments=True) if "ledger-assets" in line else []
        if len(words) > 1 and words[0] == "ledger-assets":
            yield words[1:]


def steps(found: list[Block]) -> Iterator[Step]:
    """What a reader of these blocks does, one after the other. Blocks that are marked as not run are left out."""
    for block, following in pairwise([*found, None]):
        if block.not_run:
            continue
        if block.language in ("console", "sh"):
            yield from _commands_typed(block)
        elif block.language in ("sql", "python"):
            shown = following.text.splitlines() if _is_its_output(following) else []
            yield Step(block.line, block.language, block.text, shown)
        elif name := _file_named(block):
            yield Step(block.line, "file", block.text, [], name=name)


def typed(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    """The commands of a shell block or a console, each with its line and the output shown after it."""
    if block.language not in ("console", "sh"):
        return
    lines = list(enumerate(block.text.splitlines(), start=block.line))
    while lines:
        number, line = lines.pop(0)
        command = line.removeprefix("$ ")
        while lines and _goes_on(command):
            command += "\n" + lines.pop(0)[1]
        output: list[str] = []
        while block.language == "console" and lines and not lines[0][1].startswith("$ "):
            output.append(lines.pop(0)[1])
        if command.strip() and not command.lstrip().startswith("#"):
            yield number, command, output


def _goes_on(command: str) -> bool:
    """Whether the line ends in the middle of a command: in a quotation, or before a backslash."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return command.endswith("\\")


def _commands_typed(block: Block) -> Iterator[Step]:
    for line, command, output in typed(block):
        if told := _EXIT_CODE.search(command):
            yield Step(line, "command", command[: told.start()], output, int(told[1]))
        elif output and (told := _EXIT_CODE.fullmatch(output[-1])):
            yield Step(line, "command", command, output[:-1], int(told[1]))
        else:
            yield Step(line, "command", command, output)


def _is_its_output(block: Block | None) -> bool:
    return block is not None and block.language == "text" and block.follows_a_block


def _file_named(block: Block) -> str:
    """The file that the line before a data block names last, as in: Take this file, `receipts.csv`:"""
    names = re.findall(r"`([\w./-]+\.\w+)`", block.before) if block.before.endswith(":") else []
    return names[-1] if names and block.language in ("csv", "toml", "json", "ini") else ""
