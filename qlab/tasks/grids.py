"""Grids of a parameter of a Hamiltonian, as fields of tasks."""

from __future__ import annotations

import math
from typing import Annotated

import annotated_types as at

from qlab.errors import ConfigError

Grid = tuple[float, float, Annotated[float, at.Gt(0.0)]]
"""First value, last value (included), step."""

MOST_POINTS = 100_000


def grid(first_last_step: Grid) -> list[float]:
    """The points of ``(first, last, step)``, last included, each rounded to 12 decimals."""
    first, last, step = first_last_step
    count = math.floor((last - first) / step + 1e-9) + 1
    return [round(first + k * step, 12) for k in range(max(count, 0))]


def checked_grid(owner: str, name: str, points: Grid) -> list[float]:
    """The points of a field.

    Args:
        owner: the task's class, for messages.
        name: of the field.
        points: as given.

    Raises:
        ConfigError: there are none, or too many.
    """
    first, last, step = points
    if (last - first) / step > MOST_POINTS:
        raise ConfigError(
            f"{owner}: {name}: got {list(points)}, a grid of more than {MOST_POINTS} points; accepts a larger step."
        )
    found = grid(points)
    if not found:
        raise ConfigError(
            f"{owner}: {name}: got {list(points)}, a grid without points; accepts [first, last, step] with first <= "
            "last."
        )
    return found
