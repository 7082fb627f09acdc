"""Figures as files: PNG, and HTML that needs no network."""

from __future__ import annotations

import html
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import holoviews as hv

from qlab.views.backends import DRAWING, plain_powers, pyplot


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
    path.write_text(_page([figure], title, ""), encoding="utf-8")
    return path


def page_html(figures: Sequence[Any], title: str) -> str:
    """HoloViews objects below each other as one interactive page with Bokeh's scripts inside, and no others."""
    return _page(figures, title, f"<h1>{html.escape(title)}</h1>")


def policy(scripts: str = "'none'") -> str:
    """A tag that lets a page load nothing, and run only the scripts given (a source of a content security policy)."""
    rules = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:"
    return f"<meta http-equiv=\"Content-Security-Policy\" content=\"{rules}; base-uri 'none'; form-action 'none'\">"


def _page(figures: Sequence[Any], title: str, heading: str) -> str:
    from bokeh.embed import components
    from bokeh.resources import Resources

    nonce = secrets.token_urlsafe(18)
    # Bare texts, not tags: Panel, where it is loaded, makes Bokeh write others, which would load its files.
    library = Resources(mode="inline", components=["bokeh", "bokeh-widgets", "bokeh-tables"]).js_raw
    drawing, places = components([_rendered(figure) for figure in figures], wrap_script=False)
    scripts, script = ("".join(_script(text, nonce) for text in part) for part in (library, [drawing]))
    allowed = policy(f"'nonce-{nonce}'")
    head = f'<meta charset="utf-8">{allowed}<title>{html.escape(title)}</title>{scripts}'
    return f"<!DOCTYPE html><html><head>{head}</head><body>{heading}{''.join(places)}{script}</body></html>"


def _script(text: str, nonce: str) -> str:
    return f'<script nonce="{nonce}">{text}</script>'


def _rendered(figure: Any) -> Any:
    """A HoloViews object as Bokeh's."""
    with DRAWING:
        return hv.render(figure, backend="bokeh")


def _save(figure: Any, path: Path, form: str, dpi: int) -> Path:
    with pyplot():
        renderer = hv.renderer("matplotlib").instance(dpi=dpi)
        plot = renderer.get_plot(figure)
        plain_powers(plot.state)
        data, _ = renderer(plot, form)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path
