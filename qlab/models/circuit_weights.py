"""The weights of a quantum model: whether they can be its parameters, and which belong to a row of the circuit."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from qlab.circuits.weights import Shapes, checked_shapes
from qlab.errors import ConfigError
from qlab.models.base import Model

_ASSIGNED = (
    "_names",
    "_measured",
    "readout_scale",
    "readout_weights",
    "readout_offset",
    "readouts",
    "cone",
    "engine",
    "_largest",
    "_reached",
    "_shifted",
)
"""Attributes that building a model creates after its weights: no weight can have these names."""


def own_shapes(model: Model, given: object) -> Shapes:
    """The shapes of a model's weights, checked.

    Args:
        model: that is being built.
        given: what its ``weight_shapes`` returned.

    Raises:
        ConfigError: they are no shapes, have names that cannot be parameters, or hold nothing to train.
    """
    who = f"{type(model).__name__}.weight_shapes"
    shapes = checked_shapes(given, who)
    for name in shapes:
        present = hasattr(model, name) and name not in model._parameters
        if present or name in _ASSIGNED or hasattr(type(model), name):
            raise ConfigError(f'{who}: "{name}" is an attribute of the model; give the weight another name.')
    if not sum(math.prod(shape) for shape in shapes.values()):
        raise ConfigError(
            f"{who}: got {shapes or 'no weights'}, so that there is nothing to train; give the circuit at least "
            'one weight: return {"angles": (self.n_wires,)}.'
        )
    return shapes


def rows_of_circuit(positions: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Positions in the flat parameter vector by row, of weights whose first axis is the depth; others by name.

    Args:
        positions: for each weight those of its elements, in its shape.
        depth: rows of the circuit.
    """
    found: dict[str, list[Tensor]] = {}
    for name, place in positions.items():
        by_row = place.ndim > 0 and place.shape[0] == depth
        parts = {f"row {row + 1}": place[row] for row in range(depth)} if by_row else {name: place}
        for label, part in parts.items():
            found.setdefault(label, []).append(part.reshape(-1))
    return {label: torch.cat(parts) for label, parts in found.items()}
