"""The one door for text: whatever a store or an address holds is shown letter by letter, and nothing of it is obeyed.

Panel's own panes take text as HTML (``pn.pane.Str`` too: it escapes for the way to the browser only). Pages use what is
here instead.
"""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import panel as pn
import param

_STYLE = """
:host(.bk-panel-models-markup-HTML) :is(pre, h1, h2) {
  font-family: inherit; font-size: var(--size, 14px); font-weight: var(--weight, 400);
  line-height: 1.45; margin: 0; white-space: pre-wrap;
  overflow-wrap: anywhere; unicode-bidi: isolate;
}
"""

_LEGEND = """
:host ul { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; margin: 0; padding: 0; font-size: 13px; }
:host li { display: flex; align-items: center; gap: 6px; overflow-wrap: anywhere; }
:host svg { flex: none; }
"""

_SHAPES = {
    "circle": '<circle cx="13" cy="7" r="4.5"/>',
    "square": '<rect x="9" y="3" width="8" height="8"/>',
    "triangle": '<path d="M13 2 L18 11 L8 11 Z"/>',
    "inverted_triangle": '<path d="M13 12 L18 3 L8 3 Z"/>',
    "x": '<path d="M9 3 L17 11 M17 3 L9 11" stroke-width="2"/>',
    "diamond": '<path d="M13 1.5 L18.5 7 L13 12.5 L7.5 7 Z"/>',
}

_SAFE = "/?#&=%+~:;,@!$*-._"
"""What stands in an address as it is."""


class Text(pn.viewable.Viewer):  # type: ignore[misc]
    """Text in the page's font.

    Args:
        object: the text.
        visible: whether it is shown.
        tag: of HTML: "pre", "h1" or "h2".
        options: of Panel's pane.
    """

    object = param.String(default="")
    visible = param.Boolean(default=True)

    def __init__(self, object: str = "", visible: bool = True, tag: str = "pre", **options: Any) -> None:
        super().__init__(object=object, visible=visible)
        self._tag = tag
        self._styles = options.get("styles") or {}
        self._pane = pn.pane.HTML(stylesheets=[_STYLE], disable_math=True, **{"margin": (6, 10), **options})
        self.param.watch(self._show, ["object", "visible"])
        self._show()

    def __panel__(self) -> pn.pane.HTML:
        return self._pane

    def _show(self, *_: Any) -> None:
        # Not Bokeh's own "visible": a pane that is told so before it is drawn fails in the browser.
        styles = {**self._styles, "display": "block" if self.visible else "none"}
        self._pane.param.update(object=f"<{self._tag}>{escaped(self.object)}</{self._tag}>", styles=styles)


@dataclasses.dataclass(frozen=True)
class Key:
    """An entry of a legend.

    Args:
        words: what it is.
        colour: hexadecimal.
        dash: of the line, as SVG has it; empty: solid.
        marker: Bokeh's name of the marker, or "patch"; empty: none.
        line: whether there is a line.
    """

    words: str
    colour: str
    dash: str = ""
    marker: str = ""
    line: bool = True


class LegendStrip(pn.viewable.Viewer):  # type: ignore[misc]
    """One legend for a row of plots.

    Args:
        keys: its entries.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__()
        self._pane = pn.pane.HTML(stylesheets=[_LEGEND], disable_math=True, sizing_mode="stretch_width", margin=(4, 10))
        self.show(keys)

    def show(self, keys: Sequence[Key]) -> None:
        """Shows other entries."""
        entries = "".join(f"<li>{_sample(key)}<span>{escaped(key.words)}</span></li>" for key in keys)
        self._pane.object = f'<ul aria-label="Legend">{entries}</ul>'

    def __panel__(self) -> pn.pane.HTML:
        return self._pane


def _sample(key: Key) -> str:
    """A piece of a line with its marker."""
    colour = key.colour if re.fullmatch(r"#[0-9a-fA-F]{6}", key.colour) else "currentColor"
    dash = f' stroke-dasharray="{key.dash}"' if re.fullmatch(r"[0-9 ]+", key.dash) else ""
    line = f'<line x1="1" y1="7" x2="25" y2="7" stroke="{colour}" stroke-width="2.5"{dash}/>' if key.line else ""
    if key.marker == "patch":
        line = f'<rect x="4" y="1" width="18" height="12" fill="{colour}"/>'
    shape = _SHAPES.get(key.marker, "")
    drawn = f'<g fill="{colour}" stroke="{colour}">{shape}</g>' if shape else ""
    return f'<svg width="26" height="14" aria-hidden="true">{line}{drawn}</svg>'


def heading(words: str) -> Text:
    """A heading within a page."""
    return Text(words, tag="h2", styles={"--size": "16px", "--weight": "600"}, margin=(16, 10, 4, 10))


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
