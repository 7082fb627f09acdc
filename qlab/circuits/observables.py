"""What is measured at the end of a circuit: a weighted sum of Pauli words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from qlab.deferred import Deferred
from qlab.errors import ConfigError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Word = tuple[tuple[int, str], ...]
"""A product of Pauli operators, as wires (ascending) and letters X, Y or Z; empty for the identity."""

ObservableName = Literal["Z_last", "mean_Z", "ZZ_last"]

_DIGIT = {"I": 0, "X": 1, "Y": 2, "Z": 3}

_EXAMPLE = "return qml.Z(0) + 0.5 * qml.X(1) @ qml.X(2)"


@dataclasses.dataclass(frozen=True)
class PauliSum:
    """O = sum_t c_t P_t with real c_t and Pauli words P_t.

    Args:
        terms: coefficients and words, each word once.
    """

    terms: tuple[tuple[float, Word], ...]

    @property
    def wires(self) -> tuple[int, ...]:
        """The wires that it acts on, ascending."""
        return tuple(sorted({wire for _, word in self.terms for wire, _ in word}))

    @property
    def single_z(self) -> int | None:
        """The wire, if it is Pauli Z of one wire and nothing else."""
        [(coefficient, word), *rest] = self.terms
        plain = not rest and coefficient == 1.0 and len(word) == 1 and word[0][1] == "Z"
        return word[0][0] if plain else None

    def z_like(self) -> dict[int, bool]:
        """For each wire whether nothing but I and Z stands there, in any term."""
        found: dict[int, bool] = {}
        for _, word in self.terms:
            for wire, letter in word:
                found[wire] = found.get(wire, True) and letter == "Z"
        return found

    def coefficients(self) -> Tensor:
        """Coefficients of all Pauli strings on its m wires, ``[4^m]``, float64; see :mod:`qlab.circuits.pauli`."""
        wires = self.wires
        found = torch.zeros(4 ** len(wires), dtype=torch.float64)
        for coefficient, word in self.terms:
            letters = dict(word)
            position = 0
            for wire in wires:
                position = 4 * position + _DIGIT[letters.get(wire, "I")]
            found[position] += coefficient
        return found

    def operator(self) -> qml.operation.Operator:
        """The same as a PennyLane operator."""
        words = [
            qml.prod(*(getattr(qml, letter)(wire) for wire, letter in word)) if word else qml.Identity(0)
            for _, word in self.terms
        ]
        coefficients = [coefficient for coefficient, _ in self.terms]
        return words[0] if coefficients == [1.0] else qml.Hamiltonian(coefficients, words)

    def __str__(self) -> str:
        words = [" ".join(f"{letter}{wire}" for wire, letter in word) or "1" for _, word in self.terms]
        parts = [
            word if coefficient == 1.0 else f"{coefficient:g} {word}"
            for (coefficient, _), word in zip(self.terms, words, strict=True)
        ]
        return " + ".join(parts if len(parts) <= 4 else [*parts[:2], "...", parts[-1]])


def pauli_z(wire: int) -> PauliSum:
    """Z of one wire."""
    return PauliSum(((1.0, ((wire, "Z"),)),))


def named_observable(name: ObservableName, n_wires: int) -> PauliSum:
    """The observables that have names: Z of the last wire, the mean of Z over all, ZZ of the last two.

    Raises:
        ConfigError: there are not so many wires.
    """
    if name == "mean_Z":
        return PauliSum(tuple((1.0 / n_wires, ((wire, "Z"),)) for wire in range(n_wires)))
    if name == "ZZ_last":
        if n_wires < 2:
            raise ConfigError('observable: "ZZ_last" takes two qubits, and there is one; use "Z_last".')
        return PauliSum(((1.0, ((n_wires - 2, "Z"), (n_wires - 1, "Z"))),))
    return pauli_z(n_wires - 1)


def observable_of(given: Any, n_wires: int, who: str) -> PauliSum:
    """A PennyLane operator as a sum of Pauli words.

    Args:
        given: what a user's method returned.
        n_wires: the size of the register.
        who: names the source in messages.

    Raises:
        ConfigError: it is no Hermitian sum of Pauli words on the register.
    """
    if isinstance(given, qml.measurements.MeasurementProcess):
        raise ConfigError(f"{who}: got a measurement, {given}; return the operator alone: {_EXAMPLE}.")
    if not isinstance(given, qml.operation.Operator):
        raise ConfigError(f"{who}: got {type(given).__name__}, accepts a PennyLane operator: {_EXAMPLE}.")
    outside = [wire for wire in given.wires if wire not in range(n_wires)]
    if outside:
        raise ConfigError(
            f"{who}: {given.name} acts on wire {outside[0]}, off the register, which has wires 0 to {n_wires - 1}; "
            f"count from self.n_wires, as in qml.Z(self.n_wires - 1)."
        )
    if any(isinstance(value, Tensor) and value.requires_grad for value in given.data):
        raise ConfigError(
            f"{who}: a coefficient of {given.name} is a weight, and observables are not trained; rotate before the "
            'measurement in the ansatz, or use readout = "affine" for a trained scale and offset.'
        )
    sentence = given.pauli_rep
    if sentence is None:
        raise ConfigError(
            f"{who}: {given.name} is no sum of Pauli words; accepted are products and sums of qml.X, qml.Y and qml.Z: "
            f"{_EXAMPLE}. qml.pauli_decompose(matrix) makes one of a Hermitian matrix."
        )
    terms: dict[Word, complex] = {}
    for word, coefficient in sentence.items():
        letters = tuple(sorted((int(wire), str(letter)) for wire, letter in word.items() if letter != "I"))
        terms[letters] = terms.get(letters, 0.0) + complex(coefficient)
    largest = max((abs(value) for value in terms.values()), default=0.0)
    if not np.isfinite(largest):
        raise ConfigError(f"{who}: {given.name} has a coefficient that is not a finite number.")
    if any(abs(value.imag) > 1e-12 * largest for value in terms.values()):
        raise ConfigError(
            f"{who}: {given.name} is not Hermitian, so its expectation values are not real; give Pauli words real "
            "coefficients."
        )
    kept = tuple((value.real, word) for word, value in terms.items() if abs(value) > 1e-14 * largest)
    if not any(word for _, word in kept):
        raise ConfigError(f"{who}: {given.name} is a multiple of the identity: it says nothing about the data.")
    return PauliSum(kept)
