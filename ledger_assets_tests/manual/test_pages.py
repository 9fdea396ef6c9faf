"""Every command of the manual is typed, page by page, and what a page shows is what comes."""

import re

import pytest

from ledger_assets_tests.manual.contents import NOT_RUN, OTHER_PAGES, PAGES, Page
from ledger_assets_tests.manual.pages import ROOT, blocks, steps, typed
from ledger_assets_tests.manual.story import Story, tell

OURS = re.compile(r"^\s*(?:\$ |ledger-assets [a-z]+ [-2]|make [a-z]+$)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_reader_who_types_everything_sees_what_is_shown(page: Page, request: pytest.FixtureRequest) -> None:
    story: Story = request.getfixturevalue(page.books)
    failures = tell(story, page.path, steps(blocks(page.path)), NOT_RUN)
    assert not failures, "\n\n".join(["", *failures])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_no_command_stands_where_nobody_types_it(page: Page) -> None:
    """What looks like a command is in a block of commands, or the page says why it is not run."""
    for block in blocks(page.path):
        if block.language not in ("console", "sh"):
            assert not OURS.search(block.text), f"{page.path}:{block.line}: a command in a block of ```{block.language}"


def test_every_page_with_commands_is_here() -> None:
    manual = {ROOT / name for name in ("README.md", "CONTEXT.md", "examples/lgpif/README.md")}
    found = {str(path.relative_to(ROOT)) for path in manual | set((ROOT / "docs").glob("**/*.md"))}
    typed_in = {"console", "sh", "sql", ""}
    with_commands = {page for page in found if typed_in & {block.language for block in blocks(page)}}
    assert with_commands == {page.path for page in PAGES} | set(OTHER_PAGES)


@pytest.mark.parametrize("beginning", NOT_RUN)
def test_what_is_not_run_still_stands_in_the_manual(beginning: str) -> None:
    commands = [command for page in PAGES for block in blocks(page.path) for _, command, _ in typed(block)]
    assert any(command.startswith(beginning) for command in commands)
