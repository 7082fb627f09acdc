"""Recording an ansatz: from a function that queues PennyLane operations to gates and their angles."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qlab.deferred import Deferred
from qlab.errors import ConfigError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

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

    The ansatz is called a few times to learn its gates. Where every gate parameter is a weight or a constant,
    parameters are later gathered by index; otherwise the ansatz is called again for each evaluation, so any PyTorch
    arithmetic between weights and angles works, at the price of Python speed. The gates must not depend on the
    values of the weights.

    Args:
        ansatz: queues the operations, given the weights by name.
        shapes: the shape of each weight.
        n_wires: the size of the register; operations act on wires 0 .. n_wires - 1.

    Raises:
        ConfigError: the ansatz fails, measures, acts on a wire outside the register, or is not unitary.

    Attributes:
        index: for each parameter its position in ``extend(flat)``, or None if parameters are computed.
    """

    def __init__(self, ansatz: Ansatz, shapes: Mapping[str, tuple[int, ...]], n_wires: int) -> None:
        self._ansatz = ansatz
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.n_wires = n_wires
        self.n_weights = sum(math.prod(shape) for shape in self._shapes.values())
        probe = self._probe(0).requires_grad_()
        operations = self._attempt(probe)
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
        self.constants = torch.zeros(0, dtype=torch.float64)
        self.index = self._find_index(operations)

    def extend(self, flat: Tensor) -> Tensor:
        """The weights followed by the constants among the gate parameters."""
        return torch.cat([flat, self.constants.to(flat)]) if len(self.constants) else flat

    def parameters(self, flat: Tensor) -> list[Tensor]:
        """The gate parameters for weights ``flat`` of shape ``[n_weights]``, in the order of the slots."""
        if self.index is not None:
            return list(self.extend(flat)[self.index.to(flat.device)].unbind())
        operations = self._record(flat)
        self._check_same(operations)
        return _parameters(operations)

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """The flat weight vector cut into the named weights."""
        sizes = [math.prod(shape) for shape in self._shapes.values()]
        parts = flat.split(sizes)
        return {name: part.reshape(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def _probe(self, number: int) -> Tensor:
        """Weights that no ansatz writes down as constants."""
        generator = torch.Generator().manual_seed(number)
        return torch.rand(self.n_weights, generator=generator, dtype=torch.float64)

    def _attempt(self, flat: Tensor) -> list[qml.operation.Operator]:
        try:
            return self._record(flat)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"The ansatz could not be recorded: {type(error).__name__}: {error}") from error

    def _record(self, flat: Tensor) -> list[qml.operation.Operator]:
        tape = qml.tape.make_qscript(self._ansatz)(**self.named(flat))
        if tape.measurements:
            raise ConfigError("An ansatz queues operations only; qlab measures Pauli Z on the last wire itself.")
        for operation in tape.operations:
            if not operation.has_matrix and not operation.has_decomposition:
                raise ConfigError(
                    f"The ansatz contains {operation.name}, which has no matrix; the light cone takes unitary "
                    "operations only."
                )
        [expanded], _ = qml.transforms.decompose(tape, stopping_condition=_keeps)
        return list(expanded.operations)

    def _check(self, operation: qml.operation.Operator) -> None:
        outside = [wire for wire in operation.wires if wire not in range(self.n_wires)]
        if outside:
            raise ConfigError(
                f"The ansatz puts {operation.name} on wire {outside[0]}; the register has wires 0 to "
                f"{self.n_wires - 1}."
            )
        if operation.batch_size is not None:
            shapes = [tuple(getattr(parameter, "shape", ())) for parameter in operation.parameters]
            raise ConfigError(
                f"The ansatz gives {operation.name} parameters of shapes {shapes}; it takes one value of each, "
                "not a batch: index the weights."
            )
        matrix = torch.as_tensor(qml.matrix(operation, wire_order=operation.wires)).detach().to(torch.complex128)
        if not torch.allclose(matrix @ matrix.mH, torch.eye(len(matrix), dtype=matrix.dtype), atol=1e-6):
            raise ConfigError(f"The ansatz contains {operation.name}, which is not unitary.")

    def _check_same(self, operations: list[qml.operation.Operator]) -> None:
        if _signature(operations) != self._signature:
            raise ConfigError("The ansatz queues other gates at other weights; gates must not depend on weights.")

    def _find_index(self, operations: list[qml.operation.Operator]) -> Tensor | None:
        """Where each parameter is found, if all of them are weights or constants and nothing else.

        A parameter is a weight if autograd says that it was only moved, and its value at two probes is the
        weight's; a constant if it has no gradient and the same value at both.
        """
        other = self._probe(1)
        again = self._attempt(other)
        self._check_same(again)
        numbers = {value: position for position, value in enumerate(self._probe(0).tolist())}
        positions: list[int] = []
        constants: list[float] = []
        for first, second in zip(_parameters(operations), _parameters(again), strict=True):
            if first.ndim != 0 or first.is_complex():
                return None
            position = numbers.get(float(first.detach()))
            if position is not None and _is_view(first) and float(second) == float(other[position]):
                positions.append(position)
            elif not first.requires_grad and float(first) == float(second):
                positions.append(self.n_weights + len(constants))
                constants.append(float(first))
            else:
                return None
        self.constants = torch.tensor(constants, dtype=torch.float64)
        return torch.tensor(positions, dtype=torch.long)


def _parameters(operations: list[qml.operation.Operator]) -> list[Tensor]:
    """All parameters as tensors; Python numbers in double precision."""
    return [
        parameter if isinstance(parameter, Tensor) else torch.as_tensor(np.asarray(parameter))
        for operation in operations
        for parameter in operation.parameters
    ]


def _keeps(operation: qml.operation.Operator) -> bool:
    return bool(operation.has_matrix) and len(operation.wires) <= _LARGEST_MATRIX


def _diagonal_wires(operation: qml.operation.Operator) -> frozenset[int]:
    if operation in qml.ops.qubit.attributes.diagonal_in_z_basis:
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
