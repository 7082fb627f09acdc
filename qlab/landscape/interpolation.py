"""Interpolation: the loss along straight lines between points of parameter space."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import annotated_types as at
import numpy as np
import torch

from qlab.errors import ConfigError, DataError
from qlab.landscape.base import LandscapeProbe, Needs
from qlab.landscape.landscape import SAME_POINT, TRAINED, Landscape
from qlab.landscape.result import ProbeResult


class InterpolationProbe(LandscapeProbe):
    """Loss and accuracy along straight lines from point to point, and the barrier of each line.

    The barrier is the most by which the loss exceeds the straight line between its values at the two ends (Frankle et
    al., 2020); 0 if it never does. Networks whose hidden units are permuted are the same function far apart: a barrier
    between independently trained networks does not say that their minima differ. Lines from a model to its unlearned
    version do not have this problem.

    Args:
        path: names of two or more points.
        resolution: points on each line, ends included.
    """

    formula: ClassVar[str] = (
        "max_t [L(theta_t) - (1 - t) L(theta_0) - t L(theta_1)], theta_t = (1 - t) theta_0 + t theta_1"
    )
    source: ClassVar[str] = "Goodfellow et al., 2015, arXiv:1412.6544; Frankle et al., 2020, arXiv:1912.05671"

    path: Annotated[tuple[str, ...], at.MinLen(2)] = ("initial", TRAINED)
    resolution: Annotated[int, at.Interval(ge=2, le=10_001)] = 51

    @property
    def label(self) -> str:
        """The path."""
        return " to ".join(self.path)

    def __post_init__(self) -> None:
        super().__post_init__()
        for one, other in pairwise(self.path):
            if one == other:
                raise ConfigError(f'path: got "{one}" twice in a row; there is no line from a point to itself.')

    def needs(self) -> Needs:
        """The points of the path."""
        return Needs(points=self.path)

    def compute(self, landscape: Landscape) -> ProbeResult:
        """Scalars ``barrier`` (the highest), ``barrier_1``, ... and ``distance_1``, ... for each line. Arrays
        ``position`` (Euclidean length from the start), ``loss`` and ``accuracy`` on the samples, the same on the
        validation split if there is one, all ``[lines, resolution]``."""
        ends = [landscape.at(name).theta for name in self.path]
        t = torch.linspace(0.0, 1.0, self.resolution, dtype=torch.float64)
        coefficients = torch.stack([1.0 - t, t], dim=1)
        views = {"": landscape} | (
            {"validation_": landscape.on("validation")} if "validation" in landscape.sets else {}
        )
        curves: dict[str, list[torch.Tensor]] = {}
        scalars: dict[str, float] = {}
        start = 0.0
        barriers = []
        for number, ((a, one), (b, other)) in enumerate(pairwise(zip(self.path, ends, strict=True)), start=1):
            distance = float((one - other).norm())
            if distance <= SAME_POINT * max(1.0, float(one.norm())):
                raise DataError(f'The points "{a}" and "{b}" coincide: there is no line between them.')
            for prefix, view in views.items():
                loss, accuracy = view.evaluate(torch.stack([one, other]), coefficients)
                curves.setdefault(f"{prefix}loss", []).append(loss)
                curves.setdefault(f"{prefix}accuracy", []).append(accuracy)
            loss = curves["loss"][-1]
            barriers.append(float((loss - (1.0 - t) * loss[0] - t * loss[-1]).max()))
            scalars |= {f"barrier_{number}": barriers[-1], f"distance_{number}": distance}
            curves.setdefault("position", []).append(start + distance * t)
            start += distance
        scalars = {"barrier": float(np.max(barriers)), **scalars}
        arrays = {name: torch.stack(values).numpy() for name, values in curves.items()}
        return ProbeResult(scalars, arrays, "path", {"path": list(self.path)})
