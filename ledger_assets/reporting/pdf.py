"""The close report as a PDF on A4: the CFO's page first, then the statements, then what they rest on.

Here: order and layout. Not here: figures (close_report, summary) and charts. The same report gives the same bytes.

Texts from outside go through `lettering`: no letter is a square. This module imports reportlab: import it when a paper
is written.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

from reportlab.graphics.shapes import String
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
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
from ledger_assets.reporting.lettering import lettered, lettered_lines
from ledger_assets.reporting.lettering import width as width_of
from ledger_assets.reporting.sections import Section, sections
from ledger_assets.reporting.summary import MOST_POINTS, Summary, counted, figure, percent, summarize

INK, SOFT, RULE, WASH, ACCENT, OK, BAD = (
    HexColor(code) for code in ("#1b2733", "#5d6b78", "#d5dce2", "#f4f6f8", "#14506b", "#1c7145", "#b3261e")
)
MARGIN, TOP = 40, 62
_SIZE, _SMALLEST, _PADDING = 8.2, 4.2, 4
_HEADING_AND_MORE: Final = 130
_PORTRAIT: Final = A4[0] - 2 * MARGIN
_HIGH: Final = A4[1] - TOP - 32 - 12
_LEAST_OF_CHART: Final = 0.55
_SIZES_OF_COVER: Final = (8.6, 7.2, 6.0)
"""Of the key figures: smaller where there are many funds."""
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
    drawn = {name: _legible(drawing) for name, drawing in charts.draw_all(report).items()}
    story = _cover(report, drawn)
    for statement in report.statements.values():
        is_wide = len(statement.columns) > 4
        story += [NextPageTemplate("landscape" if is_wide else "portrait"), PageBreak()]
        story += _statement(report, statement, _LANDSCAPE if is_wide else _PORTRAIT)
    story += [NextPageTemplate("portrait"), PageBreak()]
    for section in sections(report):
        story += _section(report, section, drawn)
    return _build(report, story)


# ------------------------------------------------------------------------------------------------ the CFO's page


def _cover(report: CloseReport, drawn: dict[str, Any]) -> list[Flowable]:
    summary = summarize(report)
    currency = f"Amounts in {report.month['currency']}. " if report.month["currency"] else ""
    behind = [*_the_close(summary), *_outcome(report), *_fingerprint(report)]
    story: list[Flowable] = []
    for size in _SIZES_OF_COVER:
        story = [
            Paragraph(f"{report.title}: the month on one page", TITLE),
            _paragraph(f"{currency}Status: {report.status}. {_closed(report)}", TEXT),
            Spacer(1, 6),
            _key_figures(report, summary, size),
            *(_paragraph(deficit, WRONG) for deficit in summary.deficits),
        ]
        if _height([*story, *behind]) <= _HIGH:
            break
    return [*story, *_chart_of_funds(report, drawn, _HIGH - _height([*story, *behind])), *behind]


def _chart_of_funds(report: CloseReport, drawn: dict[str, Any], room: float) -> list[Flowable]:
    """In the room that the page has left; none where it would be too small to read."""
    if "fund_movements" not in drawn:
        return []
    heading = _paragraph(charts.title("fund_movements", report), HEADING)
    room -= _height([heading])
    drawing = drawn["fund_movements"]
    return [heading, _fitted(drawing, room)] if room > _LEAST_OF_CHART * drawing.height else []


def _height(flowables: Sequence[Flowable]) -> float:
    """What they take on a page, with the space between them."""
    return float(sum(f.wrap(_PORTRAIT, _HIGH)[1] + f.getSpaceBefore() + f.getSpaceAfter() for f in flowables))


def _key_figures(report: CloseReport, summary: Summary, size: float) -> Table:
    """The result first, then what made it, then what is there at the end, then how much work it was."""
    rows: list[list[str]] = []
    extra: list[tuple[Any, ...]] = []
    groups = (
        *((group, figure) for group in (summary.results, summary.flows, summary.fund_balances, summary.position)),
        (summary.counts, counted),
    )
    for group, shown in groups:
        extra.append(("LINEABOVE", (0, len(rows) + 1), (-1, len(rows) + 1), 0.9, SOFT))
        for row in group:
            rows.append([row.label, shown(row.now), shown(row.before), shown(row.change)])
            if row.now is not None and row.now < 0:
                extra.append(("TEXTCOLOR", (1, len(rows)), (1, len(rows)), BAD))
        if group is summary.results:
            extra.append(("FONTNAME", (0, len(rows)), (-1, len(rows)), "Helvetica-Bold"))
        if group is summary.flows:
            rows.append([summary.ratio.label, percent(summary.ratio.now), percent(summary.ratio.before), ""])
    columns = ["", report.period, report.figures.previous_period or "Month before", "Change"]
    return _table(columns, rows, _PORTRAIT, extra=extra, size=size)


def _the_close(summary: Summary) -> list[Flowable]:
    rows = [[fact.label, fact.text] for fact in summary.facts]
    bad = [n for n, fact in enumerate(summary.facts, start=1) if not fact.is_good]
    extra = [("TEXTCOLOR", (0, n), (-1, n), BAD) for n in bad]
    return [Spacer(1, 8), _table(["The close", ""], rows, _PORTRAIT, text_columns=2, extra=extra)]


def _closed(report: CloseReport) -> str:
    if not report.is_closed:
        return "The figures are not final."
    return f"Closed {moment(report.month['closed_at'])} by {report.month['closed_by'] or 'unknown'}."


def _outcome(report: CloseReport) -> list[Flowable]:
    points = report.open_points
    story: list[Flowable] = [Paragraph("Open points", HEADING)]
    if not points:
        return [*story, Paragraph("None: every gate and control passed, every figure ties.", GOOD)]
    story += [_paragraph(f"• {point}", WRONG) for point in points[:MOST_POINTS]]
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
    return [*story, _paragraph(f"Not certified: {reason}", WRONG if report.certificate_refusal else TEXT)]


# ------------------------------------------------------------------------------------------------ tables


def _statement(report: CloseReport, statement: Statement, width: float) -> list[Flowable]:
    when = f"At {report.last_day}" if statement.name == "balance-sheet" else f"For {report.title}"
    currency = f", amounts in {report.month['currency']}" if report.month["currency"] else ""
    story: list[Flowable] = [Paragraph(statement.title, HEADING), _paragraph(f"{when}{currency}", NOTE), Spacer(1, 4)]
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
    story += [_paragraph(note, NOTE) for note in statement.notes]
    story += [
        _paragraph(f"{check.label}: differs by {figure(check.difference)}", WRONG)
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
        ("NOSPLIT", (0, n), (-1, n + 1)),
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


def _section(report: CloseReport, section: Section, drawn: dict[str, Any]) -> list[Flowable]:
    story: list[Flowable] = [CondPageBreak(_HEADING_AND_MORE), _paragraph(section.title, HEADING)]
    for name in section.charts:
        if name in drawn:
            caption = [_paragraph(charts.title(name, report), NOTE)]
            story += [KeepTogether([*caption, _fitted(drawn[name], 620)]), Spacer(1, 6)]
    if section.rows:
        rows = [[_cell(value) for value in row] for row in section.rows]
        extra = [("FONTNAME", (0, n), (-1, n), "Helvetica-Bold") for n in section.totals]
        extra += [("BACKGROUND", (0, n), (-1, n), WASH) for n in section.totals]
        story.append(_table(section.columns, rows, _PORTRAIT, text_columns=section.text_columns, extra=extra))
    elif section.empty:
        story.append(Paragraph(section.empty, NOTE))
    return [*story, *(_paragraph(note, NOTE) for note in section.notes)]


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
        widths = [max(width_of(t, "Helvetica-Bold", size) for t in column) + 2 * _PADDING for column in figures]
        if sum(widths) + least <= width or size <= _SMALLEST:
            break
        size -= 0.2
    texts = _shares(columns, rows, text_columns, max(least / 2, width - sum(widths)), size)
    bold = {n for command, (_, n), _, font in (e for e in extra if e[0] == "FONTNAME") if font.endswith("Bold")}
    cells: list[list[Any]] = []
    fonts = []
    for n, row in enumerate((columns, *rows)):
        western = "Helvetica-Bold" if n == 0 or n in bold else "Helvetica"
        cells.append([])
        for c, text in enumerate(row):
            font, shown = lettered(text, western)
            if c < text_columns and n and width_of(text, "Helvetica-Bold", size) > texts[c] - 2 * _PADDING - 5:
                style = _coloured(_style("cell", size, bold=n in bold), extra, n)
                cells[n].append(_paragraph(text, style, texts[c] - 2 * _PADDING - 5))
            else:
                cells[n].append(shown)
                fonts += [("FONTNAME", (c, n), (c, n), font)] if font != western else []
    return Table(cells, [*texts, *widths], repeatRows=1, hAlign="LEFT", style=TableStyle([
        ("FONTNAME", (0, 0), (-1, -1), "Helvetica"), ("FONTSIZE", (0, 0), (-1, -1), size),
        ("LEADING", (0, 0), (-1, -1), size * 1.25), ("TEXTCOLOR", (0, 0), (-1, -1), INK),
        ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"), ("TEXTCOLOR", (0, 0), (-1, 0), SOFT),
        ("LINEBELOW", (0, 0), (-1, 0), 0.9, INK), ("LINEBELOW", (0, 1), (-1, -1), 0.35, RULE),
        ("ALIGN", (text_columns, 0), (-1, -1), "RIGHT"), ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
        ("LEFTPADDING", (0, 0), (-1, -1), _PADDING), ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING),
        ("LEFTPADDING", (0, 0), (0, -1), 1), ("RIGHTPADDING", (-1, 0), (-1, -1), 1),
        ("TOPPADDING", (0, 0), (-1, -1), 2.2), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6), *extra, *fonts,
    ]))  # fmt: skip


def _shares(
    columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int, room: float, size: float
) -> list[float]:
    """The widths of the text columns: those that need little get it, the others share what is left and wrap."""
    wanted = [
        max(width_of(row[c], "Helvetica-Bold", size) for row in (columns, *rows) if c < len(row)) + 2 * _PADDING + 6
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


def _paragraph(text: str, style: ParagraphStyle, width: float = _PORTRAIT) -> Paragraph:
    """A text from outside, whose markup it may not be; it breaks into lines of that width."""
    font, lines = lettered_lines(text, style.fontName, style.fontSize, width)
    if font != style.fontName:
        style = ParagraphStyle(f"{style.name} {font}", parent=style, fontName=font)
    return Paragraph("<br/>".join(map(escape, lines)), style)


def _legible(drawing: Any) -> Any:
    """A chart with its labels in fonts that have their letters: a browser finds these by itself, a PDF does not."""
    for shape in drawing.contents:
        if isinstance(shape, String):
            shape.fontName, shape.text = lettered(shape.text, shape.fontName)
    return drawing


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
    font, left = lettered(f"Close report {report.period}{currency}")

    def head(canvas: Canvas, _: BaseDocTemplate) -> None:
        width, height = canvas._pagesize  # noqa: SLF001 (the page that is being drawn; there is no other way to ask)
        canvas.setFont(font, 7.5)
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
