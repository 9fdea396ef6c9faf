"""The close report as a page: self-contained (no script, no font, nothing from elsewhere), to be filed and printed."""

from collections.abc import Mapping

from markupsafe import Markup

from ledger_assets.accounting.amounts import COMPONENTS
from ledger_assets.reporting.charts import TITLES, draw_all, svg
from ledger_assets.reporting.close_report import CloseReport, amount, in_words, moment
from ledger_assets.reporting.filing import template
from ledger_assets.reporting.summary import figure, percent, summarize


def render(report: CloseReport) -> str:
    """The page. Pure: the same report gives the same text."""
    page = template(
        "close_report.html.j2",
        {"amount": amount, "moment": moment, "in_words": in_words, "figure": figure, "percent": percent},
    )
    return page.render(report=report, components=COMPONENTS, summary=summarize(report), charts=_charts(report))


def _charts(report: CloseReport) -> Mapping[str, Markup]:
    """Each chart as an element: its texts are escaped by what draws it."""
    return {name: Markup(svg(drawing, TITLES[name])) for name, drawing in draw_all(report).items()}  # noqa: S704
