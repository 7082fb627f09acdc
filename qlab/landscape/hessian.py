"""The Hessian of the loss: trace, its two terms, eigenvalues."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.fields import NonNegativeInt, PositiveInt
from qlab.landscape import curvature, estimation
from qlab.landscape.base import LandscapeProbe
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult


@dataclasses.dataclass(frozen=True)
class Trace:
    """The trace of a Hessian and its two terms.

    Args:
        a: the first term, from the gradients of the logits, exact.
        b: the second term, from their second derivatives.
        error: standard error of ``b`` (and of the sum); 0 if exact.
        diagonal_a: the diagonal of the first term, ``[P]``.
        diagonal_b: the diagonal of the second, or None if only its sum was estimated.
        method: how it was found, in words.
    """

    a: float
    b: float
    error: float
    diagonal_a: Tensor
    diagonal_b: Tensor | None
    method: str

    @property
    def total(self) -> float:
        """Tr H."""
        return self.a + self.b


class CurvatureProbe(LandscapeProbe):
    """A probe that takes traces of Hessians.

    Tr H = A + B with A = mean l''(z) |grad z|^2 and B = mean l'(z) tr(d2z), l the trained loss of a row: for
    cross-entropy l'' = p (1 - p) and l' = p - y. A is always exact, and never negative for cross-entropy. B is zero for
    networks of linear layers and ReLUs, whatever the loss; for other models it is exact by a Hessian product for every
    parameter up to ``exact_below`` parameters, and above that estimated, with a standard error.

    Args:
        exact_below: with at most this many parameters the trace is exact for every model.
        estimator: for larger models: "hutchinson" or "hutch++".
        matvecs: Hessian-vector products of an estimate.
    """

    exact_below: NonNegativeInt = 20_000
    estimator: estimation.Estimator = "hutch++"
    matvecs: PositiveInt = 300

    def trace(self, landscape: Landscape) -> Trace:
        """The trace at the centre of a landscape."""
        diagonal_a = curvature.diagonal_a(landscape)
        a = float(diagonal_a.sum())
        # With as few parameters as products an estimate would cost more than the exact value.
        if landscape.model.piecewise_linear or landscape.n_parameters <= max(self.exact_below, self.matvecs):
            diagonal_b = curvature.diagonal_b(landscape)
            how = "piecewise linear in each parameter" if landscape.model.piecewise_linear else "Hessian products"
            return Trace(a, float(diagonal_b.sum()), 0.0, diagonal_a, diagonal_b, f"exact: {how}")
        total, error = estimation.trace_estimate(landscape, self.estimator, self.matvecs)
        used = estimation.products_used(self.estimator, self.matvecs)
        return Trace(a, total - a, error, diagonal_a, None, f"estimated: {self.estimator}, {used} products")


class HessianProbe(CurvatureProbe):
    """The Hessian of the loss: its trace and the trace's two terms, in total and by layer, and its eigenvalues.

    The loss must be that of the samples as a whole; estimates from mini-batches do not converge. Models with up to
    ``full_below`` parameters get the whole spectrum, from the exact matrix; others the lowest and largest eigenvalues
    by Lanczos iteration.

    Args:
        full_below: with at most this many parameters the whole spectrum is computed.
        eigenvalues: for larger models, how many of the lowest and of the largest; 0 for none.
        density: estimate the spectral density of models with more parameters than ``full_below``.
    """

    formula: ClassVar[str] = "Tr H = mean p (1 - p) |grad z|^2 + mean (p - y) tr(d2z) (for cross-entropy)"
    source: ClassVar[str] = "arXiv:2508.02422, Results C, Eqs. S10 and S15, supplement IV.D"

    full_below: NonNegativeInt = 2_000
    eigenvalues: NonNegativeInt = 5
    density: bool = False

    def compute(self, landscape: Landscape) -> ProbeResult:
        """Scalars as logged, ``eigenvalues`` (or ``eigenvalues_lowest`` and ``_largest``), traces by layer."""
        whole = landscape.n_parameters <= self.full_below
        arrays: dict[str, NDArray[np.float64]] = {}
        if whole:
            a, b = curvature.matrix_a(landscape), curvature.matrix_b(landscape)
            how = "exact: the whole Hessian"
            trace = Trace(float(a.trace()), float(b.trace()), 0.0, a.diagonal(), b.diagonal(), how)
            arrays["eigenvalues"] = curvature.eigenvalues(a + b)
            lowest = largest = arrays["eigenvalues"]
        else:
            trace = self.trace(landscape)
            lowest = largest = np.empty(0)
            if self.eigenvalues:
                lowest, largest = estimation.extreme_eigenvalues(landscape, self.eigenvalues)
                arrays |= {"eigenvalues_lowest": lowest, "eigenvalues_largest": largest}
            if self.density:
                grid, density = estimation.spectral_density(landscape)
                arrays |= {"density_grid": grid, "density": density}
        layers = {name: positions.reshape(-1) for name, positions in landscape.model.parameter_layers().items()}
        arrays["layer_trace_a"] = np.array([float(trace.diagonal_a[rows].sum()) for rows in layers.values()])
        if trace.diagonal_b is not None:
            arrays["layer_trace_b"] = np.array([float(trace.diagonal_b[rows].sum()) for rows in layers.values()])
        with torch.no_grad():
            loss = float(landscape.loss(landscape.theta))
        scalars = {
            "hessian_trace": trace.total,
            "hessian_trace_a": trace.a,
            "hessian_trace_b": trace.b,
            "hessian_trace_error": trace.error if np.isfinite(trace.total) else np.nan,
            "landscape_loss": loss,
            "gradient_norm": float(curvature.gradient(landscape).norm()),
        }
        if len(largest):
            scalars |= {"hessian_eigenvalue_max": float(largest[-1]), "hessian_eigenvalue_min": float(lowest[0])}
        about: dict[str, Any] = {"trace": trace.method, "layers": list(layers)}
        return ProbeResult(scalars, arrays, "spectrum", about)
