"""An HTML page as its reader sees it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The page as a reader sees it: table rows by section, and the text of every element with an id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.text = ""
        self._section = ""
        self._in_cell = False
        self._open: list[str] = []
        self.feed(page)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "meta":
            return
        self._open.append(attributes.get("id") or "")
        if tag == "section":
            self._section = attributes["id"] or ""
        elif tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        elif tag in {"td", "th"}:
            self.rows[self._section][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        for identity in filter(None, self._open):
            self.texts[identity] = self.texts.get(identity, "") + data
        if self._in_cell:
            self.rows[self._section][-1][-1] += data.strip()

    def row(self, section: str, first_cell: str) -> list[str]:
        return next(row for row in self.rows[section] if row[0].startswith(first_cell))
