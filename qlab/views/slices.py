"""Pictures of slices through a landscape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
from numpy.typing import NDArray

from qlab.errors import DataError
from qlab.views.backends import literal, styled, text_options
from qlab.views.drawn import Drawn
from qlab.views.limits import finite_limits
from qlab.views.panels import BLUE, ORANGE, coloured, line, row, styled_panel, title

_COLOURS = "viridis"
CUT_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7")
"""Of the curves of up to four slices that are cut."""

MARK, PATH = "#D55E00", "#FFFFFF"
"""Colours of marked points and of the path that training took."""

LEVELS = 10
"""So many contours."""

LOG_RANGE = 30.0
"""Losses that span more than this factor get a logarithmic colour scale."""

_FOLLOWING = ("pca", "points")
"""Only in slices along these the trajectory is drawn: others it meets at its end only, its projection misleads."""

_FAR = 1e-9
"""Distances from a plane below this fraction of its size are shown as none."""


def slice_picture(result: Drawn, *, limits: tuple[float, float] | None = None) -> Any:
    """A slice: loss and accuracy along a line, or the loss on a plane with its contours, marks and trajectory.

    Args:
        result: of a SliceProbe.
        limits: of the colour scale, so that several slices can be compared; by default those of the slice.
    """
    axis, loss = result.arrays["axis"], result.arrays["loss"]
    names = axis_labels(result)
    if loss.ndim == 1:
        return line(
            axis,
            {"loss": loss},
            {"accuracy": result.arrays["accuracy"]},
            names[0],
            title(result),
            {float(place[0]): name for name, place in marks(result).items()},
        )
    if not np.isfinite(loss).any():
        return styled(
            hv.Text(0.0, 0.0, "the loss is not a number anywhere"),
            bokeh={"title": title(result), "width": 520, "height": 470},
            matplotlib={"title": title(result), "fig_inches": (5.6, 5)},
        )
    limits = limits or finite_limits(loss)
    x, y = hv.Dimension("a", label=literal(names[0])), hv.Dimension("b", label=literal(names[1]))
    # The first index runs along the first direction; an image has its rows along the second.
    image = hv.Image((axis, axis, loss.T, result.arrays["accuracy"].T), [x, y], ["loss", "accuracy"])
    log = is_log(limits)
    shown: dict[str, Any] = {"cmap": _COLOURS, "clim": limits, "cnorm": "log" if log else "linear", "colorbar": True}
    image = styled(image, bokeh={**shown, "tools": ["hover"]}, matplotlib=shown)
    parts: list[Any] = [
        image,
        *_contours(axis, loss, limits, log, (x, y)),
        *_path_2d(result, (x, y)),
        *_marks_2d(result, (x, y)),
    ]
    common = {"title": title(result), "xlim": (axis[0], axis[-1]), "ylim": (axis[0], axis[-1])}
    return styled(
        hv.Overlay(parts),
        bokeh={**common, "width": 520, "height": 470, "show_legend": False},
        matplotlib={**common, "fig_inches": (5.6, 5), "aspect": "square", "show_legend": False},
    )


def surface_picture(
    result: Drawn, *, limits: tuple[float, float] | None = None, azimuth: int = -60, elevation: int = 30
) -> Any:
    """A slice on a plane as a surface over it; Matplotlib only.

    Args:
        result: of a SliceProbe in two dimensions.
        limits: of the loss axis and the colours, by default those of the slice.
        azimuth: of the eye, degrees.
        elevation: of the eye, degrees.

    Raises:
        DataError: the slice is a line.
    """
    axis, loss = result.arrays["axis"], result.arrays["loss"]
    if loss.ndim == 1:
        raise DataError("A line has no surface; choose two dimensions.")
    limits = limits or finite_limits(loss)
    names = axis_labels(result)
    x, y = hv.Dimension("a", label=literal(names[0])), hv.Dimension("b", label=literal(names[1]))
    surface = hv.Surface((axis, axis, np.clip(loss.T, *limits)), [x, y], hv.Dimension("loss", range=limits))
    return surface.opts(
        backend="matplotlib",
        cmap=_COLOURS,
        clim=limits,
        azimuth=azimuth,
        elevation=elevation,
        fig_inches=(6, 5),
        **text_options({"title": title(result)}),
    )


def cut_picture(results: Mapping[str, Drawn], place: tuple[float, float]) -> hv.Layout:
    """The loss along both axes of slices through the grid point nearest to a place: two panels, a curve per slice.

    Args:
        results: slices on planes, by what they are of.
        place: coordinates along the two directions.
    """
    panels = []
    for direction in (0, 1):
        parts = []
        for (label, result), colour in zip(results.items(), CUT_COLOURS, strict=False):
            axis = result.arrays["axis"]
            nearest = int(np.abs(axis - place[1 - direction]).argmin())
            fixed = float(axis[nearest])
            along = result.arrays["loss"][:, nearest] if direction == 0 else result.arrays["loss"][nearest]
            parts.append(coloured(hv.Curve((axis, along), "ab"[direction], "loss", label=literal(label)), colour))
        alone = f"{next(iter(results))}: " if len(results) == 1 else ""  # one curve has no legend
        title = f"{alone}loss along {'ab'[direction]} at {'ba'[direction]} = {fixed:.3g}"
        shown = {"title": title, "ylabel": "loss"}
        panels.append(styled_panel(hv.Overlay(parts), {**shown, "xlabel": "ab"[direction]}))
    return row(panels)


def is_log(limits: tuple[float, float]) -> bool:
    """Whether values between two limits are shown by their logarithm: losses by colours, numbers along an axis."""
    return limits[0] > 0 and limits[1] > LOG_RANGE * limits[0]


def has_path(result: Drawn) -> bool:
    """Whether the path that training took is drawn on a slice."""
    return "trajectory" in result.arrays and result.config.get("directions") in _FOLLOWING


def axis_labels(result: Drawn) -> list[str]:
    """What the axes of a slice are, with the Euclidean length of their unit."""
    config, about = result.config, result.about
    kind = str(config.get("directions", "direction"))
    found = []
    for axis in range(len(result.arrays["directions"])):
        if kind == "hessian":
            name = f"eigenvector of {about['eigenvalues'][axis]:.3g}"
        elif kind == "pca":
            name = f"principal direction {axis + 1} ({about['variance'][axis]:.0%} of the trajectory)"
        elif kind == "points":
            name = f"towards {config['points'][axis]}" if axis == 0 else f"in the plane of {config['points'][axis]}"
        else:
            name = f"{'filter-normalised' if kind == 'filter' else kind} direction {axis + 1}"
        found.append(f"{name}, unit {result.scalars[f'direction_length_{axis + 1}']:.3g}")
    return found


def marks(result: Drawn) -> dict[str, NDArray[np.float64]]:
    """The points to mark in a slice, by name: coordinates, then the Euclidean distance from the slice.

    Points outside the window are left out, and so are points that are farther from the slice than their projection is
    from the centre: what the slice shows there says nothing of them. The name of a point that is not in the slice says
    how far off it is.
    """
    axis, places = result.arrays["axis"], result.arrays["marks"]
    units = np.array([result.scalars[f"direction_length_{number + 1}"] for number in range(places.shape[1] - 1)])
    found = {}
    for name, place in zip(result.about.get("marks", []), places, strict=True):
        inside = bool((np.abs(place[:-1]) <= axis[-1] * (1.0 + 1e-9)).all())
        exact = place[-1] <= _FAR * float(units.max())
        if inside and (exact or place[-1] <= np.linalg.norm(place[:-1] * units)):
            found[name if exact else f"{name} ({place[-1]:.3g} off)"] = place
    return found


def _contours(
    axis: NDArray[np.float64], loss: NDArray[np.float64], limits: tuple[float, float], log: bool, dimensions: Any
) -> list[Any]:
    if not np.isfinite(loss).all() or limits[1] <= limits[0] or min(loss.shape) < 3:
        return []
    levels = (np.geomspace if log else np.linspace)(*limits, LEVELS + 2)[1:-1]
    image = hv.Image((axis, axis, loss.T), list(dimensions), "loss")
    found = hv.operation.contours(image, levels=list(levels))
    return [
        styled(
            found,
            bokeh={
                "color": "#FFFFFF",
                "line_color": "#FFFFFF",
                "line_width": 0.6,
                "line_alpha": 0.6,
                "cmap": ["#FFFFFF"],
            },
            matplotlib={"color": "#FFFFFF", "linewidth": 0.6, "alpha": 0.6, "cmap": ["#FFFFFF"]},
        )
    ]


def _path_2d(result: Drawn, dimensions: Any) -> list[Any]:
    if not has_path(result):
        return []
    path = result.arrays["trajectory"]
    x, y = dimensions
    return [
        styled(
            hv.Curve((path[:, 0], path[:, 1]), x, y),
            bokeh={"color": PATH, "line_width": 1.5},
            matplotlib={"color": PATH, "linewidth": 1.3},
        ),
        styled(
            hv.Points((path[:, 0], path[:, 1], path[:, 2]), [x, y], hv.Dimension("distance", label="off the plane")),
            bokeh={"color": PATH, "size": 4, "tools": ["hover"]},
            matplotlib={"color": PATH, "s": 8},
        ),
    ]


def _marks_2d(result: Drawn, dimensions: Any) -> list[Any]:
    axis, marked = result.arrays["axis"], marks(result)
    if not marked:
        return []
    names, places = list(marked), np.stack(list(marked.values()))
    points = hv.Points((places[:, 0], places[:, 1], places[:, 2]), list(dimensions), "distance")
    labels = hv.Labels((places[:, 0], places[:, 1], names), list(dimensions), "name")
    shift = 0.04 * (axis[-1] - axis[0])
    return [
        styled(
            points,
            bokeh={"color": MARK, "size": 9, "line_color": "#FFFFFF", "tools": ["hover"]},
            matplotlib={"color": MARK, "s": 40, "edgecolor": "#FFFFFF"},
        ),
        styled(
            labels,
            bokeh={"text_color": "#FFFFFF", "text_font_size": "9pt", "yoffset": shift},
            matplotlib={"color": "#FFFFFF", "size": 9, "yoffset": shift},
        ),
    ]
