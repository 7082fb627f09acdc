"""Distances and projections of feature vectors that do not see the overall phase of a state."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from qlab.tasks.features import FeatureRows, LazyFeatures, inner_products


def kernel(x: FeatureRows) -> Tensor:
    """The kernel ``[N, N]``, float64: x_n . x_m of real rows, |<x_n, x_m>|^2 of complex ones.

    The latter is the inner product of density matrices |x><x|: the overall phase of a state is not physics. Takes
    N^2 d multiplications.
    """
    products = inner_products(x)
    return products.abs().square() if products.is_complex() else products


def mean_distances(x: FeatureRows) -> Tensor:
    """The squared distance of each row from the mean of all in the space of :func:`kernel`, ``[N]``.

    |x_n - mean x|^2 of real rows, the Hilbert-Schmidt distance of |x_n><x_n| from the mean density matrix of complex
    ones.
    """
    values = kernel(x)
    return values.diagonal() - 2.0 * values.mean(1) + values.mean()


def margins(x: FeatureRows, y: Tensor) -> Tensor:
    """The absolute value of a linear classifier's logit on the rows that it is fitted to, ``[N]``.

    Least squares with the labels -1 and 1 and an L2 penalty of 1 on weights and offset, linear in the space of
    :func:`kernel`: f = K (K + 1)^-1 (2 y - 1), K the kernel plus one.
    """
    values = kernel(x) + 1.0
    signs = 2.0 * y.double() - 1.0
    return (values @ torch.linalg.solve(values + torch.eye(len(y), dtype=values.dtype), signs)).abs()


def projections(x: FeatureRows, directions: Tensor) -> Tensor:
    """Rows along directions ``[k, d]``, shape ``[N, k]``, float64: x . w of real rows, |<w, x>|^2 of complex ones."""
    found = torch.cat([rows @ directions.mH for rows in _chunks(x)])
    return found.abs().square() if found.is_complex() else found


def _chunks(x: FeatureRows) -> Iterator[Tensor]:
    return x.chunks() if isinstance(x, LazyFeatures) else iter([x])
