"""Titles of figures that are of one model: what it is, before what a panel shows."""

from __future__ import annotations

from typing import Any

import holoviews as hv

from qlab.views.backends import styled


def titled(figure: Any, words: str) -> Any:
    """A figure whose panels say what they are of; what each of them says already follows.

    Args:
        figure: a Layout of panels, or a single one.
        words: model, corruption, ratio, seed and method.
    """
    if isinstance(figure, hv.Layout):
        panels = [_titled(panel, words) for panel in figure]
        return figure.clone(panels)
    return _titled(figure, words)


def _titled(panel: Any, words: str) -> Any:
    own = str(hv.Store.lookup_options("bokeh", panel, "plot").kwargs.get("title") or "")
    own = own.replace("{{", "{").replace("}}", "}")
    text = f"{words}: {own}" if own and own != words else words
    return styled(panel, bokeh={"title": text}, matplotlib={"title": text})
