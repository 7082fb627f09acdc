"""Pictures of what one probe found."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np
from numpy.typing import NDArray

from qlab.views.backends import styled
from qlab.views.drawn import Drawn
from qlab.views.panels import BLUE, coloured, curves, row, styled_panel, title
from qlab.views.slices import slice_picture


def draw(result: Drawn) -> Any:
    """The picture that belongs to a result, or a table of its scalars."""
    return VIEWS.get(result.view, scalars)(result)


def gallery(results: Sequence[tuple[str, Drawn]]) -> hv.Layout:
    """Slices and paths of several models, a panel for each.

    Args:
        results: what they are of, and the results.
    """
    return panels_in_rows([panel(label, result) for label, result in results])


def panel(label: str, result: Drawn) -> Any:
    """The panel of one result in a gallery, with what it is of above it."""
    picture = draw(result)
    parts = list(picture) if isinstance(picture, hv.Layout) else [picture]
    # A line has a panel for the loss and one for the accuracy: here the loss is enough.
    return styled(parts[0], bokeh={"title": label}, matplotlib={"title": label})


def panels_in_rows(panels: Sequence[Any]) -> hv.Layout:
    """Panels side by side, three in a row."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    return styled(
        hv.Layout(list(panels)).cols(columns),
        bokeh={"shared_axes": False},
        matplotlib={
            "shared_axes": False,
            "fig_inches": (5.6 * columns, 4.6 * rows),
            "hspace": 0.4,
            "vspace": 0.4,
            "sublabel_format": "",
        },
    )


def scalars(result: Drawn) -> hv.Table:
    """A table of a result's numbers, and of what was left out with the reason."""
    left_out = [(name, f"left out: {why}") for name, why in _left_out(result).items()]
    table = hv.Table([*result.scalars.items(), *left_out], "name", "value")
    # On a page HoloViews makes the title of a table, and of nothing else, of HTML.
    return styled(table, bokeh={"title": html.escape(result.probe)}, matplotlib={"title": result.probe})


def path_picture(result: Drawn) -> hv.Layout:
    """Loss and accuracy along the lines between points, on the probe's samples and on the validation split."""
    arrays = result.arrays
    position = arrays["position"].reshape(-1)
    samples = str(result.about.get("samples", "samples"))
    losses = {samples: arrays["loss"].reshape(-1)}
    accuracies = {samples: arrays["accuracy"].reshape(-1)}
    if "validation_loss" in arrays and samples != "validation":
        losses["validation"] = arrays["validation_loss"].reshape(-1)
        accuracies["validation"] = arrays["validation_accuracy"].reshape(-1)
    ends = [float(arrays["position"][0, 0]), *arrays["position"][:, -1].tolist()]
    places = dict(zip(ends, result.about.get("path", [""] * len(ends)), strict=True))
    barrier = f"barrier {result.scalars['barrier']:.3g}"
    panels = [
        curves(position, losses, "distance along the path", "loss", f"{title(result)}, {barrier}", places),
        curves(position, accuracies, "distance along the path", "accuracy", title(result), places, (-0.03, 1.03)),
    ]
    return row(panels)


def spectrum_picture(result: Drawn) -> hv.Layout:
    """Eigenvalues of the Hessian in order, and its trace by layer with the two terms."""
    arrays = result.arrays
    heading = f"{title(result)}: Tr H = {result.scalars['hessian_trace']:.4g}"
    panels: list[Any] = []
    if "eigenvalues" in arrays:
        values = arrays["eigenvalues"][::-1]
        panels.append(_stems(np.arange(len(values)), values, "number", heading))
    elif "eigenvalues_largest" in arrays:
        values = np.concatenate([arrays["eigenvalues_largest"][::-1], arrays["eigenvalues_lowest"][::-1]])
        panels.append(_stems(np.arange(len(values)), values, "largest, then lowest", heading))
    if "density" in arrays:
        grid, density = arrays["density_grid"], np.maximum(arrays["density"], 1e-12)
        panels.append(
            styled_panel(
                hv.Overlay([coloured(hv.Curve((grid, density), "eigenvalue", "density"), BLUE)]),
                {"title": "spectral density", "xlabel": "eigenvalue", "ylabel": "density", "logy": True},
            )
        )
    layers = list(result.about.get("layers", []))
    rows = [(layer, "A", value) for layer, value in zip(layers, arrays["layer_trace_a"], strict=True)]
    if "layer_trace_b" in arrays:
        rows += [(layer, "B", value) for layer, value in zip(layers, arrays["layer_trace_b"], strict=True)]
    bars = hv.Bars(rows, ["layer", "term"], "trace")
    common = {"title": "trace by layer", "xlabel": "", "ylabel": "trace"}
    panels.append(
        styled(
            bars,
            bokeh={**common, "width": 460, "height": 360, "tools": ["hover"], "xrotation": 45},
            matplotlib={**common, "xrotation": 45, "show_legend": False},
        )
    )
    return row(panels)


def roughening_picture(result: Drawn) -> Any:
    """Traces after clean and after polluted training, a line for each pair."""
    arrays = result.arrays
    if "lrr" not in arrays:
        return scalars(result)
    pairs = [
        coloured(hv.Curve([("clean", clean), ("polluted", polluted)], "training data", "Hessian trace"), BLUE)
        for clean, polluted in zip(arrays["hessian_trace_clean"], arrays["hessian_trace"], strict=True)
    ]
    left_out = ", ".join(sorted(set(_left_out(result).values())))
    kept = len(pairs) - len(_left_out(result))
    heading = f"LRR {result.scalars['lrr']:.3g}, {kept} of {len(pairs)} pairs{left_out and f'; left out: {left_out}'}"
    return styled_panel(hv.Overlay(pairs), {"title": heading, "xlabel": "training data", "ylabel": "Hessian trace"})


def _left_out(result: Drawn) -> Mapping[str, str]:
    """What a result leaves out, and why."""
    found = result.about.get("left_out", {})
    return found if isinstance(found, Mapping) else {}


VIEWS: Mapping[str, Callable[[Drawn], Any]] = {
    "slice": slice_picture,
    "path": path_picture,
    "spectrum": spectrum_picture,
    "roughening": roughening_picture,
    "": scalars,
}
"""How results are drawn, by :attr:`qlab.landscape.result.ProbeResult.view`."""


def _stems(x: NDArray[Any], values: NDArray[np.float64], xlabel: str, heading: str) -> hv.Overlay:
    dots = styled(
        hv.Scatter((x, values), xlabel, "eigenvalue"),
        bokeh={"color": BLUE, "size": 5, "tools": ["hover"]},
        matplotlib={"color": BLUE, "s": 12},
    )
    zero = styled(
        hv.HLine(0.0),
        bokeh={"color": "#999999", "line_width": 1},
        matplotlib={"color": "#999999", "linewidth": 1},
    )
    return styled_panel(hv.Overlay([zero, dots]), {"title": heading, "xlabel": xlabel, "ylabel": "eigenvalue"})
