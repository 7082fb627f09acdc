"""The paper's minimal models drawn: the two terms of their Hessians over the parameter (supplement I)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import holoviews as hv
import numpy as np
from numpy.typing import NDArray

from qlab.views.backends import styled

_STYLES = {"A + B": ("#000000", "solid", "-"), "A": ("#0072B2", "dashed", "--"), "B": ("#D55E00", "dashed", "--")}


class Terms(Protocol):
    """A Hessian and its two terms, as :mod:`qlab.landscape.minimal` gives them."""

    @property
    def a(self) -> NDArray[np.float64]:
        """Term A."""

    @property
    def b(self) -> NDArray[np.float64]:
        """Term B."""

    @property
    def hessian(self) -> NDArray[np.float64]:
        """Their sum."""


def terms_over_theta(models: Mapping[str, Callable[..., Terms]], x: float, span: float) -> hv.Layout:
    """Terms A and B and their sum for each model, for a right and for a flipped label.

    Args:
        models: Hessians as functions of theta, x and the label, by the models' names.
        x: the sample's feature; its true label is 1.
        span: theta runs from -span to span.
    """
    theta = np.linspace(-span, span, 401)
    panels = [
        _panel(theta, terms(theta, x, label), f"{name}, {what} label (y = {label})")
        for name, terms in models.items()
        for label, what in ((1, "right"), (0, "flipped"))
    ]
    return styled(
        hv.Layout(panels).cols(2),
        bokeh={"shared_axes": False},
        matplotlib={"fig_inches": (10, 7), "hspace": 0.3, "vspace": 0.35, "sublabel_format": ""},
    )


def _panel(theta: Any, terms: Terms, title: str) -> hv.Overlay:
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
