"""Slices: the loss along a line or on a plane through a point of parameter space."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import annotated_types as at
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.errors import ConfigError
from qlab.fields import NonNegativeInt, PositiveFloat
from qlab.landscape import directions as along
from qlab.landscape.base import LandscapeProbe, Needs
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult

Directions = Literal["random", "filter", "hessian", "pca", "points"]


class SliceProbe(LandscapeProbe):
    """Loss and accuracy on a grid theta = theta_0 + a d_1 + b d_2, with a and b from -span to span.

    One unit of a and b is the length of a direction: unit vectors for "random" (orthonormal, Gaussian) and "hessian"
    (eigenvectors); the norm of the filters for "filter" (Li et al., biases left alone); for "pca" (principal directions
    of the training trajectory) and "points" (through other points) the distance of the farthest projected point, the
    same for both axes. The lengths are logged: only slices of equal scale can be compared. Points that do not lie in
    the plane are marked with their distance from it: the contours do not show their loss.

    Args:
        directions: "random", "filter", "hessian", "pca" or "points".
        dimensions: 1 for a line, 2 for a plane.
        span: half the width of the slice, in lengths of a direction.
        resolution: grid points on an axis; an odd number puts one on the centre.
        points: for "points": one name for a line, two for a plane.
        marks: names of further points to mark.
        eigenvectors: for "hessian": 0 is the largest eigenvalue, 1 the second largest, -1 the lowest.
        draw: for "random" and "filter": number of the draw.
    """

    formula: ClassVar[str] = "L(theta_0 + a d_1 + b d_2)"
    source: ClassVar[str] = "Li et al., 2018, arXiv:1712.09913"

    directions: Directions = "filter"
    dimensions: Literal[1, 2] = 2
    span: PositiveFloat = 1.0
    resolution: Annotated[int, at.Interval(ge=2, le=1001)] = 51
    points: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    eigenvectors: Annotated[tuple[int, ...], at.MinLen(1)] = (0, 1)
    draw: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.directions == "points" and len(self.points) != self.dimensions:
            raise ConfigError(
                f"points: got {len(self.points)}, accepts {self.dimensions} beside the centre for dimensions = "
                f'{self.dimensions} and directions = "points".'
            )
        if len({self.at, *self.points}) < 1 + len(self.points):
            raise ConfigError(f'points: got {list(self.points)} around "{self.at}", accepts points that differ.')
        if self.directions != "points" and self.points:
            raise ConfigError(f'points: only for directions = "points", not "{self.directions}".')
        if self.directions == "hessian" and len(set(self.eigenvectors[: self.dimensions])) < self.dimensions:
            raise ConfigError(f"eigenvectors: got {list(self.eigenvectors)}, accepts {self.dimensions} different ones.")

    @property
    def label(self) -> str:
        """The directions."""
        which = {
            "hessian": " ".join(str(number) for number in self.eigenvectors[: self.dimensions]),
            "points": " and ".join(self.points),
        }
        return f"{self.dimensions}-D {self.directions} {which.get(self.directions, '')}".strip()

    def needs(self) -> Needs:
        """The points and the trajectory that the directions are made of."""
        return Needs(points=(*self.points, *self.marks), trajectory=self.directions == "pca")

    def compute(self, landscape: Landscape) -> ProbeResult:
        """Arrays ``axis``, ``loss`` and ``accuracy`` (``[R]`` or ``[R, R]``, first index along the first direction),
        ``directions`` ``[dimensions, P]``, ``marks`` and ``trajectory`` (coordinates, last column the distance)."""
        key = (self.directions, self.dimensions, self.draw, self.points, self.eigenvectors)
        axes, about, places = landscape.remembered(key, lambda: self._plane(landscape))
        middle = (self.resolution - 1) / 2  # exactly zero at the centre of an odd grid
        axis = (torch.arange(self.resolution, dtype=torch.float64) - middle) * (self.span / middle)
        grid = torch.cartesian_prod(*[axis] * self.dimensions).reshape(-1, self.dimensions)
        basis = torch.cat([landscape.theta[None], axes])
        loss, accuracy = landscape.evaluate(basis, torch.cat([torch.ones(len(grid), 1), grid], dim=1))
        shape = [self.resolution] * self.dimensions
        arrays: dict[str, NDArray[np.float64]] = {
            "axis": axis.numpy(),
            "loss": loss.reshape(shape).numpy(),
            "accuracy": accuracy.reshape(shape).numpy(),
            "directions": axes.numpy().copy(),
        }
        names = list(landscape.points)
        arrays |= {name: place.copy() for name, place in places.items()}
        centre_loss, centre_accuracy = landscape.evaluate_points(landscape.theta[None])
        scalars = {"landscape_loss": float(centre_loss), "landscape_accuracy": float(centre_accuracy)}
        scalars |= {f"direction_length_{k + 1}": float(vector.norm()) for k, vector in enumerate(axes)}
        if self.dimensions == 2:
            unit = axes / axes.norm(dim=1, keepdim=True)
            scalars["direction_cosine"] = float(unit[0] @ unit[1])
        return ProbeResult(scalars, arrays, "slice", {**about, "marks": names})

    def _plane(self, landscape: Landscape) -> tuple[Tensor, dict[str, Any], dict[str, NDArray[np.float64]]]:
        """The directions ``[dimensions, P]``, what to say of them, and where the points and the trajectory lie."""
        axes, about = self._directions(landscape)
        places = {"marks": _marks(landscape, torch.stack(list(landscape.points.values())), axes)}
        if landscape.trajectory is not None:
            places["trajectory"] = _marks(landscape, landscape.trajectory, axes)
        return axes, about, places

    def _directions(self, landscape: Landscape) -> tuple[Tensor, dict[str, Any]]:
        """The directions ``[dimensions, P]`` and what to say of them."""
        if self.directions == "random":
            return along.random_directions(landscape, self.dimensions, self.draw), {}
        if self.directions == "filter":
            return along.filter_directions(landscape, self.dimensions, self.draw), {}
        if self.directions == "hessian":
            values, vectors = along.hessian_directions(landscape, self.eigenvectors[: self.dimensions])
            return vectors, {"eigenvalues": values.tolist()}
        if self.directions == "pca":
            unit, shares = along.pca_directions(landscape, self.dimensions)
            assert landscape.trajectory is not None
            return _reaching(landscape, unit, landscape.trajectory), {"variance": shares.tolist()}
        for name in self.points:
            landscape.at(name)  # an error if there is no such point
        unit = along.point_directions(landscape, self.points)
        return _reaching(landscape, unit, torch.stack([landscape.points[name] for name in self.points])), {}


def _reaching(landscape: Landscape, unit: Tensor, points: Tensor) -> Tensor:
    """Unit directions made as long as the largest coordinate of points along any of them."""
    coordinates, _ = along.project(landscape, points, unit)
    return unit * coordinates.abs().max()


def _marks(landscape: Landscape, points: Tensor, axes: Tensor) -> NDArray[np.float64]:
    coordinates, distances = along.project(landscape, points, axes)
    marks: NDArray[np.float64] = torch.cat([coordinates, distances[:, None]], dim=1).numpy()
    return marks
