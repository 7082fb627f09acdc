"""One colour and one marker per model, in every figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# Okabe and Ito's palette, told apart with every common colour vision, and two of Tol's.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999933")
_MARKERS = (("circle", "o"), ("square", "s"), ("triangle", "^"), ("diamond", "D"), ("inverted_triangle", "v"))

_FIXED = {"PennyLaneQNN": 0, "MLP": 1}
"""Built-in models keep their style whatever else is shown."""


class Style(NamedTuple):
    """How one model is drawn: hexadecimal colour, marker in Bokeh's and in Matplotlib's name."""

    colour: str
    bokeh_marker: str
    matplotlib_marker: str


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A style for every label. A label that is the name of a built-in model always gets the same one."""
    labels = list(dict.fromkeys(labels))
    taken = set(_FIXED.values())
    free = (index for index in range(len(_FIXED) + len(labels)) if index not in taken)
    indices = {label: _FIXED[label] if label in _FIXED else next(free) for label in labels}
    return {
        label: Style(_COLOURS[index % len(_COLOURS)], *_MARKERS[index % len(_MARKERS)])
        for label, index in indices.items()
    }
