"""Losses that unlearning methods are made of, on logits of binary classifiers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Mean binary cross-entropy: -mean[y log p + (1 - y) log(1 - p)], p = sigmoid(z). A scalar."""
    return binary_cross_entropy_with_logits(z, y)


def kl_divergence(z: Tensor, reference: Tensor) -> Tensor:
    """Mean KL divergence of two-class distributions, KL(q || p) = q log(q/p) + (1 - q) log((1 - q)/(1 - p)).

    Args:
        z: logits of p, shape ``[n]``.
        reference: logits of q, shape ``[n]``.

    Returns:
        A scalar, never negative; finite for finite logits. Differentiable as often as you like in both.
    """
    rows: Tensor = _KLDivergence.apply(z, reference)
    return rows.mean()


class _KLDivergence(torch.autograd.Function):
    """KL(q || p) of each row, with d/dz = p - q to the last bit, under ``vmap`` too.

    So it is exactly zero where student and teacher agree. Rounding errors would do there: Adam makes steps of them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, reference: Tensor) -> Tensor:
        q = reference.sigmoid()
        rows = binary_cross_entropy_with_logits(z, q, reduction="none")
        entropy = binary_cross_entropy_with_logits(reference, q, reduction="none")
        return (rows - entropy).clamp_min(0.0)  # rounding may leave it below zero

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        of_z, of_reference = _slopes(*ctx.saved_tensors)
        return gradient * of_z, gradient * of_reference

    @staticmethod
    def jvp(ctx: Any, z: Tensor | None, reference: Tensor | None) -> Tensor:
        slopes = _slopes(*ctx.saved_tensors)
        parts = [slope * tangent for slope, tangent in zip(slopes, (z, reference), strict=True) if tangent is not None]
        return sum(parts[1:], parts[0])


def _slopes(z: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    q = reference.sigmoid()
    return z.sigmoid() - q, (reference - z) * q * (1.0 - q)
