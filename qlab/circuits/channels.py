"""Noise channels: PennyLane's Kraus matrices as real matrices on the Pauli coefficients of an observable."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.circuits.pauli import pauli_strings, transfer_matrices
from qlab.deferred import Deferred
from qlab.errors import ConfigError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

LARGEST_CHANNEL = 3
"""Channels on more wires are refused: their matrices have 16^k elements."""

_PRESERVES = 1e-8
"""How far sum K^dagger K may be from the identity, in any Pauli coefficient."""

_ROUNDING = 1e-12
"""PennyLane adds 1e-14 to every probability before it takes the root."""


@dataclasses.dataclass(frozen=True, eq=False)
class Adjoint:
    """What a channel E(rho) = sum_i K_i rho K_i^dagger does to observables: E'(O) = sum_i K_i^dagger O K_i.

    E preserves traces, so E' keeps the identity: where an observable is the identity, a channel does nothing.

    Args:
        transfer: R[a, b] = tr(P_a E'(P_b)) / 2^k over Pauli strings of its k wires, ``[4^k, 4^k]``, float64; the
            coefficients of an observable become R c. The first column is (1, 0, 0, ...).
        commutes_on: wires on which all Kraus matrices commute with Z.
        keeps_z_on: wires on which an observable that has only I and Z there still has only those afterwards; all of
            ``commutes_on`` are among them.
    """

    transfer: Tensor
    commutes_on: frozenset[int]
    keeps_z_on: frozenset[int]


@dataclasses.dataclass(frozen=True, eq=False)
class Narrowed:
    """A channel on fewer wires than it was queued on, see :func:`narrowed`.

    Args:
        operation: PennyLane's.
        channel: what it does to observables.
    """

    operation: qml.operation.Operator
    channel: Adjoint


def is_channel(operation: qml.operation.Operator) -> bool:
    """Whether an operation is a noise channel on qubits."""
    return isinstance(operation, qml.operation.Channel)


def adjoint_of(operation: qml.operation.Operator) -> Adjoint:
    """What a channel of PennyLane's does to observables.

    A wire w is in ``commutes_on`` if E'(Z_w) = Z_w. Then all Kraus matrices commute with Z_w, since
    sum_i [K_i, Z_w]^dagger [K_i, Z_w] = E'(Z_w^2) - E'(Z_w) Z_w - Z_w E'(Z_w) + Z_w E'(I) Z_w = I - I - I + I = 0.
    Phase damping and phase flips are of this kind.

    A wire w is in ``keeps_z_on`` if R[a, b] = 0 for all a with X or Y on w and all b with I or Z there. All channels
    that have names are of this kind: depolarizing makes Z a multiple of Z, amplitude damping makes it
    (1 - gamma) Z + gamma I.

    Raises:
        ConfigError: a probability is out of range, there are too many wires, or traces are not preserved.
    """
    wires = tuple(operation.wires)
    k = len(wires)
    if k > LARGEST_CHANNEL:
        raise ConfigError(
            f"The ansatz contains {operation.name} on {k} wires; channels on at most {LARGEST_CHANNEL} are supported."
        )
    transfer = transfer_matrices(kraus_matrices(operation)).sum(0)
    identity = torch.zeros(4**k, dtype=torch.float64)
    identity[0] = 1.0
    off = float((transfer[:, 0] - identity).abs().max())
    if not off <= _PRESERVES:
        raise ConfigError(
            f"{operation.name} does not preserve traces: the sum of K^dagger K over its Kraus matrices is off the "
            f"identity by {off:.2g}; accepts at most {_PRESERVES:g}."
        )
    transfer[:, 0] = identity
    return _adjoint(transfer, wires)


def narrowed(channel: Adjoint, operation: qml.operation.Operator, wires: Sequence[int]) -> Narrowed | None:
    """A channel as it acts on observables that are the identity on all but some of its wires.

    It exists if E'(O x I) = O' x I for every O on these: depolarizing of two qubits jointly is depolarizing of one,
    where the observable is on one. The rest of the channel's wires are then none of the observable's afterwards.

    Args:
        channel: what the operation does to observables.
        operation: PennyLane's.
        wires: those where the observable may be another than the identity, in the operation's order.

    Returns:
        The same as a channel on these wires; None if it spreads.
    """
    every = tuple(operation.wires)
    on = [position for position, wire in enumerate(every) if wire in wires]
    off = [position for position in range(len(every)) if position not in on]
    inside = torch.from_numpy((_letters(len(every))[:, off] == 0).all(axis=1))
    if float(channel.transfer[~inside][:, inside].abs().max()) > _ROUNDING:
        return None
    # E(rho x I / 2^m) with the rest of the qubits traced out: Kraus matrices <b|K|c> / 2^(m / 2).
    k, m = len(on), len(off)
    kraus = kraus_matrices(operation).reshape(-1, *[2] * (2 * len(every)))
    order = [1 + position for position in off] + [1 + len(every) + position for position in off]
    order += [1 + position for position in on] + [1 + len(every) + position for position in on]
    parts = kraus.permute(0, *order).reshape(-1, 2**k, 2**k) / 2.0 ** (m / 2)
    with qml.QueuingManager.stop_recording():
        made = qml.QubitChannel(_fewest(parts), wires=list(wires))
    return Narrowed(made, _adjoint(channel.transfer[inside][:, inside], tuple(wires)))


def _fewest(kraus: Tensor) -> list[Any]:
    """Kraus matrices of the same channel, of which there are at most 4^k: eigenvectors of sum_i |K_i)(K_i|."""
    size = kraus.shape[-1]
    flat = kraus.reshape(len(kraus), -1)
    values, vectors = torch.linalg.eigh(flat.mT @ flat.conj())
    kept = values > _ROUNDING
    matrices = (vectors[:, kept] * values[kept].sqrt()).mT.reshape(-1, size, size)
    return [matrix.numpy() for matrix in matrices]


def _letters(k: int) -> NDArray[np.int64]:
    """The letters of all Pauli strings of k wires, 0 to 3 for I, X, Y, Z: ``[4^k, k]``."""
    return np.array(list(itertools.product(range(4), repeat=k)))


def _adjoint(transfer: Tensor, wires: tuple[int, ...]) -> Adjoint:
    k, letters = len(wires), _letters(len(wires))
    commutes, keeps = set(), set()
    for position, wire in enumerate(wires):
        z = 3 * 4 ** (k - 1 - position)
        unit = torch.zeros(4**k, dtype=torch.float64)
        unit[z] = 1.0
        if float((transfer[:, z] - unit).abs().max()) <= _ROUNDING:
            commutes.add(wire)
        like_z = torch.from_numpy(np.isin(letters[:, position], (0, 3)))
        if float(transfer[~like_z][:, like_z].abs().max()) <= _ROUNDING:
            keeps.add(wire)
    return Adjoint(transfer, frozenset(commutes), frozenset(keeps | commutes))


def two_qubit_depolarizing(p: float, wires: Any) -> qml.operation.Operator:
    """Depolarizing of two qubits jointly, queued if a queue is recording: with p/15 each of the 15 Pauli words.

    All Pauli words but the identity shrink by 1 - 16 p / 15: p = 15/16 depolarizes fully. Qiskit's
    ``depolarizing_error(l, 2)`` is the same channel at l = 16 p / 15. PennyLane has no class of it, hence a
    ``QubitChannel`` of 16 Kraus matrices.

    Args:
        p: probability of an error, in [0, 1].
        wires: two.
    """
    strings = pauli_strings(2)
    weights = [math.sqrt(1.0 - p), *[math.sqrt(p / 15.0)] * 15]
    return qml.QubitChannel([weight * string for weight, string in zip(weights, strings, strict=True)], wires=wires)


def kraus_matrices(operation: qml.operation.Operator) -> Tensor:
    """The Kraus matrices of a channel, ``[m, 2^k, 2^k]``, complex128.

    Raises:
        ConfigError: PennyLane does not give them, or not for so many wires.
    """
    try:
        with qml.QueuingManager.stop_recording(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PauliError casts a Pauli Y that it does not use to real numbers
            matrices = [np.asarray(matrix, dtype=np.complex128) for matrix in operation.kraus_matrices()]
    except Exception as error:  # PennyLane checks ranges here, with its own words
        said = " ".join(str(error).split()).removesuffix(".")
        raise ConfigError(f"{operation.name}{_parameters(operation)} cannot be used: {said}.") from error
    size = 2 ** len(operation.wires)
    if not matrices or any(matrix.shape != (size, size) for matrix in matrices):
        shapes = ", ".join(str(list(matrix.shape)) for matrix in matrices) or "none"
        raise ConfigError(
            f"{operation.name} on {len(operation.wires)} wires has Kraus matrices of the shapes {shapes}; accepts "
            f"[{size}, {size}]."
        )
    return torch.from_numpy(np.stack(matrices))


def _parameters(operation: qml.operation.Operator) -> str:
    values = [f"{float(value):g}" for value in operation.parameters if np.ndim(value) == 0]
    return f"({', '.join(values)})" if values else ""
