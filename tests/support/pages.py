"""Pages that were written as HTML, read again; and what is passed over of the libraries that make pages."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

import pytest

LIBRARY_WARNINGS: Final = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),  # MLflow's
    pytest.mark.filterwarnings("ignore:Both 'variant' and 'button_style':PendingDeprecationWarning"),  # Panel's own
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),  # HoloViews' own
]
"""Marks for tests of the explorer's pages."""


class Page(HTMLParser):
    """The tags of a page, and what they load or do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [value for name, value in attrs if name in {"src", "href"} and value and "//" in value]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
