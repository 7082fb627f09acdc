"""The paper's minimal models drawn: the two terms of their Hessians over the parameter (supplement I)."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np

from qlab.landscape import minimal
from qlab.views.backends import styled

_STYLES = {"A + B": ("#000000", "solid", "-"), "A": ("#0072B2", "dashed", "--"), "B": ("#D55E00", "dashed", "--")}


def terms_over_theta(x: float = 0.8, span: float = np.pi) -> hv.Layout:
    """Terms A and B and their sum for one neuron and one qubit, for a right and for a flipped label.

    The qubit's B is negative where the model contradicts a flipped label; the neuron has none.

    Args:
        x: the sample's feature; its true label is 1.
        span: theta runs from -span to span.
    """
    theta = np.linspace(-span, span, 401)
    panels = [
        _panel(theta, terms(theta, x, label), f"{name}, {what} label (y = {label})")
        for name, terms in (("one neuron", minimal.neuron_hessian), ("one qubit", minimal.qubit_hessian))
        for label, what in ((1, "right"), (0, "flipped"))
    ]
    return styled(
        hv.Layout(panels).cols(2),
        bokeh={"shared_axes": False},
        matplotlib={"fig_inches": (10, 7), "hspace": 0.3, "vspace": 0.35, "sublabel_format": ""},
    )


def _panel(theta: Any, terms: minimal.Terms, title: str) -> hv.Overlay:
    values = {"A": terms.a, "B": terms.b, "A + B": terms.hessian}
    curves = [
        styled(
            hv.Curve((theta, values[name]), "theta", "curvature", label=name),
            bokeh={"color": colour, "line_dash": dash, "line_width": 2},
            matplotlib={"color": colour, "linestyle": style, "linewidth": 1.8},
        )
        for name, (colour, dash, style) in _STYLES.items()
    ]
    shown = {"title": title, "show_grid": True, "ylim": (-0.85, 0.85)}
    return styled(
        hv.Overlay(curves),
        bokeh={**shown, "width": 430, "height": 330, "legend_position": "bottom_right"},
        matplotlib={**shown, "legend_position": "bottom_right"},
    )
