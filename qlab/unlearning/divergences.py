"""Losses that unlearning methods are made of, on logits of binary classifiers."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


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
    positive = logsigmoid(reference) - logsigmoid(z)
    negative = logsigmoid(-reference) - logsigmoid(-z)
    return (q * positive + (1.0 - q) * negative).mean()
