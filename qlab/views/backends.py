"""Drawing with either of HoloViews' backends: Bokeh for pages, Matplotlib for PNG files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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

DRAWING: Final = threading.RLock()
"""Held while a figure is drawn: HoloViews' backend and Matplotlib's figures belong to the whole process."""


@contextmanager
def pyplot() -> Iterator[None]:
    """Matplotlib for this thread alone, without a window; figures that are made meanwhile are closed, no others."""
    import matplotlib.pyplot as plt

    with DRAWING, plt.rc_context({"backend": "Agg"}):
        before = set(plt.get_fignums())
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)


def styled(element: T, *, bokeh: dict[str, Any], matplotlib: dict[str, Any]) -> T:
    """An element with the options of both backends."""
    for backend, options in (("bokeh", bokeh), ("matplotlib", matplotlib)):
        element = element.opts(backend=backend, **options)  # type: ignore[attr-defined]
    return element


def boxed(plot: Any, element: Any) -> None:
    """A hook for Matplotlib that gives a panel the proportions 5 : 4; HoloViews' own go wrong on logarithmic axes."""
    axes = plot.handles["axis"]
    axes.set_aspect("auto")
    axes.set_box_aspect(0.8)
