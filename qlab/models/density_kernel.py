"""Support vectors on reduced density matrices."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from qlab.errors import ConfigError, DataError
from qlab.fields import AbsentMeans, PositiveFloat, fields_of, show
from qlab.inputs import InputsName
from qlab.models.estimator import Array, Estimator

DensityKernel = Literal["trace", "rbf"]


class DensityKernelSVC(Estimator):
    """A support vector machine whose kernel compares reduced density matrices on some sites of a chain.

    Decisions are margins: there are no probabilities, and therefore no losses.

    Args:
        inputs: "density": the kernel takes nothing else.
        sites: how many of the last sites (4: the light cone of the paper's chain of depth 4); or a list of sites, 0 the
            first, -1 the last; or "ring-D", the light cone of a ring of D rows: 2 D - 1 sites around the last. At most
            7.
        C: penalty for rows on the wrong side of the margin, as in scikit-learn's SVC.
        kernel: "trace" is tr(rho_i rho_j), "rbf" is exp(-gamma |rho_i - rho_j|_F^2).
        gamma: gamma of "rbf".
    """

    formula: ClassVar[str] = (
        "z = sum_i a_i k(rho_i, rho) + b, k(rho, sigma) = tr(rho sigma) or exp(-gamma |rho - sigma|^2)"
    )
    source: ClassVar[str] = "projected quantum kernels, arXiv:2011.01938; sklearn.svm.SVC"

    inputs: Annotated[InputsName, AbsentMeans("amplitudes")] = "density"
    C: PositiveFloat = 1.0
    kernel: DensityKernel = "trace"
    gamma: PositiveFloat = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inputs != "density":
            raise ConfigError(
                f"DensityKernelSVC: inputs: got {show(self.inputs)}, accepts density matrices alone; leave it out."
            )
        if self.kernel == "trace" and self.gamma != fields_of(type(self))["gamma"].default:
            raise ConfigError(
                f'DensityKernelSVC: gamma: got {self.gamma:g} for kernel = "trace", which has none; leave it out, or '
                'take kernel = "rbf".'
            )

    def fit(self, x: Array, y: NDArray[np.int64], generator: np.random.Generator) -> None:
        """Solves for the support vectors, with the kernel of all rows computed once."""
        from sklearn.svm import SVC

        self.rows = _as_vectors(x)
        self.fitted = SVC(C=self.C, kernel="precomputed").fit(self._compared(self.rows), y)

    def decision(self, x: Array) -> Array:
        """Distances from the margin, in units of its width."""
        if "fitted" not in vars(self):
            raise DataError("DensityKernelSVC is not fitted yet; call fit(x, y, generator) first.")
        return np.asarray(self.fitted.decision_function(self._compared(_as_vectors(x))))

    def log_odds(self, x: Array, decision: Array) -> Array | None:
        """None: margins are no log-odds."""
        return None

    def _compared(self, rows: Array) -> Array:
        """The kernel of rows ``[n, 4^k]`` and those that were fitted to, ``[n, N]``."""
        products = rows @ self.rows.T
        if self.kernel == "trace":
            return products
        squares = [(part * part).sum(1) for part in (rows, self.rows)]
        return np.asarray(np.exp(-self.gamma * (squares[0][:, None] + squares[1] - 2.0 * products).clip(0.0)))


def _as_vectors(x: Array) -> Array:
    """Elements of density matrices so that inner products are tr(rho sigma): those above the diagonal count twice."""
    diagonal = math.isqrt(x.shape[1])
    return np.concatenate([x[:, :diagonal], math.sqrt(2.0) * x[:, diagonal:]], axis=1)
