"""Figures at the size they are printed: vector files with the fonts inside, drawn with Matplotlib alone.

HoloViews' figures are for pages and screens. Print needs an exact width, text of a size that can be read in it, and
room for every label: Matplotlib's constrained layout sees to that.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from qlab.views.backends import DRAWING, literal
from qlab.views.lines import Panel, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: Final = ("pdf", "svg", "png", "eps")
"""Suffixes of files that can be written."""

SINGLE_COLUMN: Final = 3.4
"""Width in inches of a column of most two-column journals (86 mm)."""

_NARROWEST_PANEL = 2.2
"""Inches; panels that would be narrower stand below each other."""

_LETTER = 0.5
"""The mean width of a letter in units of the text's size, for a first guess at line breaks."""

_ROUNDS = 4
"""Sizes settle in two or three."""


@dataclasses.dataclass(frozen=True)
class Format:
    """How a figure is printed.

    Args:
        width: of the whole figure in inches.
        aspect: width of a panel's frame divided by its height.
        font_size: of all text but that of legends, in points; the legend's is one less.
        log_x: whether the axis is logarithmic.
        log_y: whether the metrics' axes are.
    """

    width: float = SINGLE_COLUMN
    aspect: float = 1.4
    font_size: float = 8.0
    log_x: bool = False
    log_y: bool = False


def settings(form: Format) -> Any:
    """Matplotlib's settings: fonts that journals take (type 42), text as it is written, lines that print."""
    small = max(form.font_size - 1.0, 4.0)
    return {
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.hashsalt": "qlab",
        "text.parse_math": False,
        "font.size": form.font_size,
        "axes.titlesize": form.font_size,
        "axes.labelsize": form.font_size,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
        "legend.fontsize": small,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 3.5,
        "axes.unicode_minus": True,
    }


def save(panels: Sequence[Panel], path: Path, form: Format, dpi: int = 300) -> Path:
    """Draws panels into a file of the kind that its suffix says, as wide as asked for.

    Args:
        panels: what to draw, see :mod:`qlab.views.lines`.
        path: the file, with one of the suffixes of :data:`FORMATS`.
        form: how it is printed.
        dpi: dots per inch of a PNG file.
    """
    return write(lambda: draw(panels, form), path, form, dpi)


def write(draw: Callable[[], Figure], path: Path, form: Format, dpi: int) -> Path:
    """Writes what is drawn with :func:`settings` in force, without the time at which it was.

    Args:
        draw: makes the figure.
        path: the file, with one of the suffixes of :data:`FORMATS`.
        form: how it is printed.
        dpi: dots per inch of a PNG file.
    """
    import matplotlib as mpl

    suffix = path.suffix.lower().removeprefix(".")
    about = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix)
    with DRAWING, mpl.rc_context(settings(form)):
        draw().savefig(path, format=suffix, dpi=dpi, metadata=about)
    return path


def draw(panels: Sequence[Panel], form: Format) -> Figure:
    """Panels as a Matplotlib figure in which no label is cut off or covers another.

    To be called with :func:`settings` in force. The legend stands below the panels; labels that are wider than the
    figure are broken into lines.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = _columns(panels, form)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(form.width, rows * form.width / columns / form.aspect + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = np.asarray(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles: dict[str, Any] = {}
    for place, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        _fill(axes, panel, form, handles)
        if place + columns >= len(panels):  # those below have the same axis
            axes.set_xlabel(literal(panel.xlabel))
    named = {label: handles[name] for name, label in legend(panels).items()}
    _settle(figure, list(grid[: len(panels)]), panels, named, form, columns)
    return figure


def _columns(panels: Sequence[Panel], form: Format) -> int:
    """As many panels side by side as have room, and as fill their rows."""
    fit = max(1, int(form.width / _NARROWEST_PANEL))
    metrics = len(dict.fromkeys(panel.ylabel for panel in panels))
    return min(fit, len(panels)) if metrics == 1 or fit < metrics else metrics * (fit // metrics)


def _fill(axes: Any, panel: Panel, form: Format, handles: dict[str, Any]) -> None:
    for line in panel.lines:
        marker = {"marker": line.style.matplotlib_marker} if panel.markers else {}
        (handle,) = axes.plot(line.x, line.mean, color=line.style.colour, **marker)
        deviation = np.nan_to_num(line.deviation)
        if len(line.x) == 1:  # a band would have no width
            axes.errorbar(line.x, line.mean, deviation, color=line.style.colour, alpha=0.6, linewidth=1)
        else:
            axes.fill_between(
                line.x, line.mean - deviation, line.mean + deviation, color=line.style.colour, alpha=0.18, linewidth=0
            )
        handles.setdefault(line.name, handle)
    axes.set_ylabel(literal(panel.ylabel))
    axes.grid(linewidth=0.4, alpha=0.4)
    axes.set_axisbelow(True)
    if form.log_x and any((line.x > 0).any() for line in panel.lines):
        axes.set_xscale("log")
    if form.log_y and any((line.mean > 0).any() for line in panel.lines):
        axes.set_yscale("log", nonpositive="clip")
    elif panel.bounded:
        axes.set_ylim(-0.03, 1.03)


def _settle(
    figure: Any, grid: Sequence[Any], panels: Sequence[Panel], handles: dict[str, Any], form: Format, columns: int
) -> None:
    """Makes frames of the proportions asked for, and legend and titles fit the width."""
    from qlab.views.backends import plain_powers

    plain_powers(figure)
    renderer = figure.canvas.get_renderer()
    letters = max(12, int(72.0 * form.width / (form.font_size - 1.0) / _LETTER))
    per_row = min(len(handles), max(1, int(form.width / _NARROWEST_PANEL)) + 1)
    drawn: Any = None
    for _ in range(_ROUNDS + per_row):
        for axes, panel in zip(grid, panels, strict=True):
            _titled(axes, panel, figure, renderer)
        drawn = _legend(figure, handles, letters, per_row, drawn)
        figure.draw_without_rendering()
        if drawn is not None and drawn.get_window_extent(renderer).width > figure.bbox.width:
            if per_row > 1:
                per_row -= 1
            else:
                letters = int(letters * 0.9)
            continue
        missing = _too_low(grid, form, columns)
        if abs(missing) < 0.01:
            break
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + missing)


def _titled(axes: Any, panel: Panel, figure: Any, renderer: Any) -> None:
    """A title broken into lines that are no wider than its panel."""
    if not panel.title:
        return
    width = axes.get_window_extent(renderer).width
    letters = max(8, int(width / figure.dpi * 72.0 / (axes.title.get_fontsize() * _LETTER)))
    axes.set_title(textwrap.fill(literal(panel.title), letters))
    while letters > 8 and axes.title.get_window_extent(renderer).width > width:
        letters -= 2
        axes.set_title(textwrap.fill(literal(panel.title), letters))


def _legend(figure: Any, handles: dict[str, Any], letters: int, per_row: int, old: Any) -> Any:
    if old is not None:
        old.remove()
    if not handles:
        return None
    labels = [textwrap.fill(literal(label), letters if per_row == 1 else 10_000) for label in handles]
    return figure.legend(
        list(handles.values()), labels, loc="outside lower center", ncols=per_row, frameon=False, handlelength=1.8
    )


def _too_low(grid: Sequence[Any], form: Format, columns: int) -> float:
    """The height in inches that the figure lacks for frames of the proportions asked for."""
    rows = -(-len(grid) // columns)
    box = grid[0].get_window_extent()
    dpi = grid[0].get_figure().dpi
    return float(rows * (box.width / form.aspect - box.height) / dpi)
