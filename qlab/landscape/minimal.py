"""The paper's minimal models: one neuron and one qubit, with their Hessians in closed form (supplement I).

Both have one parameter theta and one input x, p = sigmoid(z), and the loss -[y log p + (1 - y) log(1 - p)]. The
Hessian is A + B with A = p (1 - p) (dz/dtheta)^2 and B = (p - y) d2z/dtheta2. All functions work elementwise on
broadcast arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Array = NDArray[np.float64]


class Terms(NamedTuple):
    """The two terms of a Hessian.

    Args:
        a: the information-geometric term, never negative.
        b: the error-phase interaction term, of either sign.
    """

    a: Array
    b: Array

    @property
    def hessian(self) -> Array:
        """d2L/dtheta2."""
        return self.a + self.b


def neuron_logit(theta: ArrayLike, x: ArrayLike) -> Array:
    """z = theta x: one neuron without bias."""
    return np.asarray(theta, dtype=float) * np.asarray(x, dtype=float)


def neuron_hessian(theta: ArrayLike, x: ArrayLike, y: ArrayLike) -> Terms:
    """A = x^2 p (1 - p), B = 0 (Eq. S10): the label enters through theta only."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    p = expit(neuron_logit(theta, x))
    return Terms(x**2 * p * (1.0 - p), np.zeros(np.broadcast(p, y).shape))


def qubit_logit(theta: ArrayLike, x: ArrayLike) -> Array:
    """z = cos(pi x + theta): <Z> of |0> after RY(pi x) and RY(theta) (Eq. S4)."""
    return np.cos(np.pi * np.asarray(x, dtype=float) + np.asarray(theta, dtype=float))


def qubit_hessian(theta: ArrayLike, x: ArrayLike, y: ArrayLike) -> Terms:
    """A = p (1 - p) sin^2(pi x + theta), B = -(p - y) cos(pi x + theta) (Eq. S15)."""
    phase = np.pi * np.asarray(x, dtype=float) + np.asarray(theta, dtype=float)
    p = expit(np.cos(phase))
    return Terms(p * (1.0 - p) * np.sin(phase) ** 2, -(p - np.asarray(y, dtype=float)) * np.cos(phase))


def loss(logit: ArrayLike, y: ArrayLike) -> Array:
    """-[y log p + (1 - y) log(1 - p)], p = sigmoid(logit), without overflow."""
    z, y = np.asarray(logit, dtype=float), np.asarray(y, dtype=float)
    return np.logaddexp(0.0, z) - y * z


def plot(x: float = 0.8, span: float = np.pi) -> Any:
    """Both models' terms over theta, for a right and for a flipped label, as a HoloViews layout.

    The qubit's B is negative where the model contradicts a flipped label; the neuron has none.

    Args:
        x: the sample's feature; its true label is 1.
        span: theta runs from -span to span.
    """
    from qlab.views.minimal import terms_over_theta

    return terms_over_theta({"one neuron": neuron_hessian, "one qubit": qubit_hessian}, x, span)
