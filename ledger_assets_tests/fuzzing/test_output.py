"""What is shown of other people's text: to a terminal, in Markdown, on the page, in plain-text accounting."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from beancount import loader
from beancount.core import data

from ledger_assets.accounting.plain_text import Balance, Entry, beancount, hledger
from ledger_assets.presentation import out, print_error, print_table
from ledger_assets.reporting.page import render
from ledger_assets.visible import in_markdown, on_one_line, visible, visible_in_json
from ledger_assets_tests.fuzzing.injection import CONTROL, OUTPUT, SQL
from ledger_assets_tests.reporting import close_months
from ledger_assets_tests.reporting.page import Page

FORGERIES = (
    'x"\n2024-01-31 * "forged"\n  Assets:Operator:1100-10 1.00 IDR\n  Income:Operator:4210-10\n; "',
    "x\n2024-01-31 forged\n    Assets:Operator:1100-10  1.00 IDR\n    Income:Operator:4210-10\n",
    "x\r\ninclude /etc/passwd\r\n", "x\x0b\x0c\x1c\x85\u2028\u2029y", "\n" * 80, "x ; date:2020-01-01", "\\",
    '\\"', "\x1b[2J",
    *OUTPUT, *SQL,
)  # fmt: skip
BALANCES = [
    Balance("1100-10", "OPERATOR", "ASSET", Decimal("0.00"), Decimal("5.00")),
    Balance("4210-10", "OPERATOR", "INCOME", Decimal("0.00"), Decimal("-5.00")),
]


def entry(text: str) -> Entry:
    lines = (("1100-10", Decimal("5.00")), ("4210-10", Decimal("-5.00")))
    return Entry(1, date(2024, 1, 2), text, text, lines)


@pytest.mark.parametrize("text", FORGERIES)
def test_no_text_of_an_entry_forges_another_in_an_export(text: str) -> None:
    entries, errors, _ = loader.load_string("".join(beancount("2024-01", "IDR", BALANCES, [entry(text)])))
    assert errors == []
    assert len([found for found in entries if isinstance(found, data.Transaction)]) == 1 + 1
    forged = "".join(hledger("2024-01", "IDR", BALANCES, [entry(text)]))
    honest = "".join(hledger("2024-01", "IDR", BALANCES, [entry("x")]))
    assert len(forged.splitlines()) == len(honest.splitlines())
    assert ";" not in forged.partition("\n")[2], "a comment may hold tags that mean something"
    assert not CONTROL & set(forged)


@pytest.mark.parametrize("text", OUTPUT)
def test_the_page_shows_hostile_names_as_text(text: str) -> None:
    month = close_months.a_closed_month()
    plain = Page(render(month))
    page = Page(render(close_months.replace(month, batches=[close_months.a_batch(started_by=text, posted_by=text)])))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in plain.tags}
    assert {name for _, attributes in page.tags for name in attributes} == {
        name for _, attributes in plain.tags for name in attributes
    }
    assert text.replace("\x1b", "") in page.text.replace("\x1b", "")


@pytest.mark.parametrize("shown", [visible, on_one_line, in_markdown])
def test_nothing_shown_commands_a_terminal(shown: Callable[[str], str]) -> None:
    everything = "".join(map(chr, [*range(0x100), 0x2028, 0x202E, 0x2066, 0xDCFF]))
    assert not (CONTROL | set("\u2028\u202e\u2066\udcff")) & set(shown(everything))


def test_what_is_plain_stays_as_it_is() -> None:
    assert visible("Tabarru' — 100,00 €\n\tتكافل") == "Tabarru' — 100,00 €\n\tتكافل"
    assert visible_in_json('{"a": "\x9b"}') == '{"a": "\\u009b"}'


def test_markdown_has_no_links_images_cells_or_lines() -> None:
    assert in_markdown("![x](https://e) | a\n# b <i>") == r"\!\[x\]\(https\://e\) \| a \# b \<i\>"


def test_tables_and_errors_print_markup_and_escapes_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    with out.capture() as captured:
        print_table("names", [{"name": text} for text in OUTPUT])
    print_error(OUTPUT[1] + OUTPUT[0])
    shown = captured.get() + capsys.readouterr().err
    assert "[link=https://evil.example]" in shown
    assert not CONTROL & set(shown)
