"""One colour and one marker per model, in every figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """A style for every label.

    Labels that begin with the name of a built-in model are of that model: the first of them has its style whatever else
    is shown, so that a model looks the same in every figure, whichever of its settings the figure's label says.
    """
    labels = list(dict.fromkeys(labels))
    own: dict[str, int] = {}
    for label in sorted(labels, key=lambda label: label not in _FIXED):  # the bare name before one with settings
        place = _FIXED.get(_model_in(label))
        if place is not None and place not in own.values():
            own[label] = place
    taken = set(_FIXED.values())
    free = (index for index in range(len(_FIXED) + len(labels)) if index not in taken)
    indices = {label: own[label] if label in own else next(free) for label in labels}
    return {
        label: Style(_COLOURS[index % len(_COLOURS)], *_MARKERS[index % len(_MARKERS)])
        for label, index in indices.items()
    }


def shades(colour: str, count: int) -> list[str]:
    """So many colours that are told apart and are all seen to be this one: from it towards white."""
    channels = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    parts = [0.0] if count == 1 else [0.62 * number / (count - 1) for number in range(count)]
    return ["#" + "".join(f"{round(own + (255 - own) * part):02X}" for own in channels) for part in parts]


def coloured_by_model(labels: Mapping[str, str], models: Iterable[str]) -> dict[str, str]:
    """A colour for each label: its model's, in shades where several are of one.

    Args:
        labels: the model of each label.
        models: all models of the figure beside which this one stands, in its order.
    """
    by_model = styles([*models, *labels.values()])
    found: dict[str, str] = {}
    for model in dict.fromkeys(labels.values()):
        own = [label for label, of in labels.items() if of == model]
        found |= dict(zip(own, shades(by_model[model].colour, len(own)), strict=True))
    return found


def _model_in(label: str) -> str:
    return label.replace(",", " ").split(" ", 1)[0]
