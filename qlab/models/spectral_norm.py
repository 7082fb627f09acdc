"""Operators of bounded spectral norm, given by their Pauli coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from qlab.circuits.pauli import operators, pauli_coefficients


def project_to_norm(coefficients: Tensor, bound: float = 1.0) -> Tensor:
    """The nearest operators whose spectral norm is at most a bound: eigenvalues are clipped to [-bound, bound].

    Nearest in Frobenius norm, |O|_F^2 = 2^k |c|^2 for O = sum_P c_P P, which is nearest in the coefficients, too.

    Args:
        coefficients: c, shape ``[n, 4^k]``, real, P in the order of :mod:`qlab.circuits.pauli`; those of operators that
            are within the bound, or not finite, come back as they are.
        bound: the largest absolute eigenvalue.

    Returns:
        Shape ``[n, 4^k]``. Costs O(8^k) for an operator beyond the bound.
    """
    k = (coefficients.shape[1].bit_length() - 1) // 2
    squares = coefficients.double().square().sum(1)
    # |O| <= |O|_F = 2^(k/2) |c|: most operators of a training that begins are known to be within it.
    beyond = squares.isfinite() & (2**k * squares > bound**2)
    if not bool(beyond.any()):
        return coefficients
    chosen = torch.nonzero(beyond).flatten()
    values, vectors = torch.linalg.eigh(operators(coefficients[chosen].double()))
    outside = (values.abs() > bound).any(1)
    if not bool(outside.any()):
        return coefficients
    # What is taken away is made of few eigenvectors, so that eigenvalues within the bound keep their digits.
    excess = values[outside] - values[outside].clamp(-bound, bound)
    kept = vectors[outside]
    found = coefficients.clone()
    less = pauli_coefficients((kept * excess[:, None, :]) @ kept.mH)
    found[chosen[outside]] -= less.to(found.dtype)
    return found


def spectral_norms(coefficients: Tensor) -> Tensor:
    """The largest absolute eigenvalue of each operator, ``[n]``, float64; NaN where coefficients are not finite.

    Args:
        coefficients: as in :func:`project_to_norm`.
    """
    finite = coefficients.isfinite().all(1)
    found = coefficients.new_full((len(coefficients),), torch.nan, dtype=torch.float64)
    if bool(finite.any()):
        found[finite] = torch.linalg.eigvalsh(operators(coefficients[finite].double())).abs().amax(1)
    return found
