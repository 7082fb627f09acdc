"""Points of parameter space drawn at random: where statistics of gradients are taken over."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import Tensor

from qlab import seeding
from qlab.errors import ConfigError
from qlab.landscape.landscape import Landscape
from qlab.models import Model

Draw = Literal["initial", "uniform", "near"]
"""The model's own initial parameters; all angles of a circuit from U[-pi, pi); N(theta, spread^2) around a point."""


def unsuited_to(draw: Draw, model: Model) -> str:
    """Why the points of a model cannot be drawn so, in words; "" if they can.

    Args:
        draw: how.
        model: not built.
    """
    if draw != "uniform" or model.trains_angles:
        return ""
    return f'{type(model).__name__} has no trained angles to draw from U[-pi, pi): draw = "uniform" takes circuits'


@torch.no_grad()
def drawn_points(landscape: Landscape, draw: Draw, count: int, spread: float) -> Tensor:
    """Points ``[count, P]``, float64, the first ones the same however many there are.

    Args:
        landscape: its model is drawn anew, its centre stays for what is not: the readout of a circuit whose angles are
            drawn, and the middle of ``"near"``.
        draw: from where.
        count: how many.
        spread: standard deviation of ``"near"``.

    Raises:
        ConfigError: the model has no angles to draw.
    """
    generator = seeding.generator(landscape.seed, f"points drawn {draw}")
    if why := unsuited_to(draw, landscape.model):
        raise ConfigError(f"{why}.")
    if draw == "near":
        steps = torch.randn(count, landscape.n_parameters, generator=generator, dtype=torch.float64)
        return landscape.theta + spread * steps
    if draw == "uniform":
        angles = torch.cat(
            [
                torch.full((part.numel(),), name in landscape.model.angle_names)
                for name, part in landscape.named(landscape.theta).items()
            ]
        )
        uniform = torch.rand(count, landscape.n_parameters, generator=generator, dtype=torch.float64)
        return torch.where(angles, math.pi * (2.0 * uniform - 1.0), landscape.theta)
    model = copy.deepcopy(landscape.model)
    names = landscape.named(landscape.theta)
    points = []
    for _ in range(count):
        model.reset_parameters(generator)
        points.append(torch.cat([model.get_parameter(name).detach().reshape(-1) for name in names]))
    return torch.stack(points).double()
