"""The close report as a page: self-contained (no script, no font, nothing from elsewhere), to be filed and printed."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ledger_assets.accounting.amounts import COMPONENTS
from ledger_assets.reporting.charts import draw_all, svg, title
from ledger_assets.reporting.close_report import CloseReport, amount, in_words, moment
from ledger_assets.reporting.filing import template
from ledger_assets.reporting.summary import counted, figure, percent, summarize


def render(report: CloseReport) -> str:
    """The page. Pure: the same report gives the same text."""
    filters = (amount, moment, in_words, figure, percent, counted)
    page = template("close_report.html.j2", {made.__name__: made for made in filters})
    drawn = draw_all(report)
    titles = {name: title(name, report) for name in drawn}
    return page.render(
        report=report, components=COMPONENTS, summary=summarize(report), titles=titles, charts=_charts(drawn, titles)
    )


def _charts(drawn: Mapping[str, Any], titles: Mapping[str, str]) -> Mapping[str, Markup]:
    """Each chart as an element: its texts are escaped by what draws it."""
    return {name: Markup(svg(drawing, titles[name])) for name, drawing in drawn.items()}  # noqa: S704
