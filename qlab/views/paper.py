"""Figures of a page at the width of a paper's column: their panels laid out anew, with text of a size to be read."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import holoviews as hv

from qlab.views.backends import plain_powers, pyplot
from qlab.views.publication import Format, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

Column = Literal["single", "double"]

MILLIMETRES: Final[dict[Column, float]] = {"single": 85.0, "double": 178.0}
"""Widths of a figure: of one column, and of both."""

_NARROWEST: Final = 2.2
"""Inches; panels that would be narrower stand below each other."""

_LINES, _MARKERS = 0.65, 0.35
"""What is left of widths of lines, and of areas of markers, which are meant for a screen."""

_FLAT, _STEEP = 0.55, 1.15
"""Height of a panel divided by its width, at least and at most."""

_LETTER: Final = 0.5
"""The mean width of a letter in units of the text's size."""

_GAP: Final = 0.1
"""Inches between rows."""

_ROUNDS: Final = 3
"""The height settles in two."""


def paper_bytes(figure: Any, suffix: Literal["pdf", "svg", "png"], column: Column, dpi: int = 300) -> bytes:
    """A HoloViews object as the content of a file, exactly as wide as a column: letters of 8 points, fonts embedded.

    Args:
        figure: a Layout of panels, or a single one.
        suffix: the kind of file.
        column: the width, see :data:`MILLIMETRES`.
        dpi: dots per inch of a PNG file, and of images in the others.
    """
    form = Format(width=MILLIMETRES[column] / 25.4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"figure.{suffix}"
        write(lambda: draw(figure, form), path, form, dpi)
        return path.read_bytes()


def draw(figure: Any, form: Format) -> Figure:
    """Panels as a Matplotlib figure, to be called with :func:`qlab.views.publication.settings` in force.

    As many panels stand side by side as have room, in the rows of the page's layout or in parts of these. The legend
    stands below; titles are broken into lines.

    Args:
        figure: a Layout of panels, or a single one.
        form: how it is printed; axes are as logarithmic as they are on the page.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.gridspec import GridSpec

    columns = _columns(figure, form)
    # The page's own is not to be changed.
    laid = figure.clone().cols(columns) if isinstance(figure, hv.Layout) else figure
    with pyplot():
        found: Figure = hv.renderer("matplotlib").get_plot(laid).state
        FigureCanvasAgg(found)  # pyplot's own may have a window
        ratios = [_ratio(axes) for axes in found.axes]
        bars = [_without_bar(axes) for axes in found.axes]
        panels = list(found.axes)
        rows = -(-len(panels) // columns)
        # HoloViews' own grid belongs to no figure, and would not be laid out.
        grid = GridSpec(rows, columns, figure=found)
        for place, axes in enumerate(panels):
            axes.set_subplotspec(grid[place // columns, place % columns])
        found.set_size_inches(form.width, rows * (form.width / columns * _STEEP + 1.0) + 1.0)
        found.set_layout_engine("constrained")
        for axes, ratio in zip(panels, ratios, strict=False):
            _slim(axes, ratio, form)
        for drawn, words in filter(None, bars):
            found.colorbar(drawn, ax=drawn.axes, label=words).outline.set_linewidth(0.4)
        plain_powers(found)
        _settle(found, panels, _legends(found), form, columns)
    return found


def _columns(figure: Any, form: Format) -> int:
    """The largest part of a row of the page that has room."""
    if not isinstance(figure, hv.Layout):
        return 1
    wanted = max(1, min(len(figure), int(figure._max_cols)))
    room = max(1, int(form.width / _NARROWEST))
    return next(part for part in range(min(wanted, room), 0, -1) if wanted % part == 0)


def _ratio(axes: Axes) -> float:
    """Height of a panel's frame divided by its width, as the page's Matplotlib figure has it."""
    width, height = axes.get_figure().get_size_inches()  # type: ignore[union-attr]
    box = axes.get_position()
    return float(min(max(box.height * height / max(box.width * width, 1e-9), _FLAT), _STEEP))


def _slim(axes: Axes, ratio: float, form: Format) -> None:
    """Makes what a panel draws as thin as print wants it, and keeps its proportions."""
    from matplotlib.collections import PathCollection

    if axes.name == "3d":
        return
    for line in axes.lines:
        line.set_linewidth(line.get_linewidth() * _LINES)
        line.set_markersize(line.get_markersize() * _MARKERS**0.5)
    for drawn in axes.collections:
        drawn.set_linewidth([width * _LINES for width in drawn.get_linewidths()])  # type: ignore[attr-defined]
        if isinstance(drawn, PathCollection) and len(drawn.get_sizes()):
            drawn.set_sizes(drawn.get_sizes() * _MARKERS)
    small = max(form.font_size - 1.0, 4.0)
    for text in axes.texts:
        text.set_fontsize(min(text.get_fontsize(), small))
    axes.set_aspect("auto")
    axes.set_box_aspect(ratio)


def _without_bar(axes: Axes) -> tuple[Any, str] | None:
    """What a panel has a bar of colours for, and the words beside it; the bar is taken out."""
    for drawn in (*axes.images, *axes.collections):
        bar = drawn.colorbar
        if bar is not None and bar.ax is not axes:
            words = bar.ax.get_ylabel()
            bar.remove()
            return drawn, words
    return None


def _legends(figure: Figure) -> dict[str, Any]:
    """The entries of all panels' legends, each once; the legends are taken out."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        legend: Legend | None = axes.get_legend()
        if legend is None:
            continue
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            found.setdefault(text.get_text(), handle)
        legend.remove()
    return found


def _settle(figure: Figure, panels: Sequence[Axes], handles: dict[str, Any], form: Format, columns: int) -> None:
    """Titles and legend that fit the width, and as much height as the panels need that follow from it."""
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    letters = int(72.0 * form.width / columns / (form.font_size * _LETTER))
    for axes in panels:
        if axes.get_title():
            axes.set_title(textwrap.fill(axes.get_title(), max(12, letters - 8)))
    legend: Any = None
    if handles:
        whole = int(72.0 * form.width / ((form.font_size - 1.0) * _LETTER)) - 8
        longest = max(map(len, handles))
        per_row = max(1, min(len(handles), whole // (longest + 6)))
        labels = [textwrap.fill(label, whole) for label in handles]
        legend = figure.legend(
            list(handles.values()), labels, loc="outside lower center", ncols=per_row, frameon=False, handlelength=1.8
        )
    for _ in range(_ROUNDS):
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        needed = _needed(figure, panels, columns, renderer, legend)
        if abs(height - needed) < 0.03:
            break
        figure.set_size_inches(width, needed)


def _needed(figure: Figure, panels: Sequence[Axes], columns: int, renderer: Any, legend: Any) -> float:
    """The height in inches of the rows of panels, and of the legend."""
    heights = [box.height if (box := axes.get_tightbbox(renderer)) is not None else 0.0 for axes in panels]
    rows = [max(heights[start : start + columns]) for start in range(0, len(heights), columns)]
    below = legend.get_window_extent(renderer).height / figure.dpi + 0.06 if legend is not None else 0.0
    return float(max(1.0, sum(rows) / figure.dpi + _GAP * len(rows) + below))
