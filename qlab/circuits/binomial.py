"""Quantiles of binomial distributions, many at once."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
import torch
from torch import Tensor

_FEW = 80
"""Up to so many trials the probabilities of all counts are added up."""

_WIDE = 8.0
"""The normal approximation is used where the variance is larger."""

_MARGIN = 3e-3
"""Its error is below this over the variance to the power of 3/2, with a factor of two to spare."""

_ROUNDING = 1e-11


def binomial_quantiles(uniforms: Tensor, trials: int | Tensor, probabilities: Tensor) -> Tensor:
    """The least k with P(count <= k) >= u: counts of Binomial(trials, p) by inversion, as float64.

    The same as ``scipy.stats.binom.ppf``, ten times as fast. Where the variance is large, Peizer and Pratt's normal
    approximation (J. Am. Stat. Assoc. 63, 1416, 1968) says which of three counts it is; where u is nearer to the
    boundary between two counts than its error, which is rare, SciPy decides.

    Args:
        uniforms: u in [0, 1), float64.
        trials: of all, or of each in the shape of ``uniforms``.
        probabilities: p in [0, 1], float64, of the shape of ``uniforms``.
    """
    if not isinstance(trials, Tensor) and trials <= _FEW:
        return _added(uniforms, trials, probabilities)
    n = torch.as_tensor(trials, dtype=torch.float64).expand_as(uniforms)
    count, sure = _approximated(uniforms, n, probabilities)
    rest = torch.nonzero(~sure.reshape(-1)).reshape(-1)
    if len(rest):
        u, m, p = (part.reshape(-1)[rest].numpy() for part in (uniforms, n, probabilities))
        found = np.maximum(scipy.stats.binom.ppf(u, m, p), 0.0)  # the quantile at 0 is -1 there, below all counts
        count = count.reshape(-1).index_copy(0, rest, torch.from_numpy(found)).reshape(uniforms.shape)
    return count


def _added(uniforms: Tensor, trials: int, probabilities: Tensor) -> Tensor:
    """By adding up the probabilities."""
    count, total = torch.zeros_like(uniforms), torch.zeros_like(uniforms)
    yes, no = (part.clamp_min(1e-300).log() for part in (probabilities, 1.0 - probabilities))
    odds, term = yes - no, trials * no
    for k in range(trials):
        total += term.add(math.log(math.comb(trials, k))).exp_()
        count += total < uniforms
        term += odds
    return count


def _approximated(u: Tensor, n: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Counts, and where they are sure."""
    q = 1.0 - p
    variance = n * p * q
    z = torch.special.ndtri(u.clamp(1e-12, 1.0 - 1e-12))
    safe = variance.clamp_min(1e-3)
    guess = torch.floor(n * p + safe.sqrt() * z + (q - p) * (z * z - 1.0) / 6.0 + 0.5)
    low = torch.minimum(guess.clamp_min(1.0), n - 3.0).clamp_min(1.0) - 1.0
    below = [_distribution(low + step, n, p, q, safe) for step in range(3)]
    count = low + sum((part < u).to(u.dtype) for part in below)
    margin = _MARGIN / (safe * safe.sqrt()) + _ROUNDING
    sure = (variance > _WIDE) & (u > below[0] + margin) & (u < below[2] - margin) & ((u - below[1]).abs() > margin)
    return count, sure & (guess >= 1.0) & (guess <= n - 3.0)


def _distribution(k: Tensor, n: Tensor, p: Tensor, q: Tensor, variance: Tensor) -> Tensor:
    """P(count <= k), nearly."""
    correction = q / (k + 1.0) - p / (n - k) + (q - 0.5) / (n + 1.0)
    distance = k + 2.0 / 3.0 - (n + 1.0 / 3.0) * p + 0.02 * correction
    spread = 1.0 + q * _skew((k + 0.5) / (n * p)) + p * _skew((n - k - 0.5) / (n * q))
    return torch.special.ndtr(distance * (spread / (variance * (1.0 + 1.0 / (6.0 * n)))).sqrt())


def _skew(x: Tensor) -> Tensor:
    """(1 - x^2 + 2 x log x) / (1 - x)^2."""
    off = 1.0 - x
    near = off * (1.0 / 3.0 + off * (1.0 / 6.0 + off / 10.0))
    return torch.where(off.abs() < 1e-3, near, (1.0 - x * x + 2.0 * x * x.log()) / (off * off))
