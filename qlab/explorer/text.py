"""The one door for text: whatever a store or an address holds is shown letter by letter, and nothing of it is obeyed.

Panel's own panes take text as HTML (``pn.pane.Str`` too: it escapes for the way to the browser only). Pages use what is
here instead.
"""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import quote, urlsplit

import panel as pn
import param

_STYLE = """
:host(.bk-panel-models-markup-HTML) pre {
  font-family: inherit; margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate;
}
"""

_SAFE = "/?#&=%+~:;,@!$*-._"
"""What stands in an address as it is."""


class Text(pn.viewable.Viewer):  # type: ignore[misc]
    """Text in the page's font.

    Args:
        object: the text.
        visible: whether it is shown.
        options: of Panel's pane.
    """

    object = param.String(default="")
    visible = param.Boolean(default=True)

    def __init__(self, object: str = "", visible: bool = True, **options: Any) -> None:
        super().__init__(object=object, visible=visible)
        self._pane = pn.pane.HTML(stylesheets=[_STYLE], disable_math=True, **{"margin": (6, 10), **options})
        self.param.watch(self._show, ["object", "visible"])
        self._show()

    def __panel__(self) -> pn.pane.HTML:
        return self._pane

    def _show(self, *_: Any) -> None:
        self._pane.param.update(object=f"<pre>{escaped(self.object)}</pre>", visible=self.visible)


def heading(words: str) -> Text:
    """A heading within a page."""
    return Text(words, styles={"font-size": "1.25rem", "font-weight": "500"})


class Link(pn.viewable.Viewer):  # type: ignore[misc]
    """A link that opens in a page of its own, or nothing where the address is none of the web.

    Args:
        words: that are clicked.
        address: where they lead.
    """

    address = param.String(default="")

    def __init__(self, words: str, address: str = "") -> None:
        super().__init__(address=address)
        self._words = words
        self._pane = pn.pane.HTML(disable_math=True)
        self.param.watch(self._show, "address")
        self._show()

    def __panel__(self) -> pn.pane.HTML:
        return self._pane

    def _show(self, *_: Any) -> None:
        there = escaped(web_address(self.address))
        link = f'<a href="{there}" target="_blank" rel="noopener noreferrer">{escaped(self._words)}</a>'
        self._pane.object = link if there else ""


def escaped(text: object) -> str:
    """Text as HTML that shows it."""
    return html.escape(str(text), quote=True)


def web_address(text: str) -> str:
    """An address with every letter quoted that has no place in one; empty if it is not one of http or https."""
    found = quote(text, safe=_SAFE)
    try:
        parts = urlsplit(found)
    except ValueError:
        return ""
    return found if parts.scheme in ("http", "https") and parts.netloc else ""
