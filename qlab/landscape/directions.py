"""Directions in parameter space along which a landscape is cut."""

from __future__ import annotations

import torch
from torch import Tensor

from qlab import seeding
from qlab.errors import DataError
from qlab.landscape import curvature, estimation
from qlab.landscape.landscape import SAME_POINT, Landscape

WHOLE_HESSIAN = 2_000
"""Up to so many parameters eigenvectors are those of the whole Hessian; above, Lanczos iteration finds them."""


def random_directions(landscape: Landscape, count: int, draw: int) -> Tensor:
    """Orthonormal random directions, ``[count, P]``.

    Args:
        landscape: its seed and ``draw`` seed them.
        count: how many.
        draw: number of the draw.
    """
    gaussian = _gaussian(landscape, count, draw)
    orthonormal, triangle = torch.linalg.qr(gaussian.mT)
    return (orthonormal * triangle.diagonal().sign()).mT.contiguous()  # with these signs it is Gram-Schmidt's


def filter_directions(landscape: Landscape, count: int, draw: int) -> Tensor:
    """Random directions in which every filter has the norm it has at the centre, ``[count, P]``.

    d_ij <- d_ij / |d_ij| |theta_ij| for filter j of layer i; biases and everything else outside filters stay where they
    are (Li et al., 2018, arXiv:1712.09913, Sec. 4). Directions of a plane are not made orthogonal, as there.
    """
    gaussian = _gaussian(landscape, count, draw)
    scaled = torch.zeros_like(gaussian)
    for positions in landscape.model.parameter_filters():
        size = landscape.theta[positions].norm()
        part = gaussian[:, positions]
        scaled[:, positions] = part / part.norm(dim=1, keepdim=True) * size
    if not bool((scaled != 0).any()):
        raise DataError("Every filter is zero at this point: it cannot give random directions a length.")
    return scaled


def hessian_directions(landscape: Landscape, which: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``[count]`` of the Hessian at the centre and their unit eigenvectors ``[count, P]``.

    Args:
        landscape: where.
        which: 0 the largest eigenvalue, 1 the second largest, ...; -1 the lowest, -2 the second lowest, ...

    Raises:
        DataError: there are not so many, or the Hessian is not finite.
    """
    size = landscape.n_parameters
    if any(not -size <= index < size for index in which):
        raise DataError(f"eigenvectors: got {list(which)}, but the model has {size} parameters.")
    if len({index % size for index in which}) < len(which):
        raise DataError(f"eigenvectors: got {list(which)}, which name the same one of {size}.")
    if size <= WHOLE_HESSIAN:
        matrix = curvature.matrix_a(landscape) + curvature.matrix_b(landscape)
        if not bool(matrix.isfinite().all()):
            raise DataError("The Hessian is not finite at this point: it has no eigenvectors.")
        values, vectors = torch.linalg.eigh(matrix)
        values, vectors = values.flip(0), vectors.mT.flip(0)
        rows = [index % size for index in which]
        return values[rows], _signed(vectors[rows])
    top = max([index + 1 for index in which if index >= 0], default=0)
    bottom = max([-index for index in which if index < 0], default=0)
    found: dict[int, tuple[Tensor, Tensor]] = {}
    if top:
        values, vectors = estimation.eigenvectors(landscape, top, "LA")
        found |= {index: (values[index], vectors[index]) for index in range(top)}
    if bottom:
        values, vectors = estimation.eigenvectors(landscape, bottom, "SA")
        found |= {-1 - index: (values[index], vectors[index]) for index in range(bottom)}
    chosen = [found[index] for index in which]
    return torch.stack([value for value, _ in chosen]), _signed(torch.stack([vector for _, vector in chosen]))


def pca_directions(landscape: Landscape, count: int) -> tuple[Tensor, Tensor]:
    """The principal directions of the training trajectory seen from the centre, and the share of variance of each.

    Unit vectors ``[count, P]``; shares of the sum of squared distances from the centre, ``[count]`` (Li et al., 2018,
    Sec. 7).

    Raises:
        DataError: no trajectory, or one that does not span so many directions.
    """
    if landscape.trajectory is None:
        raise DataError("The landscape has no training trajectory; give it one, or choose other directions.")
    steps = landscape.trajectory - landscape.theta
    _, sizes, vectors = torch.linalg.svd(steps, full_matrices=False)
    if len(sizes) < count or float(sizes[count - 1]) <= SAME_POINT * max(1.0, float(sizes[0])):
        raise DataError(f"The training trajectory does not span {count} directions: it has {len(steps)} points.")
    return _signed(vectors[:count]), sizes[:count].square() / sizes.square().sum()


def point_directions(landscape: Landscape, names: tuple[str, ...]) -> Tensor:
    """Orthonormal directions of the line or plane through the centre and one or two points, ``[1 or 2, P]``.

    The first points at the first point; the second is the rest of the second (Garipov et al., 2018).

    Raises:
        DataError: points coincide, or three lie on a line.
    """
    offsets = torch.stack([landscape.points[name] - landscape.theta for name in names])
    scale = max(1.0, float(landscape.theta.norm()))
    for name, offset in zip(names, offsets, strict=True):
        if float(offset.norm()) <= SAME_POINT * scale:
            raise DataError(
                f'The points "{landscape.centre}" and "{name}" coincide: there is no direction between them.'
            )
    first = offsets[0] / offsets[0].norm()
    if len(names) == 1:
        return first[None]
    rest = offsets[1] - (offsets[1] @ first) * first
    if float(rest.norm()) <= 1e-9 * float(offsets[1].norm()):
        raise DataError(
            f'The points "{landscape.centre}", "{names[0]}" and "{names[1]}" lie on one line: they span no plane; '
            "use dimensions = 1."
        )
    return torch.stack([first, rest / rest.norm()])


def project(landscape: Landscape, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates ``[n, count]`` of points in the span of the directions, and their distances from it, ``[n]``."""
    offsets = points - landscape.theta
    coordinates = torch.full((len(points), len(directions)), torch.nan, dtype=torch.float64)
    finite = offsets.isfinite().all(1)  # a point that is not finite has no place
    if bool(finite.any()):
        coordinates[finite] = torch.linalg.lstsq(directions.mT, offsets[finite].mT).solution.mT
    return coordinates, (offsets - coordinates @ directions).norm(dim=1)


def _gaussian(landscape: Landscape, count: int, draw: int) -> Tensor:
    if count > landscape.n_parameters:
        raise DataError(f"dimensions: got {count}, but the model has {landscape.n_parameters} parameter.")
    generator = seeding.generator(landscape.seed, f"directions/{draw}")
    return torch.randn(count, landscape.n_parameters, generator=generator, dtype=torch.float64)


def _signed(vectors: Tensor) -> Tensor:
    """Vectors with the largest component positive: eigenvectors have no sign of their own."""
    largest = vectors.abs().argmax(dim=1, keepdim=True)
    return vectors * torch.where(vectors.gather(1, largest) < 0, -1.0, 1.0)
