"""Recording an ansatz: from a function that queues PennyLane operations to gates and their angles."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import pennylane as qml
import torch
from pennylane.ops.qubit.attributes import diagonal_in_z_basis
from torch import Tensor

from qlab.errors import ConfigError

Ansatz = Callable[..., Any]
"""Called with the weights by name; queues PennyLane operations. What it returns is ignored."""

_LARGEST_MATRIX = 4
"""Operations on more wires than this are decomposed, if PennyLane knows how."""

_VIEWS = (
    "Select", "Slice", "View", "UnsafeView", "ReshapeAlias", "Alias", "Unsqueeze", "Squeeze", "Unbind", "Split",
    "SplitWithSizes", "T", "Transpose", "Permute", "Expand", "Index", "Clone", "Stack", "Cat", "AsStrided",
)  # fmt: skip
"""Autograd nodes that move elements without changing them."""


@dataclasses.dataclass(frozen=True)
class Gate:
    """One operation of a recorded circuit.

    Args:
        operation: the PennyLane operation as recorded; its parameters are placeholders.
        wires: the wires it acts on, in the operation's order.
        slots: positions of its parameters in the circuit's list of parameters.
        diagonal_on: wires on which it commutes with Pauli Z: all for gates diagonal in the computational basis,
            the controls of controlled gates.
    """

    operation: qml.operation.Operator
    wires: tuple[int, ...]
    slots: tuple[int, ...]
    diagonal_on: frozenset[int]


class Recording:
    """A circuit as a list of gates, and its parameters as a function of the flat weight vector.

    The ansatz is called once to learn its gates. Where every gate parameter is simply one of the weights,
    parameters are later gathered by index; otherwise the ansatz is called again for each evaluation, so any
    PyTorch arithmetic between weights and angles works, at the price of Python speed. The gates must not depend
    on the values of the weights.

    Args:
        ansatz: queues the operations, given the weights by name.
        shapes: the shape of each weight.
        n_wires: the size of the register; operations act on wires 0 .. n_wires - 1.

    Raises:
        ConfigError: the ansatz fails, measures, or acts on a wire outside the register.
    """

    def __init__(self, ansatz: Ansatz, shapes: Mapping[str, tuple[int, ...]], n_wires: int) -> None:
        self._ansatz = ansatz
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.n_wires = n_wires
        self.n_weights = sum(math.prod(shape) for shape in self._shapes.values())
        probe = torch.linspace(0.1, 1.0, self.n_weights, dtype=torch.float64).requires_grad_()
        try:
            operations = self._record(probe)
        except Exception as error:
            raise ConfigError(f"The ansatz could not be recorded: {type(error).__name__}: {error}") from error
        self.gates: list[Gate] = []
        slot = 0
        for operation in operations:
            self._check(operation)
            slots = tuple(range(slot, slot + len(operation.parameters)))
            slot += len(slots)
            wires = tuple(operation.wires)
            self.gates.append(Gate(operation, wires, slots, _diagonal_wires(operation)))
        self.n_parameters = slot
        self._signature = _signature(operations)
        self.index = self._find_index(operations)

    def parameters(self, flat: Tensor) -> list[Tensor]:
        """The gate parameters for weights ``flat`` of shape ``[n_weights]``, in the order of the slots."""
        if self.index is not None:
            return list(flat[self.index.to(flat.device)].unbind())
        operations = self._record(flat)
        if _signature(operations) != self._signature:
            raise ConfigError(
                "The ansatz queued other gates than when it was recorded; gates must not depend on weights."
            )
        return [torch.as_tensor(parameter) for operation in operations for parameter in operation.parameters]

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """The flat weight vector cut into the named weights."""
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = flat.split(sizes)
        return {name: part.reshape(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def _record(self, flat: Tensor) -> list[qml.operation.Operator]:
        tape = qml.tape.make_qscript(self._ansatz)(**self.named(flat))
        if tape.measurements:
            raise ConfigError("an ansatz queues operations only; qlab measures Pauli Z on the last wire itself.")
        [expanded], _ = qml.transforms.decompose(tape, stopping_condition=_keeps)
        return list(expanded.operations)

    def _check(self, operation: qml.operation.Operator) -> None:
        if not operation.has_matrix:
            raise ConfigError(
                f"The ansatz contains {operation.name}, which has no matrix; the light cone takes unitary "
                "operations only."
            )
        outside = [wire for wire in operation.wires if wire not in range(self.n_wires)]
        if outside:
            raise ConfigError(
                f"The ansatz puts {operation.name} on wire {outside[0]}; the register has wires 0 to "
                f"{self.n_wires - 1}."
            )

    def _find_index(self, operations: list[qml.operation.Operator]) -> Tensor | None:
        """Which weight each parameter is, if all of them are weights and nothing else."""
        parameters = [parameter for operation in operations for parameter in operation.parameters]
        if not all(isinstance(p, Tensor) and p.ndim == 0 and _is_view(p) for p in parameters):
            return None
        numbered = self._record(torch.arange(self.n_weights, dtype=torch.float64))
        positions = [int(parameter) for operation in numbered for parameter in operation.parameters]
        return torch.tensor(positions, dtype=torch.long)


def _keeps(operation: qml.operation.Operator) -> bool:
    return bool(operation.has_matrix) and len(operation.wires) <= _LARGEST_MATRIX


def _diagonal_wires(operation: qml.operation.Operator) -> frozenset[int]:
    if operation in diagonal_in_z_basis:
        return frozenset(operation.wires)
    return frozenset(getattr(operation, "control_wires", ()))


def _signature(operations: list[qml.operation.Operator]) -> list[tuple[str, tuple[int, ...]]]:
    return [(operation.name, tuple(operation.wires)) for operation in operations]


def _is_view(parameter: Tensor) -> bool:
    """Whether a tensor is an element of the probe, moved but not changed."""
    if parameter.grad_fn is None:
        return False
    pending: list[Any] = [parameter.grad_fn]
    while pending:
        node = pending.pop()
        name = node.name().split("::")[-1]
        if name != "AccumulateGrad" and name.rstrip("0123456789").removesuffix("Backward") not in _VIEWS:
            return False
        pending.extend(parent for parent, _ in node.next_functions if parent is not None)
    return True
