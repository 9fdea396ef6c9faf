"""What the manual names exists: commands, options, tables, variables, links. That it can be done is in manual/."""

import re
import shlex
from pathlib import Path

import click
import psycopg
import pytest

from ledger_assets.accounting.mapping import parse_mapping
from ledger_assets.cli import main
from ledger_assets.storage.source_loads import ingest
from ledger_assets_tests.manual.contents import PAGES as CONTENTS
from ledger_assets_tests.manual.pages import ROOT, blocks, commands, shell_lines, spans, text

MANUAL = tuple(page.path for page in CONTENTS)
PAGES = (*MANUAL, "CONTEXT.md", "CHANGELOG.md", "docs/README.md", "docs/images/README.md", "docs/monitoring.md")
VARIABLE = re.compile(r"\bLEDGER_[A-Z_]+\b")


def block(page: str, language: str) -> str:
    (found,) = (block.text for block in blocks(page) if block.language == language)
    return found


@pytest.mark.parametrize("page", MANUAL)
def test_every_command_and_option_exists(page: str) -> None:
    for name, *words in commands(page):
        assert name in main.commands, f"ledger-assets {name}"
        known = {opt for param in main.commands[name].params for opt in param.opts} | {"--help"}
        for word in words:
            assert not word.startswith("-") or word in known, f"ledger-assets {name} {word}"


@pytest.mark.parametrize("page", MANUAL)
def test_every_command_is_complete(page: str) -> None:
    """Each example can be typed as it stands: the arguments and the required options are there."""
    for name, *words in commands(page):
        command = main.commands[name]
        options = {opt: param for param in command.params if isinstance(param, click.Option) for opt in param.opts}
        given = {word for word in words if word.startswith("-")}
        values = sum(opt in options and not options[opt].is_flag for opt in given)
        arguments = [param for param in command.params if isinstance(param, click.Argument)]
        if words:  # a command that is only named has none
            missing = [opt for opt, param in options.items() if param.required and opt not in given]
            assert not missing, f"ledger-assets {name} {shlex.join(words)}"
            here = len(words) - len(given) - values
            least = sum(argument.required for argument in arguments)
            assert least <= here <= len(arguments), f"ledger-assets {name} {shlex.join(words)}"


def test_every_command_is_in_the_readme() -> None:
    """`demo` and `ui` are those of make."""
    named = {name for name, *_ in commands("README.md")} | {"demo", "ui"}
    assert named == set(main.commands)


def test_commands_that_take_json_are_named() -> None:
    (sentence,) = re.findall(r"^(Each command has .*) also take `--json`", text("README.md"), flags=re.MULTILINE)
    takes_json = {name for name, command in main.commands.items() if "--json" in str([p.opts for p in command.params])}
    assert set(re.findall(r"`([a-z-]+)`", sentence)) - {"--help"} == takes_json


@pytest.mark.parametrize("page", MANUAL)
def test_every_make_target_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), flags=re.MULTILINE))
    for line in shell_lines(page):
        if line.startswith("make "):
            words = shlex.split(line, comments=True)[1:]
            assert {word for word in words if "=" not in word} <= targets, line
            for word in words:
                assert "=" not in word or re.search(rf"^{word.split('=')[0]} \?=", text("Makefile"), re.MULTILINE), line


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {anchor_of(heading) for heading in headings}, target


def anchor_of(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_kind_of_incident_has_its_section_and_the_page_its_severity(ledger: psycopg.Connection) -> None:
    """What a message names leads somewhere, and that says what people need at 23:00."""
    kinds = ledger.execute("SELECT kind, severity FROM control.incident_kind").fetchall()
    sections = {
        one.partition("\n")[0]: one for one in re.split(r"^## ", text("docs/runbook.md"), flags=re.MULTILINE)[1:]
    }
    assert set(sections) == {kind.replace("_", " ").capitalize() for kind, _ in kinds}
    for kind, severity in kinds:
        section = sections[kind.replace("_", " ").capitalize()]
        assert f"`{kind}`, {severity}." in section, kind
        for part in ("**Look at**", "**Do**", "**Call**", "**It is over**"):
            assert part in section, f"{kind}: {part}"
    table = re.findall(r"^\| (`[A-Z_]+`.*?) \| `([A-Z]+)` \|", text("docs/alerts.md"), flags=re.MULTILINE)
    stated = {name: severity for names, severity in table for name in re.findall(r"`([A-Z_]+)`", names)}
    assert stated == dict(kinds)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_of_the_project_exists(page: str) -> None:
    ours = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    for line in shell_lines(page):
        for word in line.split():
            if word.partition("/")[0] in ours:
                assert (ROOT / word).exists(), word


@pytest.mark.parametrize("page", MANUAL)
def test_every_environment_variable_is_read(page: str) -> None:
    assert set(VARIABLE.findall(text(page))) <= set(VARIABLE.findall(text("ledger_assets/settings.py")))


def test_every_environment_variable_is_in_the_table() -> None:
    read = set(re.findall(r'"(LEDGER_[A-Z_]+)"', text("ledger_assets/settings.py")))
    assert set(re.findall(r"^\| `(LEDGER_[A-Z_]+)`", text("README.md"), flags=re.MULTILINE)) == read


@pytest.mark.parametrize("page", PAGES)
def test_every_table_view_and_function_exists(page: str, ledger: psycopg.Connection) -> None:
    schema = r"(?<!/)\b(?:source|acct|staging|ledger|control|audit)\.[a-z_]+\b"
    code = [*spans(page), *(block.text for block in blocks(page) if block.language == "sql")]
    for name in {name for part in code for name in re.findall(schema, part)}:
        found = ledger.execute("SELECT coalesce(to_regclass(%s)::text, to_regproc(%s)::text)", [name, name])
        assert found.fetchone() != (None,), name


def test_the_mapping_loads_the_file(tmp_path: Path, ledger: psycopg.Connection) -> None:
    file = tmp_path / "receipts.csv"
    file.write_text(block("README.md", "csv"), encoding="utf-8")
    mapping = parse_mapping(block("README.md", "toml").encode(), "receipts.toml")
    result = ingest(ledger, file, period="2024-06", mapping=mapping, currency=None, loaded_by="reader")
    shown = re.search(r"^receipts\.csv: .*(?= \(load)", text("README.md"), flags=re.MULTILINE)
    assert shown is not None
    assert str(result).startswith(shown[0])


def first_column(heading: str) -> list[str]:
    """What stands between backticks in the first column of the tables of a section of the operating manual."""
    section = text("docs/operating.md").partition(f"### {heading}")[2].partition("\n##")[0]
    cells = re.findall(r"^\| (.*?`.*?) \|", section, flags=re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_check_and_exception_reason_exists() -> None:
    from ledger_assets.definitions import defs  # noqa: PLC0415 (Dagster takes a second to load)

    names = first_column("Exit code 2")
    checks = {key.name for key in defs.resolve_asset_graph().asset_check_keys}
    reasons = set(re.findall(r"[A-Z_]{5,}", text("ledger_assets/accounting/posting_exceptions.py")))
    assert len(names) > 5
    for name in names:
        assert name in checks | reasons | {"account_balance_snapshot"}, name


@pytest.mark.parametrize("heading", ["Exit code 3", "Exit code 1"])
def test_every_message_is_one_of_ours(heading: str) -> None:
    files = [path for folder in ("ledger_assets", "sql") for path in (ROOT / folder).rglob("*.*")]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in files if path.suffix in {".py", ".sql"})
    messages = first_column(heading)
    assert len(messages) > 4
    for message in messages:
        for part in re.split(r"\d{4}-\d\d|\.\.\.|combined v1:", message):
            assert part.strip() in sources, message
