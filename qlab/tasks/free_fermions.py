"""Ground states of the XY chain in a transverse field, as correlations of Majorana fermions in a block of sites.

H = -sum_j [(1 + gamma) / 2 Z_j Z_{j+1} + (1 - gamma) / 2 Y_j Y_{j+1}] - h sum_j X_j, energies in units of the coupling.
With the Majorana operators a_j = (prod_{l<j} X_l) Z_j and b_j = (prod_{l<j} X_l) Y_j

    X_j = i a_j b_j,    Z_j Z_{j+1} = i b_j a_{j+1},    Y_j Y_{j+1} = -i a_j b_{j+1},

so that H = i sum_mn A_mn a_m b_n with A_jj = -h, A_{j+1,j} = (1 + gamma) / 2, A_{j,j+1} = (1 - gamma) / 2. Its ground
state is Gaussian: all follows from G_mn = <i a_m b_n> = -(U V^T)_mn with the singular value decomposition A = U S V^T,
and the energy is -sum S. The parity prod_j X_j = det G; what is computed is the lowest state of even parity, +1: the
ground state but inside the circle h^2 + gamma^2 < 1, where the parity of a finite chain's ground state alternates with
h.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST_DECOMPOSED: Final = 64
"""Open chains of so many sites are decomposed numerically: 396 of 64 sites take half a second."""

_MOST_STEPS: Final = 64
"""As many halvings as doubles have digits: Newton's method takes six steps or so."""

_CLOSE: Final = 1e-12
"""After a step as small as that the error is its square."""

_CHUNK: Final = 2**18
"""So many modes are worked on at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Correlations:
    """What decides the reduced density matrices of some states.

    Args:
        block: G_mn = <i a_m b_n> of the sites of a block, ``[N, k, k]``.
        energy: of the states, ``[N]``.
    """

    block: Array
    energy: Array


def open_chain(length: int, fields: Array, gamma: float, block: int) -> Correlations:
    """Of the last ``block`` sites of open chains.

    Args:
        length: number of sites L.
        fields: h of each chain, ``[N]``, positive.
        gamma: anisotropy; 1 is the Ising chain. Chains of more than 64 sites need that.
        block: k.
    """
    if length <= LARGEST_DECOMPOSED:
        return _decomposed(length, fields, gamma, block)
    if gamma != 1.0:
        raise ValueError(f"open chains of {length} sites are known in closed form at gamma = 1 only, got {gamma}")
    rows = max(1, _CHUNK // length)
    parts = [_long_ising_chain(length, fields[start : start + rows], block) for start in range(0, len(fields), rows)]
    return Correlations(np.concatenate([part.block for part in parts]), np.concatenate([part.energy for part in parts]))


def ring(length: int, fields: Array, gamma: float, block: int) -> Correlations:
    """Of any ``block`` neighbours on a ring, in their order around it.

    In the sector of even parity fermions are antiperiodic: momenta are q = (2 n + 1) pi / L, and with
    alpha(q) = cos q + i gamma sin q - h, G(r) = -(1 / L) sum_q exp(i q r) alpha / |alpha|; r = m - n.

    Args:
        length: number of sites L.
        fields: h of each ring, ``[N]``, positive.
        gamma: anisotropy, not 0.
        block: k.
    """
    q = (2.0 * np.arange(length) + 1.0) * np.pi / length
    real, imaginary = np.cos(q), gamma * np.sin(q)
    apart = np.arange(1 - block, block)
    cosine, sine = np.cos(np.outer(q, apart)), np.sin(np.outer(q, apart))
    values, energies = np.empty((len(fields), len(apart))), np.empty(len(fields))
    rows = max(1, _CHUNK // length)
    for start in range(0, len(fields), rows):
        some = slice(start, start + rows)
        shifted = real - fields[some, None]
        size = np.hypot(shifted, imaginary)
        # A_{j+1,j} stands at r = 1: alpha(q) = sum_r A(r) exp(-i q r), so its imaginary part is -gamma sin q.
        values[some] = -((shifted / size) @ cosine + (imaginary / size) @ sine) / length
        energies[some] = -size.sum(1)
    place = np.arange(block)[:, None] - np.arange(block) + block - 1
    return Correlations(values[:, place], energies)


def _decomposed(length: int, fields: Array, gamma: float, block: int) -> Correlations:
    couplings = np.diag(np.full(length - 1, (1.0 + gamma) / 2.0), -1) + np.diag(
        np.full(length - 1, (1.0 - gamma) / 2.0), 1
    )
    u, s, vt = np.linalg.svd(couplings - fields[:, None, None] * np.eye(length))
    # det(-U V^T) is the parity. An odd vacuum has its cheapest mode, the last, filled.
    parity = np.linalg.slogdet(-u @ vt)[0]
    u[:, :, -1] *= parity[:, None]
    s[:, -1] *= parity
    return Correlations(-(u[:, -block:] @ vt[:, :, -block:]), -s.sum(1))


def _long_ising_chain(length: int, fields: Array, block: int) -> Correlations:
    """The last sites of an open Ising chain (Pfeuty's modes).

    v_n = sin(k n), u = A v / Lambda, Lambda^2 = h^2 + 1 - 2 h cos k, where h sin(k (L + 1)) = sin(k L). With
    phi = arg(h exp(i k) - 1), k L + phi = pi j: large multiples of k need not be computed. For h < L / (L + 1) one mode
    is bound to the ends: v_n = sinh(kappa n), u_m = -v_{L+1-m}.
    """
    h = fields[:, None]
    bound = fields * (length + 1) < length
    number = np.arange(1.0, length + 1.0)[None]
    k, phi = _momenta(length, h, number)
    size = np.sqrt(h * h + 1.0 - 2.0 * h * np.cos(k))
    norm = length / 2.0 + np.sin(phi) * np.cos(k - phi) / (2.0 * np.sin(k))
    real = np.ones_like(k)
    real[bound, 0] = 0.0
    weight = np.where(real > 0.0, 1.0 / np.where(real > 0.0, norm, 1.0), 0.0)
    # (-1)^j v_n of the sites L - k, ..., L; u and v come in products, so the sign drops out.
    back = np.arange(-block, 1.0)
    v = np.sin(back[:, None] * k[:, None] - phi[:, None])
    u = (v[:, :-1] - h[:, None] * v[:, 1:]) * (weight / size)[:, None]
    found = -(u @ v[:, 1:].mT)
    energy = -(size * real).sum(1)
    if bound.any():
        ends, lowest = _bound_mode(length, fields[bound], block)
        found[bound] += ends
        energy[bound] -= lowest
    return Correlations(found, energy)


def _momenta(length: int, h: Array, number: Array) -> tuple[Array, Array]:
    """Roots k of k L + phi(k) = pi j, and phi, ``[N, L]``; that of a bound mode (j = 1) is of no use.

    Newton's method, kept between bounds: for h < 1, phi lies between pi / 2 and pi, else between 0 and pi.

    Args:
        length: L.
        h: ``[N, 1]``.
        number: j, ``[1, L]``.
    """
    low = np.repeat(np.maximum((number - 1.0) * np.pi, 1e-9) / length, len(h), axis=0)
    high = (number - np.where(h < 1.0, 0.5, 0.0)) * np.pi / length
    k = (low + high) / 2.0
    left = np.arange(len(h))
    for _ in range(_MOST_STEPS):
        some, own = k[left], h[left]
        cosine, sine = own * np.cos(some), own * np.sin(some)
        value = some * length + np.arctan2(sine, cosine - 1.0) - np.pi * number
        low[left] = np.where(value < 0.0, some, low[left])
        high[left] = np.where(value < 0.0, high[left], some)
        moved = some - value / (length + (own * own - cosine) / (own * own + 1.0 - 2.0 * cosine))
        moved = np.where((moved > low[left]) & (moved < high[left]), moved, (low[left] + high[left]) / 2.0)
        k[left] = moved
        left = left[np.abs(moved - some).max(1) > _CLOSE]
        if not len(left):
            break
    return k, np.arctan2(h * np.sin(k), h * np.cos(k) - 1.0)


def _bound_mode(length: int, fields: Array, block: int) -> tuple[Array, Array]:
    """What the mode at the ends adds to G of the last sites, ``[n, k, k]``, and its energy ``[n]``.

    kappa solves h (1 - exp(-2 kappa (L + 1))) exp(kappa) = 1 - exp(-2 kappa L), by halving.
    """
    low, high = np.zeros_like(fields), -np.log(fields)
    for _ in range(_MOST_STEPS):
        kappa = (low + high) / 2.0
        # Below the root, h sinh(kappa (L + 1)) is less than sinh(kappa L).
        below = fields * np.exp(kappa) * -np.expm1(-2.0 * kappa * (length + 1)) < -np.expm1(-2.0 * kappa * length)
        low, high = np.where(below, kappa, low), np.where(below, high, kappa)
    kappa = ((low + high) / 2.0)[:, None]
    site = np.arange(length - block + 1.0, length + 1.0)

    def scaled(n: Array) -> Array:
        """sinh(kappa n) 2 exp(-kappa L)."""
        return np.exp(kappa * (n - length)) * -np.expm1(-2.0 * kappa * n)

    norm = (scaled(np.arange(1.0, length + 1.0)) ** 2).sum(1)
    ends = scaled(length + 1.0 - site)[:, :, None] * scaled(site)[:, None, :] / norm[:, None, None]
    # Lambda u_1 = -h v_1, and u_1 = -v_L.
    lowest = fields * scaled(np.ones(1))[:, 0] / scaled(np.full(1, float(length)))[:, 0]
    return ends, lowest
