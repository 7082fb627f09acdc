"""Derivatives of a model's loss at a point of its parameter space, under ``vmap`` over members or for one alone.

Only what the loss depends on is differentiated: weights of a circuit that its readout does not see have derivative
zero, and are most of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp, vjp, vmap

from qlab.models import Model

_BYTES = 128 * 2**20
"""Gradients of so many rows, or Hessian products with so many vectors, are taken at once as fit in this."""


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """A loss as a function of the flat parameters, and where it is differentiated.

    Args:
        model: says how it is best differentiated.
        theta: the flat vector ``[P]``.
        logits: of a flat vector and prepared features.
        loss: of each row, of logits and labels.
        x: prepared features ``[n, ...]``.
        y: labels ``[n]``.
        reached: positions in theta that the logits depend on; None for all.
        members: how many such points are evaluated together.
    """

    model: Model
    theta: Tensor
    logits: Callable[[Tensor, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    y: Tensor
    reached: Tensor | None
    members: int

    @property
    def n_reached(self) -> int:
        """How many parameters the logits depend on."""
        return self.theta.shape[0] if self.reached is None else len(self.reached)

    @property
    def part(self) -> Tensor:
        """The parameters that the logits depend on."""
        return self.theta if self.reached is None else self.theta[self.reached]

    def whole(self, part: Tensor) -> Tensor:
        """A flat vector with other values of what the logits depend on."""
        return part if self.reached is None else self.theta.index_copy(0, self.reached, part)

    def spread(self, found: Tensor, dim: int = -1) -> Tensor:
        """Derivatives by the parameters that matter as derivatives by all: the others are zero."""
        if self.reached is None:
            return found
        shape = list(found.shape)
        shape[dim] = len(self.theta)
        return found.new_zeros(shape).index_copy(dim % found.ndim, self.reached, found)

    def mean_loss(self, part: Tensor) -> Tensor:
        """The mean loss of the rows."""
        return self.loss(self.logits(self.whole(part), self.x), self.y).mean()


def gradient(point: Point) -> Tensor:
    """Of the mean loss, ``[P]``."""
    if not point.model.supports_vmap:
        return point.spread(_first(point)[1])
    return point.spread(grad(point.mean_loss)(point.part))


def per_sample_gradients(point: Point) -> Iterator[Tensor]:
    """Of each row's loss, ``[rows, P]``, a chunk of rows at a time."""
    widest = max(point.theta.shape[0], point.model.elements())
    at_once = max(1, _BYTES // (point.y.dtype.itemsize * point.members * widest))
    for start in range(0, len(point.y), at_once):
        rows = slice(start, start + at_once)
        yield point.spread(_gradients_of(point, point.x[rows], point.y[rows]))


def _gradients_of(point: Point, x: Tensor, y: Tensor) -> Tensor:
    def row_loss(part: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return point.loss(point.logits(point.whole(part), x[None]), y[None])[0]

    def logits(part: Tensor) -> Tensor:
        return point.logits(point.whole(part), x)

    if not point.model.supports_vmap:
        with torch.enable_grad():
            part = point.part.detach().requires_grad_()
            losses = point.loss(logits(part), y)
            each = [torch.autograd.grad(loss, part, retain_graph=True)[0] for loss in losses]
        return torch.stack(each)
    if point.model.batch_rows:
        found: Tensor = vmap(grad(row_loss), in_dims=(None, 0, 0))(point.part, x, y)
        return found
    # What precedes the data is differentiated once for all rows: by each parameter, or for each row's logit.
    at_once = _vectors_at_once(point)
    if point.n_reached <= len(y):
        units = torch.eye(point.n_reached, dtype=point.theta.dtype, device=point.theta.device)
        columns: Tensor = vmap(lambda v: jvp(logits, (point.part,), (v,))[1], chunk_size=at_once)(units)
        jacobian = columns.mT
    else:
        jacobian = jacrev(logits, chunk_size=at_once)(point.part)
    slopes = grad(lambda z: point.loss(z, y).sum())(logits(point.part))
    return slopes[:, None] * jacobian


def hessian_operator(point: Point) -> Callable[[Tensor], Tensor]:
    """The function that multiplies a vector ``[P]``, or several ``[k, P]``, with H."""
    multiply = _multiplier(point)

    def product(v: Tensor) -> Tensor:
        several = v if v.ndim == 2 else v[None]
        if point.reached is not None:
            several = several[:, point.reached]
        found = point.spread(multiply(several))
        return found if v.ndim == 2 else found[0]

    return product


def hessian(point: Point) -> Tensor:
    """H, ``[P, P]``."""
    units = torch.eye(point.n_reached, dtype=point.theta.dtype, device=point.theta.device)
    found = _multiplier(point)(units)
    return point.spread(point.spread((found + found.mT) / 2), dim=-2)


def _multiplier(point: Point) -> Callable[[Tensor], Tensor]:
    """Multiplies vectors ``[k, p]`` with the Hessian by the parameters that matter; differentiated once for all."""
    if not point.model.supports_vmap:
        part, first = _first(point, twice=True)
        return lambda vectors: torch.stack([torch.autograd.grad(first, part, v, retain_graph=True)[0] for v in vectors])
    pulled: Any = vjp(grad(point.mean_loss), point.part)
    pull = pulled[1]
    at_once = _vectors_at_once(point)

    def multiply(vectors: Tensor) -> Tensor:
        if len(vectors) == 1:
            one: Tensor = pull(vectors[0])[0]
            return one[None]
        found: Tensor = vmap(lambda v: pull(v)[0], chunk_size=at_once)(vectors)
        return found

    return multiply


def _first(point: Point, *, twice: bool = False) -> tuple[Tensor, Tensor]:
    """What the loss depends on, and the gradient by it; to be differentiated again, or not."""
    with torch.enable_grad():
        part = point.part.detach().requires_grad_()
        [first] = torch.autograd.grad(point.mean_loss(part), part, create_graph=twice)
    return part, first


def _vectors_at_once(point: Point) -> int:
    """How many derivatives are taken together: what is kept of each must fit in memory."""
    model, rows = point.model, len(point.y)
    kept = max(model.elements(), point.n_reached, rows)
    if model.batch_rows:
        kept = max(kept, model.held_elements(rows, gradient=True))
    return max(1, _BYTES // (16 * kept * point.members))
