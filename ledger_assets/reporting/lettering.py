"""Letters that a PDF's own fonts do not have: in which font a text is set, and what is drawn of it.

Every reader of PDF brings fonts with western letters (and Greek and some signs); a text of these alone is left to them.
Any other text is set in one font that has its letters, of which the PDF takes along what it uses: Arabic, which has
those of Persian and Urdu too, or Thai. A letter that no font here has is written in western ones, 家庭 as JiaTing; one
that cannot be is named by its code point. Nothing is a square, which could stand for any letter.

reportlab draws letters as they come, from the left. So Arabic ones are joined here, and each line is put into the order
in which it is seen (Unicode standard annex 9) in a page that runs from left to right. The fonts are Noto's (OFL 1.1),
from packages; they and the tables are loaded by the first text that wants them.
"""

from functools import cache
from typing import Any, Final

from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase.pdfmetrics import getFont, registerFont, stringWidth, unicode2T1

from ledger_assets.visible import on_one_line

_FONTS: Final = {"NotoSansArabic": "Noto Sans Arabic", "NotoSansThai": "Noto Sans Thai"}
_WESTERN: Final = "Helvetica"
_SEAM, _LEFT_TO_RIGHT = "  ", "\u200e"
"""Two spaces are ours: what follows them, such as an account's code, is no part of the Arabic text before them."""


def lettered(text: str, western: str = _WESTERN) -> tuple[str, str]:
    """The font for a text on one line, and what to draw. `western` is the font where that can do it."""
    font, lines = lettered_lines(text, western)
    return font, lines[0]


def lettered_lines(text: str, western: str = _WESTERN, size: float = 0, width: float = 0) -> tuple[str, list[str]]:
    """As `lettered`, broken into lines of that width where the text is not in a western font; 0: one line.

    A western text is one line always: reportlab's paragraphs break it.
    """
    shown = on_one_line(text)
    if all(_is_western(letter) for letter in shown):
        return western, [shown]
    joined = _joined(shown.replace(_SEAM, _SEAM + _LEFT_TO_RIGHT))
    foreign = [letter for letter in joined if not _is_western(letter)]
    font = max(_FONTS, key=lambda name: sum(letter in _letters(name) for letter in foreign))
    if not any(letter in _letters(font) for letter in foreign):
        return western, ["".join(letter if _is_western(letter) else _in_western(letter) for letter in shown)]
    known = "".join(
        letter if letter in _letters(font) or letter == _LEFT_TO_RIGHT else _in_western(letter) for letter in joined
    )
    lines = simpleSplit(known, font, size, width) if width else [known]
    return font, [_as_seen(line) for line in lines]


def width(text: str, western: str, size: float) -> float:
    """How wide the text is drawn, in points."""
    font, shown = lettered(text, western)
    return float(stringWidth(shown, font, size))


@cache
def _is_western(letter: str) -> bool:
    font = getFont(_WESTERN)
    ((used, _), *_) = unicode2T1(letter, [font, *font.substitutionFonts])
    return used is not font._notdefFont  # noqa: SLF001 (what it falls back to, and so the only way to ask)


@cache
def _letters(name: str) -> frozenset[str]:
    """The letters that a font has; registers it."""
    import fontpkg  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    font = TTFont(name, str(fontpkg.path(_FONTS[name])))
    registerFont(font)
    return frozenset(chr(code) for code in font.face.charToGlyph)


@cache
def _reshaper() -> Any:
    from arabic_reshaper import ArabicReshaper  # noqa: PLC0415

    return ArabicReshaper({"delete_harakat": False})


def _joined(text: str) -> str:
    """Arabic letters in the forms that they have beside each other."""
    return str(_reshaper().reshape(text))


def _as_seen(line: str) -> str:
    from bidi import get_display  # noqa: PLC0415

    return str(get_display(line, base_dir="L")).replace(_LEFT_TO_RIGHT, "")


def _in_western(letter: str) -> str:
    from anyascii import anyascii  # noqa: PLC0415

    return anyascii(letter) or f"U+{ord(letter):04X}"
