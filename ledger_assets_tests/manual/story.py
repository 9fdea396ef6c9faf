"""Somebody who types a page from top to bottom: one directory, one environment, one set of books.

Commands of ours run in this process, which saves seconds each; what needs a shell goes to bash, whose directory and
variables stay for the next line. Queries go to PostgreSQL as the auditor, or as the role that they name in a comment
at the top: `-- as ledger_engine`.
"""

import contextlib
import gc
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from ledger_assets import presentation
from ledger_assets.cli import main
from ledger_assets.settings import Settings
from ledger_assets.storage import server_site
from ledger_assets.storage.database import administrator_url, connect, with_options
from ledger_assets_tests.manual.comparison import difference
from ledger_assets_tests.manual.pages import ROOT, Step
from ledger_assets_tests.waiting import PATIENCE

READER: Final = "dewi"
"""Who types: the name that stands in the trail."""
_NEEDS_A_SHELL = re.compile(r"[$`*?~<>|&;\\\n]")
_BY_BASH: Final = {
    "cat", "cp", "createdb", "dropdb", "echo", "export", "grep", "head", "ls", "mkdir", "mv", "openssl",
    "pg_basebackup", "pg_dump", "pg_restore", "pg_verifybackup", "psql", "python3", "sha256sum", "tar", "test", "unset",
}  # fmt: skip
"""What is typed here beside our own commands. Anything else is not run by accident: `make` would install something."""


class NotRunHereError(RuntimeError):
    """A command that is neither run nor listed in NOT_RUN."""


@dataclass(frozen=True)
class Answer:
    """What came, and how it ended."""

    output: str
    exit_code: int


class Story:
    """A reader's directory looks like the project's, with its books in `.ledger`."""

    def __init__(self, folder: Path, home: Path, url: str | None) -> None:
        self.folder = self.here = folder
        self.environment = {
            "LEDGER_HOME": str(home),
            "LOGNAME": READER,
            "TZ": "UTC",
            "PYTHONPATH": str(ROOT),
            "PATH": os.pathsep.join([_programs(folder), str(_postgresql()), os.environ["PATH"]]),
        }
        if url is not None:
            self.environment["LEDGER_DATABASE_URL"] = url
        for entry in ROOT.iterdir():
            if not entry.name.startswith("."):
                (folder / entry.name).symlink_to(entry)
        if not (folder / ".ledger").exists():
            (folder / ".ledger").symlink_to(home)

    @property
    def settings(self) -> Settings:
        """Where the books are, whatever else was exported."""
        return Settings(
            database_url=self.environment.get("LEDGER_DATABASE_URL"), home=Path(self.environment["LEDGER_HOME"])
        )

    def type(self, command: str) -> Answer:
        """Type a line and wait for its end."""
        program = command.split(maxsplit=1)[0]
        if program == "ledger-assets" and not _NEEDS_A_SHELL.search(command):
            return self._ours(command)
        if program != "ledger-assets" and program not in _BY_BASH:
            raise NotRunHereError(f"{program} is no program that is typed here: see _BY_BASH in story.py, or NOT_RUN")
        return self._shell(command)

    def ask(self, query: str) -> list[str]:
        """A query's answer as psql prints it; of several statements that of the last."""
        role = re.match(r"-- as (\w+)", query)
        url = with_options(administrator_url(self.settings), f"-c role={role[1] if role else 'auditor'}")
        with connect(url) as connection:
            cursor = connection.execute(query.encode())
            while cursor.nextset():
                pass
            result = cursor.pgresult
            assert result is not None
            if cursor.description is None:
                return [cursor.statusmessage or ""]
            rows = [[column.name for column in cursor.description]] + [
                [(result.get_value(row, column) or b"").decode() for column in range(result.nfields)]
                for row in range(result.ntuples)
            ]
        lines = [" | ".join(row) for row in rows]
        return [lines[0], "-+-".join("---" for _ in rows[0]), *lines[1:]]

    def put(self, name: str, content: str) -> None:
        """Write a file that a page shows."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def _ours(self, command: str) -> Answer:
        words = shlex.split(command, comments=True)[1:]
        with contextlib.chdir(self.here), pytest.MonkeyPatch.context() as patch:
            patch.setattr("ledger_assets.settings._PROJECT_ROOT", self.folder)
            patch.setattr(presentation.out, "_width", presentation.WIDTH_WITHOUT_TERMINAL)
            patch.setattr(gc, "freeze", lambda: None)  # which a close does for a process that ends with it
            result = CliRunner().invoke(main, words, env=self._only_ours(), prog_name="ledger-assets")
        output = result.output
        if result.exc_info and not isinstance(result.exception, SystemExit | None):
            output += "".join(traceback.format_exception(*result.exc_info))
        return Answer(output, result.exit_code)

    def _only_ours(self) -> dict[str, str | None]:
        strange = {name: None for name in os.environ if name.startswith("LEDGER_")}
        return {**strange, **self.environment}

    def _shell(self, command: str) -> Answer:
        """Bash, which leaves behind where it went and what it exported."""
        left = self.folder.parent / f"{self.folder.name}.left"
        script = f'{command}\ncode=$?; {{ pwd; env -0; }} > "{left}"; exit $code'
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
        done = subprocess.run(
            ["timeout", str(PATIENCE), "bash", "-c", script],  # noqa: S607 (with all that bash started)
            cwd=self.here, env=inherited | self.environment, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if left.exists():
            where, _, variables = left.read_text().partition("\n")
            left.unlink()
            self.here = Path(where)
            exported = dict(entry.partition("=")[::2] for entry in variables.split("\0") if entry)
            self.environment = {
                name: value
                for name, value in exported.items()
                if name in self.environment or inherited.get(name) != value
            }
        return Answer(done.stdout, done.returncode)


def tell(story: Story, page: str, steps: Iterable[Step], not_run: Sequence[str] = ()) -> list[str]:
    """Do what the page says, in its order. What went differently: page, line, command, and how."""
    failures = []
    for step in steps:
        if step.kind == "command" and step.text.startswith(tuple(not_run)):
            continue
        if wrong := _what_is_wrong(story, step):
            failures.append(f"{page}:{step.line}: {step.text.strip()}\n{wrong}")
    return failures


def _what_is_wrong(story: Story, step: Step) -> str:
    if step.kind == "file":
        story.put(step.name, step.text)
        return ""
    if step.kind == "sql":
        try:
            answer = Answer("\n".join(story.ask(step.text)), 0)
        except Exception as fault:  # noqa: BLE001 (whatever PostgreSQL says of it is what the reader would see)
            return f"{type(fault).__name__}: {fault}"
    elif step.kind == "python":
        story.put(".program.py", step.text)
        answer = story.type("python3 .program.py")
    else:
        try:
            answer = story.type(step.text)
        except NotRunHereError as refusal:
            return str(refusal)
    if answer.exit_code != step.exit_code:
        return f"exit code {answer.exit_code} instead of {step.exit_code}:\n{answer.output}"
    return difference(step.shown, answer.output.splitlines()) if step.shown else ""


def _programs(folder: Path) -> str:
    """A directory with `ledger-assets` of this tree and its Python, for bash."""
    directory = folder.parent / f"{folder.name}.bin"
    directory.mkdir(parents=True, exist_ok=True)
    for name, arguments in (("ledger-assets", "-m ledger_assets.cli "), ("python3", "")):
        program = directory / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    return str(directory)


def _postgresql() -> Path:
    """Where psql, pg_dump and their like are that come with the packages."""
    return server_site._binaries(os.geteuid())
