"""One check of a user's loss before anything is trained: that it keeps to what :class:`Loss` asks of a subclass."""

from __future__ import annotations

import torch
from torch import Tensor

from qlab import own_code
from qlab.errors import ConfigError
from qlab.losses.base import Loss

_LOGITS = (-60.0, -3.0, -0.5, 0.0, 0.25, 2.0, 60.0)
"""Sure of either label, as trained models are, and unsure."""


def check_loss(loss: Loss, dtype: torch.dtype) -> None:
    """Tries a loss of a user's class on a few rows; qlab's own are held to the same by its tests.

    Args:
        loss: the loss.
        dtype: of the model's logits.

    Raises:
        ConfigError: it does not keep to its contract; the message says where, and what to write instead.
    """
    if own_code.is_own(type(loss)):
        for kind in dict.fromkeys((dtype, torch.float64)):  # metrics and landscapes are in double precision
            _check(loss, kind)


def _check(loss: Loss, dtype: torch.dtype) -> None:
    where = own_code.method(type(loss), "__call__")
    z = torch.tensor([*_LOGITS, *_LOGITS], dtype=dtype)
    y = torch.cat([torch.zeros(len(_LOGITS)), torch.ones(len(_LOGITS))]).to(dtype)
    given = (z.clone(), y.clone())

    def call(logits: Tensor, labels: Tensor) -> Tensor:
        return own_code.calling(where, lambda: loss(logits, labels))

    found = call(z, y)
    _check_output(where, found, z)
    if not (torch.equal(z, given[0]) and torch.equal(y, given[1])):
        raise ConfigError(f"{where} changes the logits or labels it is given in place; copy first: y = y.clone().")
    bad = ~torch.isfinite(found)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise ConfigError(
            f"{where}: got {float(found[row])} for the logit {float(z[row]):g} and the label {int(y[row])}; logits of "
            "this size are common. Work with logits: F.logsigmoid(z) for log p, F.logsigmoid(-z) for log(1 - p), "
            "instead of a logarithm of torch.sigmoid(z)."
        )
    if not torch.allclose(found, call(z, y), rtol=0.0, atol=1e-6):
        raise ConfigError(f"{where}: two calls on the same rows differ; a loss must not draw random numbers.")
    one_by_one = torch.stack([call(a[None], b[None])[0] for a, b in zip(z, y, strict=True)])
    if not torch.allclose(found, one_by_one, rtol=1e-4, atol=1e-6):
        raise ConfigError(
            f"{where}: the loss of a row depends on the other rows of its batch, as with a mean or a norm over them; "
            "batches are drawn anew each epoch. Work on each row by itself."
        )
    pair = call(z.reshape(2, -1), y.reshape(2, -1))
    if pair.shape != (2, len(_LOGITS)) or not torch.allclose(pair.reshape(-1), found, rtol=1e-4, atol=1e-6):
        raise ConfigError(
            f"{where}: got other losses for logits [2, {len(_LOGITS)}] of two models than for their rows in one; "
            "models train together, so work element by element: no sums over an axis, no fixed shapes."
        )
    _check_gradient(where, loss, z, y)
    if type(loss).derivatives is not Loss.derivatives:
        _check_derivatives(loss, z, y)


def _check_output(where: str, found: object, z: Tensor) -> None:
    n = len(z)
    if not isinstance(found, Tensor):
        raise ConfigError(f"{where}: got {type(found).__name__}, accepts a tensor with the loss of each row, [{n}].")
    if found.shape != z.shape:
        way = ': leave out .mean() or .sum(), and give torch\'s functions reduction="none"' if found.ndim == 0 else ""
        raise ConfigError(
            f"{where}: got losses of shape {list(found.shape)} for {n} rows, accepts one for each row, [{n}]{way}."
        )
    if found.dtype != z.dtype:
        raise ConfigError(
            f"{where}: got losses of {found.dtype}, accepts the logits' {z.dtype}: compute them from the logits as "
            "they are, and make constants with dtype=logits.dtype."
        )


def _check_gradient(where: str, loss: Loss, z: Tensor, y: Tensor) -> None:
    with torch.enable_grad():
        leaf = z.clone().requires_grad_()
        value = own_code.calling(where, lambda: loss(leaf, y)).sum()
        if not value.requires_grad:
            raise ConfigError(
                f"{where}: the losses do not depend on the logits: nothing is trained. Leave out .detach(), .item(), "
                ".numpy() and torch.no_grad()."
            )
        [gradient] = torch.autograd.grad(value, leaf, allow_unused=True)
    if gradient is None or not bool((gradient != 0).any()):
        raise ConfigError(f"{where}: the gradient of the losses in the logits is zero everywhere: nothing is trained.")
    if not bool(torch.isfinite(gradient).all()):
        row = int((~torch.isfinite(gradient)).nonzero()[0])
        raise ConfigError(
            f"{where}: the gradient is {float(gradient[row])} at the logit {float(z[row]):g} and the label "
            f"{int(y[row])}; a root or a logarithm of zero may be the cause, also in a branch of torch.where that is "
            "not taken."
        )


def _check_derivatives(loss: Loss, z: Tensor, y: Tensor) -> None:
    """Whether derivatives by a formula, which landscapes use, are those of the loss."""
    where = own_code.method(type(loss), "derivatives")
    found = own_code.calling(where, lambda: loss.derivatives(z, y))
    advice = "leave the method out, and they are computed automatically"
    tensors = isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, Tensor) for part in found)
    if not tensors or any(part.shape != z.shape for part in found):
        raise ConfigError(
            f"{where}: accepts two tensors of the shape of the logits, the first and the second derivatives; {advice}."
        )
    for order, ours, true in zip(("first", "second"), found, Loss.derivatives(loss, z, y), strict=True):
        # Where automatic differentiation meets 0 * inf, a formula may know better.
        wrong = ~torch.isclose(ours.to(z), true, rtol=1e-3, atol=1e-5) & torch.isfinite(true)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise ConfigError(
                f"{where}: got the {order} derivative {float(ours[row]):g} at the logit {float(z[row]):g} and the "
                f"label {int(y[row])}, where that of __call__ is {float(true[row]):g}; {advice}."
            )
