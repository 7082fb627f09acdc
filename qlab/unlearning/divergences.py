"""Losses that unlearning methods are made of, on logits of binary classifiers."""

from __future__ import annotations

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
        A scalar, never negative; finite for finite logits.
    """
    q = reference.sigmoid()
    # As cross-entropies: the gradient is p - q to the last bit, and so exactly zero where student and teacher agree.
    # (Rounding errors would do there: Adam makes steps of them.)
    rows = binary_cross_entropy_with_logits(z, q, reduction="none")
    entropy = binary_cross_entropy_with_logits(reference, q, reduction="none")
    value = rows - entropy
    # Rounding may leave it below zero: lifted without touching the gradient.
    return (value + (value.clamp_min(0.0) - value).detach()).mean()
