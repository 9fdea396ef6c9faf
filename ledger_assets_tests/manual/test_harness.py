"""The test of the manual finds what is wrong in a page: each of these small pages has one mistake, or none."""

import pytest

from ledger_assets_tests.manual.comparison import difference
from ledger_assets_tests.manual.pages import blocks_of, steps
from ledger_assets_tests.manual.story import Story, tell

FENCE = "```"


def page(language: str, *lines: str, before: str = "", after: str = "") -> str:
    return "\n".join(["# A page", "", before, f"{FENCE}{language}", *lines, FENCE, after]).replace("\n\n\n", "\n\n")


def told(story: Story, markdown: str, *not_run: str) -> list[str]:
    return tell(story, "page.md", steps(blocks_of(markdown)), not_run)


# ------------------------------------------------------------------------------------------------ a page in a story


def test_a_page_that_is_right_is_told_without_a_word(no_books: Story) -> None:
    markdown = page(
        "console",
        "$ ledger-assets generate --period 2024-01 --rows 10 --out january.csv",
        "january.csv: 10 transactions of 2024-01",
        "$ ledger-assets ingest january.csv --period 2024-01   # a comment",
        "...",
        "$ ledger-assets close 2024-02 --dry-run   # exit code 3",
        "$ ledger-assets close 2024-02 --dry-run",
        "2024-02 was not started (0.1 s)",
        "...",
        "exit code 3",
        "$ export WHERE=$(ls *.csv)",
        '$ echo "$WHERE"',
        "january.csv",
    )
    assert told(no_books, markdown) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["$ ledger-assets clsoe 2024-01"], "page.md:4: ledger-assets clsoe 2024-01\nexit code 1 instead of 0"),
        (["$ ledger-assets status   # exit code 2"], "page.md:4: ledger-assets status\nexit code 0 instead of 2"),
        (["", "$ ledger-assets status", "months: 3"], "page.md:5: ledger-assets status\n--- the page shows"),
        (["$ ledger-assets status", "...", "closed"], "-closed"),
        (["$ python3 -c 'import nothing_of_that_name'"], "exit code 1 instead of 0"),
        (["$ make install"], "make is no program that is typed here"),
    ],
)
def test_what_is_wrong_is_said_with_page_line_and_command(no_books: Story, lines: list[str], said: str) -> None:
    (failure,) = told(no_books, page("console", *lines))
    assert said in failure


def test_a_query_is_asked_and_its_table_compared(three_months: Story) -> None:
    query = "SELECT period, status FROM control.period ORDER BY period LIMIT 1;"
    table = [f"{FENCE}text", " period  | status", "---------+--------", " 2024-01 | CLOSED", FENCE]
    assert told(three_months, page("sql", query, after="\n".join(table))) == []
    (wrong,) = told(three_months, page("sql", query, after="\n".join(table).replace("CLOSED", "OPEN")))
    assert "-2024-01 | OPEN\n+2024-01 | CLOSED" in wrong
    (wrong,) = told(three_months, page("sql", "SELECT nothing FROM control.period;"))
    assert "UndefinedColumn" in wrong
    (wrong,) = told(three_months, page("sql", "-- as finance_viewer", "SELECT * FROM ledger.je_line;"))
    assert "InsufficientPrivilege" in wrong


def test_files_that_a_page_shows_are_there(no_books: Story) -> None:
    markdown = page("toml", "[file]", before="Write this, `mapping.toml`:") + page(
        "console", "$ cat mapping.toml", "[file]"
    )
    assert told(no_books, markdown) == []


def test_a_block_that_is_marked_and_a_command_that_is_listed_are_not_run(no_books: Story) -> None:
    marked = page("console", "$ ledger-assets clsoe", before="<!-- not run: it is mistyped -->")
    assert [block.not_run for block in blocks_of(marked)] == ["it is mistyped"]
    assert told(no_books, marked) == []
    assert told(no_books, page("sh", "make demo"), "make demo") == []


# ------------------------------------------------------------------------------------------------ what is the same


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("posted (0.2 s)", "posted (13.7 s)"),
        ("at 2024-02-01 10:11", "at 2026-11-21 16:08:39.1+00:00"),
        ("the last is 0a1b2c3d4e5f6", "the last is ffffffffffffffffffffffff"),
        ("disk  ok  76.9 GiB", "disk ok 1 GiB"),
        ("a   b", " a b"),
        ("a ─────", "a ──"),
        ("report: .../report.html", "report: /srv/report.html"),
    ],
)
def test_what_differs_from_day_to_day_is_the_same(shown: str, came: str) -> None:
    assert difference([shown], [came]) == ""


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("1,000 entries", "1,001 entries"),
        ("100.00", "100.01"),
        ("2024-01-31", "2024-01-30"),
        ("load 4", "load 5"),
        ("6849745819.54", "6849745819.55"),
        ("1651250367302258073996", "1651250367302258073997"),
        ("posted", "posted and more"),
        ("a.b", "aXb"),
    ],
)
def test_figures_days_and_words_are_not(shown: str, came: str) -> None:
    assert came.strip() in difference([shown], [came])


def test_left_out_lines_are_those_between() -> None:
    assert difference(["a", "...", "c"], ["a", "b", "", "b", "c"]) == ""
    assert difference(["a", "...", "c"], ["a", "c"]) == ""
    assert difference(["a", "..."], ["b", "a"]) != ""
    assert difference(["a", "...", "c"], ["a", "c", "d"]) != ""
