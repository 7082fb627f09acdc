"""Drawing with either of HoloViews' backends: Bokeh for pages, Matplotlib for PNG files."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import holoviews as hv
import holoviews.plotting.bokeh
import holoviews.plotting.mpl

T = TypeVar("T")

if hv.Store.current_backend is None or hv.Store.current_backend not in hv.Store.loaded_backends():
    hv.Store.set_current_backend("bokeh")

# Pictures of a few hundred points need no WebGL, and its library makes functions of text, which the explorer's content
# security policy forbids.
holoviews.plotting.bokeh.BokehRenderer.webgl = False

_TEXTS: Final = ("title", "xlabel", "ylabel", "zlabel", "clabel")
"""Options that are text."""

_JOINER: Final = "\u2060"
_PICTURES: Final = {code: 0x2400 + code for code in range(32) if code != 10} | {0x7F: 0x2421}

_NO_LIMIT: Final = 10_000

DRAWING: Final = threading.RLock()
"""Held while a figure is drawn: HoloViews' backend and Matplotlib's figures belong to the whole process."""


@contextmanager
def pyplot() -> Iterator[None]:
    """Matplotlib for this thread alone, without a window; figures that are made meanwhile are closed, no others.

    Text is drawn letter by letter, not as formulas.
    """
    import matplotlib.pyplot as plt

    with DRAWING, plt.rc_context({"backend": "Agg", "text.parse_math": False}):
        before = set(plt.get_fignums())
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)


def styled(element: T, *, bokeh: dict[str, Any], matplotlib: dict[str, Any]) -> T:
    """An element with the options of both backends; titles and names of axes are text, see :func:`literal`.

    Overlays keep their legend, however many parts they have: HoloViews would leave it out from 26 on.
    """
    always = {"legend_limit": _NO_LIMIT} if isinstance(element, hv.Overlay) else {}
    for backend, options in (("bokeh", bokeh), ("matplotlib", matplotlib)):
        element = element.opts(backend=backend, **always, **text_options(options))  # type: ignore[attr-defined]
    return element


def text_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options whose texts are drawn letter by letter."""
    found = {name: literal(value) if name in _TEXTS else value for name, value in options.items()}
    if "title" in found:  # HoloViews fills in what stands in braces
        found["title"] = found["title"].replace("{", "{{").replace("}", "}}")
    return found


def literal(text: str) -> str:
    """Text as it is to be given to HoloViews, so that it is drawn letter by letter.

    Bokeh takes what stands between ``$$``, or after ``\\[`` or ``\\(``, for formulas: a character without width parts
    them. HoloViews refuses control characters in labels: their pictures are drawn.
    """
    for start in ("$$", "\\[", "\\("):
        while start in text:
            text = text.replace(start, f"{start[0]}{_JOINER}{start[1]}")
    return text.translate(_PICTURES)


def boxed(plot: Any, element: Any) -> None:
    """A hook for Matplotlib that gives a panel the proportions 5 : 4; HoloViews' own go wrong on logarithmic axes."""
    axes = plot.handles["axis"]
    axes.set_aspect("auto")
    axes.set_box_aspect(0.8)


def plain_powers(figure: Any) -> None:
    """Gives the logarithmic axes of a Matplotlib figure numbers that are no formulas, see :func:`pyplot`."""
    from matplotlib.ticker import LogFormatter, LogFormatterSciNotation

    class Powers(LogFormatterSciNotation):
        def __call__(self, value: float, pos: int | None = None) -> str:
            found = LogFormatter.__call__(self, value, pos)
            if found and _is_power(value):
                return f"10{str(round(math.log10(value))).translate(_RAISED)}"
            return f"{value:g}" if found and 1e-3 <= value < 1e4 else found

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter(Powers())
                axis.set_minor_formatter(Powers(minor_thresholds=(1, 0.4)))


_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _is_power(value: float) -> bool:
    return value > 0 and math.isclose(math.log10(value), round(math.log10(value)), abs_tol=1e-9)
