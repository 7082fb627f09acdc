"""Figures as files: PNG, and HTML that needs no network."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import holoviews as hv

from qlab.views.backends import DRAWING, pyplot


def save_png(figure: Any, path: Path, dpi: int = 150) -> Path:
    """Draws a HoloViews object with Matplotlib."""
    return _save(figure, path, "png", dpi)


def picture_bytes(figure: Any, form: Literal["png", "svg"], dpi: int = 150) -> bytes:
    """A HoloViews object drawn with Matplotlib, as the content of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"figure.{form}"
        _save(figure, path, form, dpi)
        return path.read_bytes()


def save_html(figure: Any, path: Path, title: str) -> Path:
    """Writes a HoloViews object as an interactive page with Bokeh's scripts inside."""
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    path.write_text(file_html(_rendered(figure), INLINE, title), encoding="utf-8")
    return path


def page_html(figures: Sequence[Any], title: str) -> str:
    """HoloViews objects below each other as one interactive page with Bokeh's scripts inside, and no others."""
    from bokeh.embed import components
    from bokeh.resources import INLINE

    script, places = components([_rendered(figure) for figure in figures])
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>{INLINE.render_js()}'
    body = "".join([f"<h1>{html.escape(title)}</h1>", *places, script])
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"


def _rendered(figure: Any) -> Any:
    """A HoloViews object as Bokeh's."""
    with DRAWING:
        return hv.render(figure, backend="bokeh")


def _save(figure: Any, path: Path, form: str, dpi: int) -> Path:
    with pyplot():
        hv.save(figure, path, fmt=form, backend="matplotlib", dpi=dpi)
    return path
