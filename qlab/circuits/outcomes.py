"""What a measurement of a sum of Pauli words can yield, and with which probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qlab.circuits.evolution import by_basis_state
from qlab.circuits.observables import PauliSum, Word
from qlab.deferred import Deferred
from qlab.errors import ConfigError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Readout = Callable[[int, str], tuple[float, float]]
"""For a wire and the letter that is measured on it: (a, b) if errors of the readout turn that letter into a P + b."""

MOST_VALUES = 1024
"""A measurement that may yield more different values is refused: as many random numbers are drawn for each row."""

LARGEST_SUPPORT = 20
"""A measurement of more qubits is refused: it has 2^m outcomes."""

_APART = 1e-9
"""Values that differ by less, relative to the largest, are one."""

_DIGIT = {"X": 1, "Y": 2, "Z": 3}
_HALF = 0.5**0.5
_TURNED = {"X": [[_HALF, _HALF], [_HALF, -_HALF]], "Y": [[_HALF, -1j * _HALF], [_HALF, 1j * _HALF]]}
"""Rotations after which measuring Z measures the letter."""


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Words that are measured in one go, since on every wire they have the same letter or none.

    Each shot gives a bit for each wire, and with it the sum of all of these words. Outcomes with equal sums are one.

    Args:
        letters: on each wire, wires ascending.
        values: the different sums, ascending, ``[V]``.
        number: for each of the 2^m outcomes which sum it gives; the first wire is the most significant bit.
    """

    letters: Word
    values: NDArray[np.float64]
    number: NDArray[np.int64]

    @property
    def wires(self) -> tuple[int, ...]:
        """Those that are measured, ascending."""
        return tuple(wire for wire, _ in self.letters)

    @classmethod
    def of(cls, terms: Sequence[tuple[float, Word]]) -> Group:
        """The group of some words.

        Raises:
            ConfigError: they act on too many qubits, or have too many different sums.
        """
        letters = tuple(sorted({pair for _, word in terms for pair in word}))
        m = len(letters)
        if m > LARGEST_SUPPORT:
            raise ConfigError(
                f"one measurement of its {len(terms)} Pauli words has 2^{m} outcomes, on {m} qubits; accepts at most "
                f"{LARGEST_SUPPORT} qubits."
            )
        place = {wire: m - 1 - position for position, (wire, _) in enumerate(letters)}
        outcome = np.arange(2**m)
        sums = np.zeros(2**m)
        for coefficient, word in terms:
            parity = np.zeros(2**m, dtype=np.int64)
            for wire, _ in word:
                parity ^= outcome >> place[wire] & 1
            sums += coefficient * (1.0 - 2.0 * parity)
        order = np.sort(sums)
        new = np.diff(order, prepend=-np.inf) > _APART * np.abs(sums).max()
        values = order[new]
        if len(values) > MOST_VALUES:
            raise ConfigError(
                f"one measurement of its {len(terms)} Pauli words on {m} qubits gives {len(values):,} different sums; "
                f"accepts at most {MOST_VALUES:,}. Sums are fewer where coefficients are equal."
            )
        nearest = np.searchsorted(values, sums + _APART * np.abs(sums).max(), side="right") - 1
        return cls(letters, values, nearest)

    def flips(self, read: Readout) -> list[NDArray[np.float64]]:
        """For each wire P(bit read | bit that is there), ``[2, 2]``: with Z -> a Z + b it is (1 + r (a s + b)) / 2."""
        signs = np.array([1.0, -1.0])
        pairs = [read(wire, letter) for wire, letter in self.letters]
        return [(1.0 + signs[:, None] * (a * signs[None, :] + b)) / 2.0 for a, b in pairs]

    def projectors(self, read: Readout, wires: Sequence[int]) -> Tensor:
        """Pauli coefficients of what has the probability of each sum as its expectation value, ``[V, 4^n]``, float64.

        Args:
            read: errors of the readout.
            wires: of the Pauli strings, ascending; those of the group are among them.
        """
        m = len(self.letters)
        table = np.zeros((len(self.values), 2**m))
        table[self.number, np.arange(2**m)] = 1.0
        table = table.reshape(len(self.values), *[2] * m)
        hadamard = np.array([[0.5, 0.5], [0.5, -0.5]])  # |0><0| = (1 + Z) / 2, |1><1| = (1 - Z) / 2
        for axis, flips in enumerate(self.flips(read), start=1):
            table = np.moveaxis(np.tensordot(table, flips @ hadamard.T, axes=(axis, 0)), -1, axis)
        found = np.zeros((len(self.values), *[4] * len(wires)))
        letter = dict(self.letters)
        digits = [[0, _DIGIT[letter[wire]]] if wire in letter else [0] for wire in wires]
        found[np.ix_(range(len(self.values)), *digits)] = table.reshape(
            len(self.values), *(len(digit) for digit in digits)
        )
        return torch.from_numpy(found.reshape(len(self.values), -1))


@dataclasses.dataclass(frozen=True, eq=False)
class Outcomes:
    """What the measurements of a sum of Pauli words can yield.

    Words that commute qubit by qubit are measured together, in a common basis; others in measurements of their own, in
    the groups that PennyLane makes (``qml.pauli.compute_partition_indices``), each with all of the shots, as by
    ``qml.transforms.split_non_commuting``.

    Args:
        groups: of words, measured one after the other.
        offset: the coefficient of the identity.
        read: errors of the readout.
    """

    groups: tuple[Group, ...]
    offset: float
    read: Readout

    @classmethod
    def of(cls, observable: PauliSum, read: Readout) -> Outcomes:
        """Those of an observable, which has words besides the identity.

        Raises:
            ConfigError: they are too many.
        """
        terms = [(coefficient, word) for coefficient, word in observable.terms if word]
        offset = sum(coefficient for coefficient, word in observable.terms if not word)
        apart = {wire: {letter for _, word in terms for at, letter in word if at == wire} for wire in observable.wires}
        if all(len(letters) == 1 for letters in apart.values()):
            return cls((Group.of(terms),), offset, read)
        words = [PauliSum(((1.0, word),)).operator() for _, word in terms]
        places = qml.pauli.compute_partition_indices(words, grouping_type="qwc", method="lf")
        return cls(tuple(Group.of([terms[place] for place in some]) for some in places), offset, read)

    @property
    def wires(self) -> tuple[int, ...]:
        """Those that are measured, ascending."""
        return tuple(sorted({wire for group in self.groups for wire in group.wires}))

    @property
    def sizes(self) -> list[int]:
        """The number of different sums of each group."""
        return [len(group.values) for group in self.groups]

    @property
    def values(self) -> Tensor:
        """The sums of all groups, one after the other, ``[sum V]``, float64; the first group's with the offset."""
        shifted = [group.values + self.offset * (not number) for number, group in enumerate(self.groups)]
        return torch.from_numpy(np.concatenate(shifted))

    def projectors(self) -> Tensor:
        """See :meth:`Group.projectors`, of all groups one after the other, on :attr:`wires`."""
        return torch.cat([group.projectors(self.read, self.wires) for group in self.groups])


class OutcomeProbabilities(nn.Module):
    """Probabilities of the sums of all groups, of states as in :mod:`qlab.circuits.evolution`.

    Args:
        outcomes: what is measured.
        wires: those of the states.
    """

    def __init__(self, outcomes: Outcomes, wires: Sequence[int]) -> None:
        super().__init__()
        self.wires = tuple(wires)
        self._groups = outcomes.groups
        for number, group in enumerate(outcomes.groups):
            flips = torch.from_numpy(np.stack(group.flips(outcomes.read)))
            sound = torch.allclose(flips, torch.eye(2, dtype=flips.dtype).expand_as(flips), atol=1e-15, rtol=0)
            self.register_buffer(f"flips_{number}", None if sound else flips, persistent=False)
            self.register_buffer(f"number_{number}", torch.from_numpy(group.number), persistent=False)

    def forward(self, states: Tensor, axes: Sequence[int]) -> Tensor:
        """Probabilities ``[rows, sum V]``; of states without unit norm times their squared norm."""
        flat = by_basis_state(states, axes, self.wires).unflatten(1, [2] * len(self.wires))
        return torch.cat([self._of(number, group, flat) for number, group in enumerate(self._groups)]).mT

    def _of(self, number: int, group: Group, flat: Tensor) -> Tensor:
        n, rows = len(self.wires), flat.shape[-1]
        turned = [(wire, letter) for wire, letter in group.letters if letter != "Z"]
        if turned:
            complex_dtype = flat.dtype.to_complex()
            state = torch.complex(flat[0], flat[1] if len(flat) == 2 else torch.zeros_like(flat[0]))
            for wire, letter in turned:
                matrix = torch.tensor(_TURNED[letter], dtype=complex_dtype, device=flat.device)
                state = _on_axis(matrix, state, self.wires.index(wire))
            probabilities = state.real.square() + state.imag.square()
        else:
            probabilities = flat.square().sum(0)
        others = [place for place in range(n) if self.wires[place] not in group.wires]
        if others:
            probabilities = probabilities.sum(others)
        flips = getattr(self, f"flips_{number}")
        for axis in range(len(group.wires) if flips is not None else 0):
            probabilities = _on_axis(flips[axis].to(flat), probabilities, axis)
        found = torch.zeros(len(group.values), rows, dtype=flat.dtype, device=flat.device)
        return found.index_add(0, getattr(self, f"number_{number}"), probabilities.reshape(-1, rows))


def _on_axis(matrix: Tensor, tensor: Tensor, axis: int) -> Tensor:
    """A matrix on one axis of length 2."""
    parts = tensor.movedim(axis, 0)
    return (matrix @ parts.reshape(2, -1)).reshape(parts.shape).movedim(0, axis)
