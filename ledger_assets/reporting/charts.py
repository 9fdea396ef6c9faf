"""The charts of the papers: each is drawn once, and shown in the page (as SVG) and in the PDF (as vectors).

Here: shapes and their sizes. Lengths are the only place where amounts become approximate; every bar has its exact
figure beside it. reportlab is imported when something is drawn, not when Dagster reads its definitions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from html import escape
from typing import TYPE_CHECKING, Any, Final

from ledger_assets.accounting.chart import OPERATOR
from ledger_assets.accounting.dry_run import TARGET_SECONDS
from ledger_assets.reporting.close_report import EXACT, CloseReport, amount, in_words, seconds
from ledger_assets.visible import on_one_line

if TYPE_CHECKING:
    from reportlab.graphics.shapes import Drawing

WIDTH: Final = 520
INK, SOFT, RULE = "#1b2733", "#5d6b78", "#d5dce2"
BLUE, AMBER, GREEN, RED, GREY, TEAL = "#14506b", "#c98b2b", "#1c7145", "#b3261e", "#98a4af", "#5b9aa9"
_FONT, _BOLD, _SIZE, _ROW = "Helvetica", "Helvetica-Bold", 8, 13
_LONGEST_LABEL, _MOST_BARS = 30, 24
_STEPS: Final = {"preflight": GREY, "staging": BLUE, "gates": TEAL, "posting": AMBER}


@dataclass(frozen=True)
class Bar:
    """A bar with the text beside it; the value may be negative and of any size."""

    label: str
    value: Decimal
    text: str
    colour: str = BLUE


def draw_all(report: CloseReport) -> dict[str, "Drawing"]:
    """Every chart that the month has something for, by its name; see `title`."""
    drawn = {name: draw(report) for name, draw in _CHARTS.items()}
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}


def fund_movements(report: CloseReport) -> "Drawing | None":
    """Opening balance, income, expense and closing balance of each fund, on one scale."""
    groups = [
        (
            fund["fund"],
            [
                Bar("opening", fund["opening_balance"], amount(fund["opening_balance"]), GREY),
                Bar("income", fund["income"], amount(fund["income"]), BLUE),
                Bar("expense", fund["expense"], amount(fund["expense"]), AMBER),
                Bar("closing", fund["closing_balance"], amount(fund["closing_balance"]), TEAL),
            ],
        )
        for fund in sorted(report.funds, key=lambda fund: (fund["fund"] != OPERATOR, fund["fund"]))
    ]
    return _bars(groups)


def products(report: CloseReport) -> "Drawing | None":
    """Gross amount of contributions and claims by product."""
    return _by(report, "product_code")


def channels(report: CloseReport) -> "Drawing | None":
    """Gross amount of contributions and claims by channel."""
    return _by(report, "channel")


def exceptions(report: CloseReport) -> "Drawing | None":
    """Transactions in the exception queue and refused rows, by reason."""
    counted: dict[tuple[str, str], int] = {}
    for row in report.exceptions:
        counted["Exceptions", row["reason"]] = counted.get(("Exceptions", row["reason"]), 0) + row["count"]
    for row in report.refusals:
        if row["open"]:
            counted["Refused rows, open", row["reason"]] = row["open"]
    kinds = sorted({kind for kind, _ in counted})
    return _bars([
        (kind, [Bar(reason, Decimal(n), f"{n:,}", RED) for (k, reason), n in sorted(counted.items()) if k == kind])
        for kind in kinds
    ])  # fmt: skip


def timing(report: CloseReport) -> "Drawing | None":
    """How long each step of each posted batch took, and what that is of the target of twenty minutes."""
    groups = []
    for row in report.timing:
        total = row["total"] or Decimal(0)
        bars = [Bar(step, row[step] or Decimal(0), seconds(row[step]), colour) for step, colour in _STEPS.items()]
        share = f"{seconds(total)}: {total * 100 / TARGET_SECONDS:,.1f} % of the target of {TARGET_SECONDS // 60} min"
        groups.append((row["batch_id"], [*bars, Bar("all", total, share, GREEN if total <= TARGET_SECONDS else RED)]))
    return _bars(groups)


def gates(report: CloseReport) -> "Drawing | None":
    """Each gate of each batch, each control on the balances: passed, failed, not evaluated."""
    from reportlab.graphics.shapes import Drawing, Rect, String  # noqa: PLC0415

    colours = {"passed": GREEN, "failed": RED, "not evaluated": GREY}
    by_batch: dict[str, list[tuple[str, str]]] = {}
    for gate in report.gates:
        by_batch.setdefault(gate.batch_id, []).append((in_words(gate.name), gate.outcome))
    controls = [(in_words(c.gate), "passed" if c.passed else "failed") for c in report.controls]
    rows = [*by_batch.items(), ("On the balances", controls)]
    drawing = Drawing(WIDTH, len(rows) * 26 + 2)
    for place, (name, cells) in enumerate(rows):
        top = drawing.height - place * 26
        drawing.add(String(0, top - 9, _short(name, 60), fontName=_BOLD, fontSize=_SIZE, fillColor=_colour(INK)))
        width = WIDTH / max(1, len(cells))
        for n, (title, outcome) in enumerate(cells):
            colour = _colour(colours[outcome])
            drawing.add(Rect(n * width, top - 24, width - 3, 12, fillColor=colour, strokeColor=None, rx=2, ry=2))
            sign = "" if outcome == "passed" else f": {outcome}"
            text = _short(f"{title}{sign}", int(width / 3.2))
            drawing.add(
                String(n * width + 4, top - 20.6, text, fontName=_FONT, fontSize=6.4, fillColor=_colour("#ffffff"))
            )
    return drawing


_CHARTS: Final[Mapping[str, Callable[[CloseReport], "Drawing | None"]]] = {
    chart.__name__: chart for chart in (fund_movements, products, channels, exceptions, gates, timing)
}
_TITLES: Final = {
    "fund_movements": "Movements of the funds{currency}",
    "products": "By product: gross amount{currency} and, in brackets, transactions",
    "channels": "By channel: gross amount{currency} and, in brackets, transactions",
    "exceptions": "Open exceptions and refused rows by reason: how many",
    "gates": "Each gate and control: green passed; red, with the word, failed; grey not evaluated",
    "timing": "Time of the steps, and of all of them against the target of twenty minutes",
}


def title(name: str, report: CloseReport) -> str:
    """What a chart shows, and in which unit."""
    currency = report.month["currency"]
    return _TITLES[name].format(currency=f" in {currency}" if currency else "")


def svg(drawing: "Drawing", label: str) -> str:
    """The drawing as an element of a page: no style, no link, nothing from elsewhere, read out as its label."""
    from reportlab.graphics import renderSVG  # noqa: PLC0415

    canvas = renderSVG.SVGCanvas((drawing.width, drawing.height))
    renderSVG.draw(drawing, canvas, 0, 0)
    shapes = "".join(_plain(node).toxml() for node in list(canvas.groupTree.childNodes))
    return (
        f'<svg viewBox="0 0 {drawing.width:g} {drawing.height:g}" role="img" aria-label="{escape(label)}">'
        f'<g transform="scale(1,-1) translate(0,-{drawing.height:g})">{shapes}</g></svg>'
    )


_ATTRIBUTES: Final = frozenset({"fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight"})


def _plain(node: Any) -> Any:
    """A shape with its style as attributes: pages that forbid inline styles show it too."""
    if node.nodeType != node.ELEMENT_NODE:
        return node
    style = dict(part.split(":", 1) for part in node.getAttribute("style").split(";") if ":" in part)
    if node.hasAttribute("style"):
        node.removeAttribute("style")
    for name, value in ((name.strip(), value.strip()) for name, value in style.items()):
        if name == "font-family":
            node.setAttribute("font-family", "Helvetica, Arial, 'Liberation Sans', sans-serif")
            if value.endswith("Bold"):
                node.setAttribute("font-weight", "bold")
        elif name in _ATTRIBUTES:
            node.setAttribute(name, value)
    for child in list(node.childNodes):
        _plain(child)
    return node


def _by(report: CloseReport, column: str) -> "Drawing | None":
    groups = []
    for kind in report.by_product:
        summed: dict[str, tuple[Decimal, int]] = {}
        for row in kind.rows:
            gross, count = summed.get(row[column], (Decimal(0), 0))
            summed[row[column]] = (EXACT.add(gross, row["gross_amount"]), count + row["transactions"])
        colour = AMBER if kind.txn_type == "CLAIM" else BLUE
        largest_first = sorted(summed.items(), key=lambda item: (-item[1][0], item[0]))
        shown, rest = largest_first[:_MOST_BARS], largest_first[_MOST_BARS:]
        if rest:
            gross = reduce(EXACT.add, (gross for _, (gross, _) in rest))
            shown.append((f"({len(rest)} others)", (gross, sum(count for _, (_, count) in rest))))
        bars = [Bar(name, gross, f"{amount(gross)}  ({count:,})", colour) for name, (gross, count) in shown]
        groups.append((kind.txn_type, bars))
    return _bars(groups)


def _bars(groups: Sequence[tuple[str, Sequence[Bar]]]) -> "Drawing | None":
    """Horizontal bars in groups, all on one scale, negative ones to the left of the axis; None without any bar."""
    from reportlab.graphics.shapes import Drawing, Line, Rect, String  # noqa: PLC0415

    groups = [(name, bars) for name, bars in groups if bars]
    if not groups:
        return None
    every = [bar for _, bars in groups for bar in bars]
    label_width = max(_width(_short(bar.label)) for bar in every) + 8
    text_width = max(_width(bar.text) for bar in every) + 6
    below = max((-bar.value for bar in every if bar.value < 0), default=Decimal(0))
    above = max((bar.value for bar in every if bar.value > 0), default=Decimal(0))
    room = max(40.0, WIDTH - label_width - text_width)
    scale = room / float(below + above or 1)
    axis = label_width + float(below) * scale
    drawing = Drawing(WIDTH, sum(len(bars) + 1 for _, bars in groups) * _ROW + (len(groups) - 1) * 4 + 2)
    y = drawing.height
    for name, bars in groups:
        y -= _ROW
        drawing.add(String(0, y + 3, _short(name, 80), fontName=_BOLD, fontSize=_SIZE, fillColor=_colour(INK)))
        drawing.add(Line(axis, y, axis, y - len(bars) * _ROW, strokeColor=_colour(RULE), strokeWidth=0.8))
        for bar in bars:
            y -= _ROW
            length = float(bar.value) * scale
            shown = max(0.8, abs(length)) if bar.value else 0
            left = axis - shown if bar.value < 0 else axis
            drawing.add(String(0, y + 3, _short(bar.label), fontName=_FONT, fontSize=_SIZE, fillColor=_colour(SOFT)))
            drawing.add(Rect(left, y + 1.5, shown, _ROW - 4, fillColor=_colour(bar.colour), strokeColor=None))
            drawing.add(
                String(
                    WIDTH - _width(bar.text), y + 3, bar.text, fontName=_FONT, fontSize=_SIZE,
                    fillColor=_colour(RED if bar.value < 0 else INK),
                )
            )  # fmt: skip
        y -= 4
    return drawing


def _short(text: str, longest: int = _LONGEST_LABEL) -> str:
    """A label that fits; what comes from outside cannot move the cursor or be a second line."""
    shown = on_one_line(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _width(text: str) -> float:
    from ledger_assets.reporting.lettering import width  # noqa: PLC0415 (imports reportlab)

    return width(text, _FONT, _SIZE)


def _colour(code: str) -> Any:
    from reportlab.lib.colors import HexColor  # noqa: PLC0415

    return HexColor(code)
