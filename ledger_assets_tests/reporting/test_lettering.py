"""Letters of the PDF: read back with another program, no letter lost, none a square."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unicodedata import normalize

import pytest
from pypdf import PdfReader
from reportlab.pdfbase.pdfmetrics import getFont

from ledger_assets.reporting.lettering import lettered, lettered_lines
from ledger_assets.reporting.page import render as render_page
from ledger_assets.reporting.pdf import render
from ledger_assets_tests.reporting.close_months import a_closed_month, a_product

ARABIC, URDU, THAI, CHINESE = "تكافل", "ٹڈڑںھے", "ครอบครัว", "家庭"


@pytest.mark.parametrize(
    ("text", "font", "drawn"),
    [
        ("Cash – «à vue» 5 €", "Helvetica", "Cash – «à vue» 5 €"),
        ("α and Ω", "Helvetica", "α and Ω"),
        (CHINESE, "Helvetica", "JiaTing"),
        ("Семья", "Helvetica", "Sem'ya"),
        ("\ue000", "Helvetica", "U+E000"),
        (f"{THAI}-001", "NotoSansThai", f"{THAI}-001"),
        # joined, and from the right: kaf with lam behind it stands in its middle form, the first letter is the last
        (ARABIC, "NotoSansArabic", "\ufede\ufed3\ufe8e\ufedc\ufe97"),
        (f"{ARABIC}  4110-20", "NotoSansArabic", "\ufede\ufed3\ufe8e\ufedc\ufe97  4110-20"),
        (f"Tabarru {ARABIC} 2024", "NotoSansArabic", "Tabarru 2024 \ufede\ufed3\ufe8e\ufedc\ufe97"),
        (f"{CHINESE} {THAI}", "NotoSansThai", f"JiaTing {THAI}"),
    ],
)
def test_a_text_is_set_in_a_font_that_has_it(text: str, font: str, drawn: str):
    assert lettered(text) == (font, drawn)


@pytest.mark.parametrize("text", [URDU, f"{ARABIC}{CHINESE}\U0001f9ff", "שלום", "வணக்கம்", "\u0600\u06dd", "\x1b[2J"])
def test_every_letter_that_is_drawn_is_in_its_font(text: str):
    font, drawn = lettered(text)
    assert drawn.strip()
    if font == "Helvetica":
        drawn.encode("cp1252")
    else:
        assert {ord(letter) for letter in drawn} <= set(getFont(font).face.charToGlyph)


def test_a_long_text_from_the_right_breaks_into_lines_that_begin_where_it_begins():
    """The first words stand in the first line: turned round as a whole they would stand in the last."""
    _, one = lettered_lines(f"{ARABIC} {THAI}")
    _, lines = lettered_lines(" ".join([ARABIC, *["اشتراكات"] * 9]), size=10, width=120)
    assert len(one) == 1
    assert len(lines) > 2
    assert lines[0].endswith("\ufede\ufed3\ufe8e\ufedc\ufe97")


def pages(report: Any) -> Sequence[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(render(report))).pages]


def test_no_paper_has_a_square():
    """Names of products, of a fund, of accounts, of people, in every place where the PDF has them."""
    month = a_closed_month()
    accounts = [
        replace(a, fund={"TABARRU": THAI, "TANAHUD": CHINESE}.get(a.fund, a.fund), description=ARABIC)
        for a in month.figures.accounts
    ]
    report = replace(
        month,
        month={**month.month, "closed_by": ARABIC, "currency": "د.إ"},
        batches=[{**month.batches[0], "approved_by": CHINESE, "posted_by": THAI}],
        exceptions=[{"batch_id": "2025-01-MONTHEND", "reason": URDU, "count": 1}],
        products=[a_product("PREMIUM", CHINESE, THAI, 20_000, "48000000.00")],
        figures=replace(month.figures, accounts=accounts),
    )
    text = "\n".join(pages(report))
    assert "■" not in text
    assert text.count(THAI) > 10
    assert text.count("JiaTing") > 4
    assert normalize("NFKC", text).count(ARABIC) > 10, "it is found by whoever searches for it"
    page = render_page(report)
    assert all(word in page for word in (ARABIC, URDU, THAI, CHINESE)), "a browser has every letter"
