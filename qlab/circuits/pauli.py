"""The Pauli picture: observables and states as real vectors of Pauli coefficients.

A k-qubit operator is O = sum_P c_P P over the 4^k Pauli strings; the index has base-4 digits (I, X, Y, Z) =
(0, 1, 2, 3), first wire the most significant. Hermitian operators have real coefficients, unitaries act as real
matrices on them, and the expectation value is tr(rho O) = sum_P c_P tr(rho P).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], dtype=np.complex128)

_CHUNK_BYTES = 256 * 2**20
"""Density matrices are formed for as many samples at once as fit in this."""


@functools.cache
def pauli_strings(k: int) -> NDArray[np.complex128]:
    """All Pauli strings on k qubits, shape ``[4^k, 2^k, 2^k]``; not to be written to.

    An array, since it is kept: a tensor made inside a ``torch.func`` transform, or under ``inference_mode``, is of no
    use outside.
    """
    strings = np.ones((1, 1, 1), dtype=np.complex128)
    for _ in range(k):
        strings = np.einsum("pij,qkl->pqikjl", strings, _PAULIS).reshape(
            4 * len(strings), 2 * strings.shape[1], 2 * strings.shape[2]
        )
    return strings


def transfer_matrices(unitaries: Tensor) -> Tensor:
    """How unitaries evolve Pauli coefficients in the Heisenberg picture.

    R[a, b] = tr(P_a U^dagger P_b U) / 2^k, so that O' = U^dagger O U has c' = R c. Real and orthogonal.

    Args:
        unitaries: shape ``[n, 2^k, 2^k]``, complex.

    Returns:
        Shape ``[n, 4^k, 4^k]``, real. Costs O(n 32^k).
    """
    n, dimension, _ = unitaries.shape
    k = dimension.bit_length() - 1
    strings = torch.from_numpy(pauli_strings(k)).to(unitaries).reshape(4**k, 4**k)
    # R[a, b] = sum (P_a)_ki conj(U_ji) (P_b)_jl U_lk / 2^k, and (P_a)_ki = conj(P_a)_ik.
    outer = torch.einsum("nji,nlk->nikjl", unitaries.conj(), unitaries).reshape(n, 4**k, 4**k)
    half = outer.reshape(-1, 4**k) @ strings.mT
    return (strings.conj() @ half.reshape(n, 4**k, 4**k)).real / dimension


def operator_of(coefficients: Tensor) -> Tensor:
    """The matrix sum_P c_P P, ``[2^k, 2^k]``, complex, of coefficients ``[4^k]``; costs O(k 4^k)."""
    k = (coefficients.numel().bit_length() - 1) // 2
    single = torch.from_numpy(_PAULIS).reshape(4, 4).to(coefficients.dtype.to_complex()).to(coefficients.device)
    vector = coefficients.to(single.dtype)
    for _ in range(k):
        # Replace the leading Pauli index by row and column, and move them to the back: after k turns they are in order.
        vector = (single.mT @ vector.reshape(4, -1)).mT.reshape(-1)
    axes = [*range(0, 2 * k, 2), *range(1, 2 * k, 2)]
    return vector.reshape([2] * (2 * k)).permute(axes).reshape(2**k, 2**k)


def pauli_expectations(x: Tensor, wires: Sequence[int], n_wires: int) -> Tensor:
    """tr(rho P) of every Pauli string on some wires of pure states.

    Args:
        x: amplitudes, shape ``[N, 2^n_wires]``, complex128 or float64, wire 0 the most significant bit. Need not
            have unit norm: expectation values scale with the squared norm.
        wires: the k wires, ascending.
        n_wires: the size of the register.

    Returns:
        Shape ``[N, 4^k]``, float64. Costs O(N 2^(n+k)).
    """
    k = len(wires)
    others = [wire for wire in range(n_wires) if wire not in wires]
    rows = max(1, _CHUNK_BYTES // (16 * 4**k))
    found = torch.empty(len(x), 4**k, dtype=torch.float64, device=x.device)
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        amplitudes = part.to(torch.complex128).reshape(-1, *[2] * n_wires)
        order = [0, *(1 + wire for wire in wires), *(1 + wire for wire in others)]
        matrix = amplitudes.permute(order).reshape(len(part), 2**k, 2 ** len(others))
        found[start : start + rows] = _pauli_transform(matrix @ matrix.mH, k)
    return found


def _pauli_transform(rho: Tensor, k: int) -> Tensor:
    """tr(rho P) for all Pauli strings P, one qubit at a time; ``rho`` has shape ``[N, 2^k, 2^k]``."""
    n = len(rho)
    # Pair row and column bit of each qubit: axes (r_1, c_1, r_2, c_2, ...).
    interleaved = [axis for qubit in range(k) for axis in (1 + qubit, 1 + k + qubit)]
    vector = rho.reshape(n, *[2] * (2 * k)).permute(0, *interleaved).reshape(n, -1)
    # tr(rho P) = sum_rc rho_rc P_cr.
    single = torch.from_numpy(_PAULIS).mT.reshape(4, 4).to(rho)
    for _ in range(k):
        # Transform the leading qubit and move it to the back; after k turns the order is restored.
        vector = (single @ vector.reshape(n, 4, -1)).mT.reshape(n, -1)
    return vector.real.contiguous()


def operators(coefficients: Tensor) -> Tensor:
    """O = sum_P c_P P, complex ``[n, 2^k, 2^k]``, of coefficients ``[n, 4^k]``; costs O(n k 4^k)."""
    n = len(coefficients)
    k = (coefficients.shape[1].bit_length() - 1) // 2
    vector = coefficients.to(torch.complex64 if coefficients.dtype == torch.float32 else torch.complex128)
    # The same turns as of a state's transform, with sum_P c_P P_rc; back from pairs of bits to rows and columns.
    single = torch.from_numpy(_PAULIS).reshape(4, 4).mT.to(vector)
    for _ in range(k):
        vector = (single @ vector.reshape(n, 4, -1)).mT.reshape(n, -1)
    rows, columns = (range(1 + first, 1 + 2 * k, 2) for first in (0, 1))
    return vector.reshape(n, *[2] * (2 * k)).permute(0, *rows, *columns).reshape(n, 2**k, 2**k)


def pauli_coefficients(matrices: Tensor) -> Tensor:
    """c_P = tr(O P) / 2^k of Hermitian operators ``[n, 2^k, 2^k]``, real ``[n, 4^k]``; costs O(n k 4^k)."""
    return _pauli_transform(matrices, matrices.shape[1].bit_length() - 1) / matrices.shape[1]
