"""Curvature of landscapes with too many parameters for whole matrices: by Hessian-vector products, with curvlinops."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab import seeding
from qlab.errors import DataError
from qlab.landscape.curvature import hessian_product
from qlab.landscape.landscape import Landscape

Estimator = Literal["hutchinson", "hutch++"]

_REPEATS = 10
"""Estimates are repeated so often: their spread gives the standard error."""


def trace_estimate(landscape: Landscape, estimator: Estimator, matvecs: int) -> tuple[float, float]:
    """The trace of the Hessian at the centre and its standard error, from products with random vectors.

    Args:
        landscape: its seed seeds the vectors.
        estimator: Hutchinson's with Rademacher vectors, or Hutch++ (Meyer et al., 2021), which first takes the trace
            exactly in the leading subspace.
        matvecs: Hessian-vector products in all, in ten independent repeats.
    """
    from curvlinops import hutchinson_trace, hutchpp_trace

    each = max(1, matvecs // _REPEATS)
    operator = hessian_operator(landscape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.generator(landscape.seed, "trace").initial_seed())
        if estimator == "hutch++":
            estimates = [float(hutchpp_trace(operator, max(3, each - each % 3))) for _ in range(_REPEATS)]
        else:
            estimates = [float(hutchinson_trace(operator, each)) for _ in range(_REPEATS)]
    return float(np.mean(estimates)), float(np.std(estimates, ddof=1) / np.sqrt(_REPEATS))


def extreme_eigenvalues(landscape: Landscape, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the largest eigenvalues of the Hessian at the centre, ``count`` of each, both ascending."""
    found = np.sort(_lanczos(landscape, 2 * count, "BE")[0])
    return found[:count], found[count:]


def eigenvectors(landscape: Landscape, count: int, which: Literal["SA", "LA"]) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``[count]`` and eigenvectors ``[count, P]`` of the Hessian at the centre, by Lanczos iteration.

    ``"LA"``: the algebraically largest, descending; ``"SA"``: the lowest, ascending.
    """
    values, vectors = _lanczos(landscape, count, which, vectors=True)
    order = np.argsort(values if which == "SA" else -values)
    return torch.from_numpy(values[order]), torch.from_numpy(np.ascontiguousarray(vectors[:, order].T))


def spectral_density(landscape: Landscape, points: int = 512) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalue grid and spectral density by stochastic Lanczos quadrature (Papyan, 2020), which integrates to 1."""
    from curvlinops import lanczos_approximate_spectrum

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.generator(landscape.seed, "spectrum").initial_seed())
        operator = hessian_operator(landscape)
        steps = min(64, landscape.n_parameters - 1)
        grid, density = lanczos_approximate_spectrum(operator, steps, num_points=points, num_repeats=3)
    return grid.double().numpy(), density.double().numpy()


def hessian_operator(landscape: Landscape) -> Any:
    """The Hessian at the centre as curvlinops' linear operator."""
    from curvlinops import HessianLinearOperator

    parameters = {name: part.clone().requires_grad_() for name, part in landscape.named(landscape.theta).items()}
    model = landscape.model.double_copy()
    model.load_state_dict({name: part.detach() for name, part in parameters.items()}, strict=False)

    data = [(landscape.x, landscape.y)]
    return HessianLinearOperator(
        model, torch.nn.BCEWithLogitsLoss(), list(model.parameters()), data, check_deterministic=False
    )


def _lanczos(landscape: Landscape, count: int, which: str, vectors: bool = False) -> Any:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    size = landscape.n_parameters
    product = hessian_product(landscape)
    operator = LinearOperator(
        (size, size),
        matvec=lambda v: product(torch.from_numpy(np.ascontiguousarray(v[:size]))).numpy(),
        dtype=np.float64,
    )
    start = torch.randn(size, generator=seeding.generator(landscape.seed, "lanczos"), dtype=torch.float64)
    # Many eigenvalues are zero, and ARPACK settles slowly in a degenerate spectrum: it gets a wide basis.
    basis = min(size, max(4 * count, 40))
    try:
        found = eigsh(
            operator, k=count, which=which, v0=start.numpy(), ncv=basis, tol=1e-8, return_eigenvectors=vectors
        )
    except ArpackNoConvergence as error:
        raise DataError(f"The eigenvalues of the Hessian did not converge: {error}") from error
    return found if vectors else (found, None)
