"""The close report as a PDF on A4: the CFO's page first, then the statements, then what they rest on.

Here: order and layout. Not here: figures (close_report, summary) and charts. The same report gives the same bytes.

The fonts are the fourteen that every reader of PDF has: they know western letters, and a square stands for any other.
The page has every letter. This module imports reportlab: import it when a paper is written.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    KeepTogether,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from ledger_assets.accounting.statement_tables import Kind, Statement
from ledger_assets.reporting import charts
from ledger_assets.reporting.close_report import CloseReport, amount, moment
from ledger_assets.reporting.sections import Section, sections
from ledger_assets.reporting.summary import MOST_POINTS, NOT_KNOWN, figure, percent, summarize
from ledger_assets.visible import on_one_line

INK, SOFT, RULE, WASH, ACCENT, OK, BAD = (
    HexColor(code) for code in ("#1b2733", "#5d6b78", "#d5dce2", "#f4f6f8", "#14506b", "#1c7145", "#b3261e")
)
MARGIN, TOP = 40, 62
_SIZE, _SMALLEST, _PADDING = 8.2, 4.2, 4
_HEADING_AND_MORE: Final = 130
_PORTRAIT: Final = A4[0] - 2 * MARGIN
_LANDSCAPE: Final = A4[1] - 2 * MARGIN


def _style(name: str, size: float, colour: Color = INK, *, bold: bool = False, **more: Any) -> ParagraphStyle:
    font = "Helvetica-Bold" if bold else "Helvetica"
    return ParagraphStyle(name, fontName=font, fontSize=size, leading=size * 1.25, textColor=colour, **more)


TITLE = _style("title", 19, bold=True, spaceAfter=2)
HEADING = _style("heading", 11.5, ACCENT, bold=True, spaceBefore=10, spaceAfter=4, keepWithNext=1)
TEXT = _style("text", 8.5)
NOTE = _style("note", 7, SOFT, spaceBefore=3)
GOOD = _style("good", 8.5, OK, bold=True, spaceBefore=4)
WRONG = _style("wrong", 8.5, BAD, bold=True)


def render(report: CloseReport) -> bytes:
    """The whole document."""
    drawn = charts.draw_all(report)
    story = _cover(report, drawn)
    for statement in report.statements.values():
        is_wide = len(statement.columns) > 4
        story += [NextPageTemplate("landscape" if is_wide else "portrait"), PageBreak()]
        story += _statement(statement, _LANDSCAPE if is_wide else _PORTRAIT)
    story += [NextPageTemplate("portrait"), PageBreak()]
    for section in sections(report):
        story += _section(section, drawn)
    return _build(report, story)


# ------------------------------------------------------------------------------------------------ the CFO's page


def _cover(report: CloseReport, drawn: dict[str, Any]) -> list[Flowable]:
    summary = summarize(report)
    before = report.figures.previous_period or "Month before"
    rows = [[f.label, figure(f.now), figure(f.before), figure(f.change)] for f in summary.flows]
    rows.append([summary.ratio.label, percent(summary.ratio.now), percent(summary.ratio.before), ""])
    for part in (summary.results, summary.position, summary.fund_balances):
        rows += [[f.label, figure(f.now), figure(f.before), figure(f.change)] for f in part]
    rows.append(["Journal entries", f"{report.entry_count:,}", NOT_KNOWN, ""])
    rows.append(["Journal lines", f"{report.line_count:,}", NOT_KNOWN, ""])
    result = len(summary.flows) + 2
    bold = [("FONTNAME", (0, n), (-1, n), "Helvetica-Bold") for n in (result + len(summary.results) - 1,)]
    currency = f"Amounts in {report.month['currency']}. " if report.month["currency"] else ""
    story: list[Flowable] = [
        Paragraph(f"{report.title}: the month on one page", TITLE),
        Paragraph(_safe(f"{currency}Status: {report.status}. {_closed(report)}"), TEXT),
        Spacer(1, 8),
        _table(["", report.period, before, "Change"], rows, _PORTRAIT, extra=bold, size=8.6),
        Spacer(1, 6),
    ]
    if "fund_movements" in drawn:
        story += [Paragraph(charts.TITLES["fund_movements"], HEADING), _fitted(drawn["fund_movements"], 215)]
    return [*story, *_outcome(report), *_fingerprint(report)]


def _closed(report: CloseReport) -> str:
    if not report.is_closed:
        return "The figures are not final."
    return f"Closed {moment(report.month['closed_at'])} by {report.month['closed_by'] or 'unknown'}."


def _outcome(report: CloseReport) -> list[Flowable]:
    points = report.open_points
    story: list[Flowable] = [Paragraph("Open points", HEADING)]
    if not points:
        return [*story, Paragraph("None: every gate and control passed, every figure ties.", GOOD)]
    story += [Paragraph(_safe(f"• {point}"), WRONG) for point in points[:MOST_POINTS]]
    if len(points) > MOST_POINTS:
        story.append(Paragraph(f"and {len(points) - MOST_POINTS} more: see the pages behind this one", WRONG))
    return story


def _fingerprint(report: CloseReport) -> list[Flowable]:
    story: list[Flowable] = [Paragraph("Certificate", HEADING)]
    if report.certificate:
        return [
            *story,
            Paragraph(f"SHA-256 {report.certificate['sha256']}", TEXT),
            Paragraph(f"signed with the key {report.signed_with}", NOTE),
        ]
    reason = report.certificate_refusal or "none has been made"
    return [*story, Paragraph(_safe(f"Not certified: {reason}"), WRONG if report.certificate_refusal else TEXT)]


# ------------------------------------------------------------------------------------------------ tables


def _statement(statement: Statement, width: float) -> list[Flowable]:
    story: list[Flowable] = [Paragraph(statement.title, HEADING)]
    if not statement.has_figures:
        story.append(Paragraph("No account has a balance or a movement.", NOTE))
        return story
    rows: list[list[str]] = []
    extra: list[tuple[Any, ...]] = []
    for n, line in enumerate(statement.lines, start=1):
        codes = f"  {' '.join(line.account_codes)}" if line.account_codes else ""
        rows.append([f"{line.label}{codes}", *(figure(minor) for minor in line.amounts)])
        extra += _STYLES[line.kind](n)
        bad = [c for c, minor in enumerate(line.amounts, start=1) if statement.is_bad(line, minor)]
        extra += [("TEXTCOLOR", (c, n), (c, n), BAD) for c in bad]
    story.append(_table(["", *statement.columns], rows, width, extra=extra))
    story += [Paragraph(_safe(note), NOTE) for note in statement.notes]
    story += [
        Paragraph(_safe(f"{check.label}: differs by {figure(check.difference)}"), WRONG)
        for check in statement.checks
        if not check.passed
    ]
    if statement.ties:
        story.append(Paragraph(f"Ties: {len(statement.checks)} checks passed.", GOOD))
    return story


_STYLES: Final[Mapping[Kind, Callable[[int], list[tuple[Any, ...]]]]] = {
    Kind.HEADING: lambda n: [
        ("FONTNAME", (0, n), (-1, n), "Helvetica-Bold"),
        ("TEXTCOLOR", (0, n), (-1, n), ACCENT),
        ("TOPPADDING", (0, n), (-1, n), 7),
    ],
    Kind.AMOUNT: lambda n: [("LEFTPADDING", (0, n), (0, n), 8)],
    Kind.SUBTOTAL: lambda n: [
        ("FONTNAME", (0, n), (-1, n), "Helvetica-Bold"),
        ("BACKGROUND", (0, n), (-1, n), WASH),
    ],
    Kind.TOTAL: lambda n: [
        ("FONTNAME", (0, n), (-1, n), "Helvetica-Bold"),
        ("LINEABOVE", (0, n), (-1, n), 0.9, INK),
        ("LINEBELOW", (0, n), (-1, n), 0.9, INK, None, None, None, 2, 1.4),
    ],
    Kind.CHECK: lambda n: [("TEXTCOLOR", (0, n), (-1, n), SOFT)],
}


def _section(section: Section, drawn: dict[str, Any]) -> list[Flowable]:
    story: list[Flowable] = [CondPageBreak(_HEADING_AND_MORE), Paragraph(section.title, HEADING)]
    for name in section.charts:
        if name in drawn:
            caption = [Paragraph(charts.TITLES[name], NOTE)] if charts.TITLES[name] != section.title else []
            story += [KeepTogether([*caption, _fitted(drawn[name], 620)]), Spacer(1, 6)]
    if section.rows:
        rows = [[_cell(value) for value in row] for row in section.rows]
        extra = [("FONTNAME", (0, n), (-1, n), "Helvetica-Bold") for n in section.totals]
        extra += [("BACKGROUND", (0, n), (-1, n), WASH) for n in section.totals]
        story.append(_table(section.columns, rows, _PORTRAIT, text_columns=section.text_columns, extra=extra))
    elif section.empty:
        story.append(Paragraph(section.empty, NOTE))
    return [*story, *(Paragraph(_safe(note), NOTE) for note in section.notes)]


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else amount(value)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: float, *, text_columns: int = 1,
    extra: Sequence[Any] = (), size: float = _SIZE,
) -> Table:  # fmt: skip
    """Text columns to the left, which wrap; figures to the right, which never do: the letters get smaller instead."""
    figures = [[row[c] for row in (columns, *rows) if c < len(row)] for c in range(text_columns, len(columns))]
    least = 70.0 * text_columns
    for _ in range(40):
        widths = [max(stringWidth(t, "Helvetica-Bold", size) for t in column) + 2 * _PADDING for column in figures]
        if sum(widths) + least <= width or size <= _SMALLEST:
            break
        size -= 0.2
    texts = _shares(columns, rows, text_columns, max(least / 2, width - sum(widths)), size)
    style = _style("cell", size)
    bold = {n for command, (_, n), _, font in (e for e in extra if e[0] == "FONTNAME") if font.endswith("Bold")}
    cells = [[on_one_line(c) for c in columns]]
    for n, row in enumerate(rows, start=1):
        wrapped = [
            Paragraph(f"<b>{_safe(t)}</b>" if n in bold else _safe(t), _coloured(style, extra, n))
            if stringWidth(t, "Helvetica-Bold", size) > texts[c] - 2 * _PADDING - 5 else on_one_line(t)
            for c, t in enumerate(row[:text_columns])
        ]  # fmt: skip
        cells.append([*wrapped, *row[text_columns:]])
    return Table(cells, [*texts, *widths], repeatRows=1, hAlign="LEFT", style=TableStyle([
        ("FONTNAME", (0, 0), (-1, -1), "Helvetica"), ("FONTSIZE", (0, 0), (-1, -1), size),
        ("LEADING", (0, 0), (-1, -1), size * 1.25), ("TEXTCOLOR", (0, 0), (-1, -1), INK),
        ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"), ("TEXTCOLOR", (0, 0), (-1, 0), SOFT),
        ("LINEBELOW", (0, 0), (-1, 0), 0.9, INK), ("LINEBELOW", (0, 1), (-1, -1), 0.35, RULE),
        ("ALIGN", (text_columns, 0), (-1, -1), "RIGHT"), ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
        ("LEFTPADDING", (0, 0), (-1, -1), _PADDING), ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING),
        ("LEFTPADDING", (0, 0), (0, -1), 1), ("RIGHTPADDING", (-1, 0), (-1, -1), 1),
        ("TOPPADDING", (0, 0), (-1, -1), 2.2), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6), *extra,
    ]))  # fmt: skip


def _shares(
    columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int, room: float, size: float
) -> list[float]:
    """The widths of the text columns: those that need little get it, the others share what is left and wrap."""
    wanted = [
        max(stringWidth(row[c], "Helvetica-Bold", size) for row in (columns, *rows) if c < len(row)) + 2 * _PADDING + 6
        for c in range(text_columns)
    ]
    widths = [0.0] * text_columns
    for place, c in enumerate(sorted(range(text_columns), key=lambda c: wanted[c])):
        widths[c] = min(wanted[c], (room - sum(widths)) / (text_columns - place))
    widths[-1] += room - sum(widths)
    return widths


def _coloured(style: ParagraphStyle, extra: Sequence[Any], row: int) -> ParagraphStyle:
    """A wrapped text in the colour of its row: a table's style does not reach into it."""
    for command, start, _, value, *_ in (e for e in extra if e[0] == "TEXTCOLOR" and e[1] == (0, row)):
        return ParagraphStyle(f"{command}{start}", parent=style, textColor=value)
    return style


def _safe(text: str) -> str:
    """Text from outside inside of a paragraph, whose markup it may not be."""
    return escape(on_one_line(text))


def _fitted(drawing: Any, highest: float) -> Any:
    """The drawing as wide as it may be, and no higher than the room that there is for it."""
    factor = min(1.0, highest / drawing.height, _PORTRAIT / drawing.width)
    drawing = drawing.copy() if factor < 1 else drawing
    if factor < 1:
        drawing.scale(factor, factor)
        drawing.width, drawing.height = drawing.width * factor, drawing.height * factor
    return drawing


# ------------------------------------------------------------------------------------------------ pages


class _NumberedCanvas(Canvas):  # type: ignore[misc] # reportlab has no types
    """Draws the foot of each page when it is known how many there are."""

    foot = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 (reportlab's name)
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.setFont("Helvetica", 7)
            self.setFillColor(SOFT)
            self.drawString(MARGIN, 24, self.foot)
            self.drawRightString(self._pagesize[0] - MARGIN, 24, f"page {number} of {len(self._pages)}")
            super().showPage()
        super().save()


def _build(report: CloseReport, story: list[Flowable]) -> bytes:
    currency = f" · amounts in {report.month['currency']}" if report.month["currency"] else ""
    left = on_one_line(f"Close report {report.period}{currency}")

    def head(canvas: Canvas, _: BaseDocTemplate) -> None:
        width, height = canvas._pagesize  # noqa: SLF001 (the page that is being drawn; there is no other way to ask)
        canvas.setFont("Helvetica", 7.5)
        canvas.setFillColor(SOFT)
        canvas.drawString(MARGIN, height - 36, left)
        canvas.setFillColor(OK if report.is_closed else BAD)
        canvas.setFont("Helvetica-Bold", 7.5)
        canvas.drawRightString(width - MARGIN, height - 36, report.status)
        canvas.setStrokeColor(ACCENT)
        canvas.setLineWidth(1.6)
        canvas.line(MARGIN, height - 43, width - MARGIN, height - 43)

    class Numbered(_NumberedCanvas):
        foot = f"Figures as of {moment(report.month['as_of'])}, read in one snapshot of the ledger"

    output = io.BytesIO()
    document = BaseDocTemplate(
        output, title=f"Close report {report.period}", author="ledger-assets", subject=report.title, invariant=1,
        pageTemplates=[_template("portrait", A4, head), _template("landscape", landscape(A4), head)],
    )  # fmt: skip
    document.build(story, canvasmaker=Numbered)
    return output.getvalue()


def _template(name: str, size: tuple[float, float], head: Any) -> PageTemplate:
    frame = Frame(MARGIN, 38, size[0] - 2 * MARGIN, size[1] - TOP - 32, 0, 4, 0, 4)
    return PageTemplate(name, [frame], onPage=head, pagesize=size)
