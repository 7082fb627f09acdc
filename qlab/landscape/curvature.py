"""Exact curvature of a landscape: the paper's two terms, their diagonals and the whole matrices.

With l(z, y) the loss of a row, the Hessian of the mean loss is H = A + B,
A = mean_n l''(z_n) g_n g_n^T with g_n = dz_n/dtheta, and B = mean_n l'(z_n) d2z_n/dtheta2, of either sign.
For cross-entropy, with p = sigmoid(z), l'' = p (1 - p), so that A is never negative, and l' = p - y (arXiv:2508.02422,
Eqs. S10 and S15, for any model).
All second derivatives are taken by differentiating twice in reverse mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vjp, vmap

from qlab.landscape.landscape import Landscape

_BYTES = 128 * 2**20
"""Gradients of so many samples, or Hessian products with so many vectors, are taken at once as fit in this."""


def diagonal_a(landscape: Landscape) -> Tensor:
    """The diagonal of A at the centre, shape ``[P]``. Costs the gradient of every sample's logit."""
    _, bend = _derivatives(landscape)
    total = torch.zeros(landscape.n_parameters, dtype=torch.float64)
    for rows, gradients in logit_gradients(landscape):
        total += bend[rows] @ gradients.square()
    return total / len(bend)


def diagonal_b(landscape: Landscape) -> Tensor:
    """The diagonal of B at the centre, shape ``[P]``.

    Zero without computation if the model is piecewise linear in each parameter; otherwise it costs a Hessian product
    for every parameter.
    """
    if landscape.model.piecewise_linear:
        return torch.zeros(landscape.n_parameters, dtype=torch.float64)
    weighted = _weighted_logits(landscape)
    if not landscape.model.supports_vmap:
        return torch.autograd.functional.hessian(weighted, landscape.theta).diagonal()
    pulled: Any = vjp(grad(weighted), landscape.theta)
    pull = pulled[1]
    parts = []
    for positions in torch.arange(landscape.n_parameters).split(_vectors_at_once(landscape)):
        units = torch.nn.functional.one_hot(positions, landscape.n_parameters).double()
        parts.append(vmap(lambda unit: (pull(unit)[0] * unit).sum())(units))
    return torch.cat(parts)


def matrix_a(landscape: Landscape) -> Tensor:
    """A at the centre, shape ``[P, P]``."""
    _, bend = _derivatives(landscape)
    total = torch.zeros(landscape.n_parameters, landscape.n_parameters, dtype=torch.float64)
    for rows, gradients in logit_gradients(landscape):
        total += gradients.mT @ (bend[rows][:, None] * gradients)
    return total / len(bend)


def matrix_b(landscape: Landscape) -> Tensor:
    """B at the centre, shape ``[P, P]``. Costs a Hessian product for every parameter."""
    weighted = _weighted_logits(landscape)
    if not landscape.model.supports_vmap:
        return torch.autograd.functional.hessian(weighted, landscape.theta)
    found: Tensor = jacrev(jacrev(weighted), chunk_size=_vectors_at_once(landscape))(landscape.theta)
    return found


def eigenvalues(matrix: Tensor) -> NDArray[np.float64]:
    """Eigenvalues of a symmetric matrix, ascending; all NaN for a matrix that is not finite."""
    if not bool(matrix.isfinite().all()):
        return np.full(len(matrix), np.nan)
    values: NDArray[np.float64] = torch.linalg.eigvalsh(matrix).numpy()
    return values


def gradient(landscape: Landscape) -> Tensor:
    """The gradient of the loss at the centre, shape ``[P]``."""
    theta = landscape.theta.clone().requires_grad_()
    [found] = torch.autograd.grad(landscape.loss(theta), theta)
    return found


def hessian_product(landscape: Landscape) -> Callable[[Tensor], Tensor]:
    """The function that multiplies vectors ``[P]`` with the Hessian of the loss at the centre."""
    theta = landscape.theta.clone().requires_grad_()
    [first] = torch.autograd.grad(landscape.loss(theta), theta, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        [found] = torch.autograd.grad(first, theta, vector, retain_graph=True)
        return found

    return product


def logit_gradients(landscape: Landscape) -> Iterator[tuple[slice, Tensor]]:
    """The gradients dz_n/dtheta of rows at the centre, ``[rows, P]``, a chunk of rows at a time."""
    widest = max(landscape.n_parameters, landscape.model.elements())
    at_once = max(1, _BYTES // (8 * widest))
    for start in range(0, len(landscape.y), at_once):
        rows = slice(start, min(start + at_once, len(landscape.y)))
        yield rows, _jacobian(landscape, rows)


def _jacobian(landscape: Landscape, rows: slice) -> Tensor:
    model, theta = landscape.model, landscape.theta

    def logits(flat: Tensor) -> Tensor:
        return landscape.logits(flat, rows)

    def logit(flat: Tensor, x: Tensor) -> Tensor:
        value: Tensor = functional_call(model, landscape.named(flat), (x[None],))
        return value[0]

    if not model.supports_vmap:
        return torch.autograd.functional.jacobian(logits, theta)
    found: Tensor
    if model.batch_rows:
        found = vmap(grad(logit), in_dims=(None, 0))(theta, landscape.x[rows])
    else:  # what precedes the data is differentiated once for all rows
        found = jacrev(logits)(theta)
    return found


def _derivatives(landscape: Landscape) -> tuple[Tensor, Tensor]:
    """l' and l'' of every row at the centre."""
    with torch.no_grad():
        z = landscape.logits(landscape.theta)
    return landscape.criterion.derivatives(z, landscape.y)


def _weighted_logits(landscape: Landscape) -> Callable[[Tensor], Tensor]:
    """mean_n w_n z_n(theta) with w = l' fixed at the centre: its Hessian is B."""
    weights = _derivatives(landscape)[0] / len(landscape.y)
    return lambda flat: (weights * landscape.logits(flat)).sum()


def _vectors_at_once(landscape: Landscape) -> int:
    """How many Hessian products are taken together: what reverse mode keeps of each must fit in memory."""
    model, rows = landscape.model, len(landscape.y)
    kept = max(model.elements(), landscape.n_parameters)
    if model.batch_rows and not model.piecewise_linear:
        # A state for every row and gate; circuits have about three parameters for each fused gate.
        kept = max(kept, model.elements() // 16 * rows * max(1, landscape.n_parameters // 3) // 8)
    return max(1, _BYTES // (16 * kept))
