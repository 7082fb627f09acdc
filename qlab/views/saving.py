"""Figures as files: PNG, and HTML that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import holoviews as hv

import qlab.views.backends  # noqa: F401 - registers both


def save_png(figure: Any, path: Path, dpi: int = 150) -> Path:
    """Draws a HoloViews object with Matplotlib."""
    import matplotlib.pyplot as plt

    with plt.rc_context({"backend": "Agg"}):
        hv.save(figure, path, fmt="png", backend="matplotlib", dpi=dpi)
        plt.close("all")
    return path


def save_html(figure: Any, path: Path, title: str) -> Path:
    """Writes a HoloViews object as an interactive page with Bokeh's scripts inside."""
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    rendered = hv.render(figure, backend="bokeh")
    path.write_text(file_html(rendered, INLINE, title), encoding="utf-8")
    return path
