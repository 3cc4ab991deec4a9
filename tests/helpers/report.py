"""A parsed report page for tests: elements, headings, and text by section."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "line", "rect", "circle", "path"}


class Page(HTMLParser):
    """Elements with their attributes, text by section (`id` of its heading), and headings in order."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.captioned: list[bool] = []
        self._open: list[str] = []
        self._section = ""
        self._texts: dict[str, list[str]] = {}
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {k: v or "" for k, v in attrs}
        self.elements.append((tag, attributes))
        if tag == "section":
            self._section = attributes["aria-labelledby"]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag == "table":
            self.captioned.append(False)
        if tag == "caption":
            self.captioned[-1] = True
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self._texts.setdefault(self._section, []).append(data)
        if self._open and re.fullmatch("h[1-6]", self._open[-1]):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)

    def text(self, section: str | None = None) -> str:
        """Visible text, white space collapsed; of one section or of the whole page."""
        parts = self._texts.get(section, []) if section else [t for texts in self._texts.values() for t in texts]
        return " ".join(" ".join(parts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
