"""Curvature of landscapes with too many parameters for whole matrices: by Hessian-vector products, with curvlinops."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab import seeding
from qlab.errors import DataError
from qlab.landscape.curvature import eigenvalues, hessian_product, matrix_a, matrix_b
from qlab.landscape.landscape import Landscape
from qlab.losses import Loss
from qlab.training.metrics import mean_loss

Estimator = Literal["hutchinson", "hutch++"]

_SMALL = 40
"""Lanczos iteration keeps at least so many vectors; models with no more parameters get the whole matrix."""

_REPEATS = 10
"""Estimates are repeated so often: their spread gives the standard error."""


def products_used(estimator: Estimator, matvecs: int) -> int:
    """How many Hessian-vector products an estimate with about ``matvecs`` of them takes: as many in every repeat."""
    each = max(1, matvecs // _REPEATS)
    return _REPEATS * (max(3, each - each % 3) if estimator == "hutch++" else each)


def trace_estimate(landscape: Landscape, estimator: Estimator, matvecs: int) -> tuple[float, float]:
    """The trace of the Hessian at the centre and its standard error, from products with random vectors.

    Args:
        landscape: its seed seeds the vectors.
        estimator: Hutchinson's with Rademacher vectors, or Hutch++ (Meyer et al., 2021), which first takes the trace
            exactly in the leading subspace.
        matvecs: Hessian-vector products in all, in ten independent repeats; see :func:`products_used`.

    Raises:
        DataError: the model has no more parameters than a repeat takes products.
    """
    each = products_used(estimator, matvecs) // _REPEATS
    if each >= landscape.n_parameters:
        raise DataError(
            f"matvecs: got {matvecs}, too many for {landscape.n_parameters} parameters: the exact trace costs less."
        )
    with _curvlinops(landscape, "trace") as curvlinops:
        estimate = curvlinops.hutchpp_trace if estimator == "hutch++" else curvlinops.hutchinson_trace
        operator = hessian_operator(landscape)
        estimates = [float(estimate(operator, each)) for _ in range(_REPEATS)]
    return float(np.mean(estimates)), float(np.std(estimates, ddof=1) / np.sqrt(_REPEATS))


def extreme_eigenvalues(landscape: Landscape, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the largest eigenvalues of the Hessian at the centre, ``count`` of each, both ascending.

    All there are in both, if the model has fewer parameters; NaN if the Hessian is not finite.
    """
    if landscape.n_parameters <= max(_SMALL, 2 * count):
        found = eigenvalues(matrix_a(landscape) + matrix_b(landscape))
        return found[:count], found[-count:]
    values, _ = _lanczos(landscape, 2 * count, "BE")
    found = np.sort(values)
    return found[:count], found[count:]


def eigenvectors(landscape: Landscape, count: int, which: Literal["SA", "LA"]) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``[count]`` and eigenvectors ``[count, P]`` of the Hessian at the centre, by Lanczos iteration.

    ``"LA"``: the algebraically largest, descending; ``"SA"``: the lowest, ascending.
    """
    values, vectors = _lanczos(landscape, count, which)
    order = np.argsort(values if which == "SA" else -values)
    return torch.from_numpy(values[order]), torch.from_numpy(np.ascontiguousarray(vectors[:, order].T))


def spectral_density(landscape: Landscape, points: int = 512) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalue grid and spectral density by stochastic Lanczos quadrature (Papyan, 2020), which integrates to 1."""
    [low], [high] = extreme_eigenvalues(landscape, 1)
    with _curvlinops(landscape, "spectrum") as curvlinops:
        steps = min(64, landscape.n_parameters - 1)
        grid, density = curvlinops.lanczos_approximate_spectrum(
            hessian_operator(landscape), steps, num_points=points, num_repeats=3, boundaries=(float(low), float(high))
        )
    return grid.double().numpy(), density.double().numpy()


def hessian_operator(landscape: Landscape) -> Any:
    """The Hessian at the centre as curvlinops' linear operator."""
    from curvlinops import HessianLinearOperator

    model = landscape.model.double_copy()
    model.load_state_dict(landscape.named(landscape.theta), strict=False)
    data = [(landscape.x, landscape.y)]
    return HessianLinearOperator(
        model,
        _MeanLoss(landscape.criterion),
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        data,
        check_deterministic=False,
    )


class _MeanLoss(torch.nn.Module):
    """A loss as curvlinops wants it."""

    reduction = "mean"

    def __init__(self, criterion: Loss) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return mean_loss(self.criterion, z, y)


@contextmanager
def _curvlinops(landscape: Landscape, purpose: str) -> Iterator[Any]:
    """curvlinops, which draws from PyTorch's global generator: seeded inside, as it was afterwards."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated")  # by torch itself
        import curvlinops

        torch.manual_seed(seeding.generator(landscape.seed, purpose).initial_seed())
        yield curvlinops


def _lanczos(landscape: Landscape, count: int, which: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues ``[count]`` and eigenvectors ``[P, count]``, in ARPACK's order."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    size = landscape.n_parameters
    product = hessian_product(landscape)
    start = torch.randn(size, generator=seeding.generator(landscape.seed, "lanczos"), dtype=torch.float64)
    first = product(start)
    if not bool(first.isfinite().all()):
        return np.full(count, np.nan), np.full((size, count), np.nan)
    if not bool((first != 0).any()):  # a random vector meets every direction: the Hessian is zero
        return np.zeros(count), np.eye(size, count)
    operator = LinearOperator(
        (size, size), matvec=lambda v: product(torch.from_numpy(v.reshape(-1).copy())).numpy(), dtype=np.float64
    )
    # Many eigenvalues are zero, and ARPACK settles slowly in a degenerate spectrum: it gets a wide basis.
    basis = min(size, max(4 * count, _SMALL))
    try:
        values, vectors = eigsh(
            operator, k=count, which=which, v0=start.numpy(), ncv=basis, tol=1e-8, rng=np.random.default_rng(0)
        )
    except ArpackNoConvergence as error:
        raise DataError(f"The eigenvalues of the Hessian did not converge: {error}") from error
    return values, vectors
