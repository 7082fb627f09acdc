"""Recording an ansatz: from a function that queues PennyLane operations to gates and their angles."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import vmap

from qlab.circuits import survey
from qlab.circuits.channels import Adjoint
from qlab.circuits.operations import expand
from qlab.circuits.places import is_pennylanes
from qlab.circuits.queueing import Ansatz, Interleave, queue_operations, refused
from qlab.circuits.weights import check_ansatz, checked_shapes
from qlab.deferred import Deferred
from qlab.errors import ConfigError, QlabError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


@dataclasses.dataclass(frozen=True)
class Gate:
    """One operation of a recorded circuit.

    Args:
        operation: the PennyLane operation as recorded; its parameters are placeholders.
        wires: the wires it acts on, in the operation's order.
        slots: positions of its parameters in the circuit's list of parameters.
        diagonal_on: wires on which it commutes with Pauli Z: all for gates diagonal in the computational basis,
            the controls of controlled gates.
        number: its position in the circuit.
        constant: whether it is the same gate for all weights.
        trained: whether it has a gradient.
        keeps_z_on: wires on which an observable that has only I and Z there still has only those after it, in the
            Heisenberg picture; ``diagonal_on`` are among them.
        channel: what it does to observables, if it is a noise channel and no gate.
    """

    operation: qml.operation.Operator
    wires: tuple[int, ...]
    slots: tuple[int, ...]
    diagonal_on: frozenset[int]
    number: int
    constant: bool
    trained: bool
    keeps_z_on: frozenset[int] = frozenset()
    channel: Adjoint | None = None


class Recording:
    """A circuit as a list of gates, and its parameters as a function of the flat weight vector.

    The ansatz is called a few times, at two points and under ``torch.func.vmap``, to learn its gates and whether they
    are the same for all weights. Where every gate parameter is a weight or a constant, parameters are later gathered by
    index; otherwise the ansatz is called again for each evaluation, so any PyTorch arithmetic between weights and
    angles works, at the price of Python speed.

    Args:
        ansatz: queues the operations, given the weights by name.
        shapes: the shape of each weight; integers stand for shapes of one axis.
        n_wires: the size of the register; operations act on wires 0 .. n_wires - 1.
        noise: puts channels between the gates; the ansatz may queue channels itself.

    Raises:
        ConfigError: the ansatz fails, does not take the weights, measures, acts on a wire outside the register, is not
            unitary, depends on the values of weights in other ways than through angles and matrices, or cannot be
            differentiated.

    Attributes:
        batches: whether the ansatz can be called under ``torch.func.vmap``.
        index: for each parameter its position in ``extend(flat)``, or None if parameters are computed.
    """

    def __init__(
        self, ansatz: Ansatz, shapes: Mapping[str, Any], n_wires: int, noise: Interleave | None = None
    ) -> None:
        self.ansatz = ansatz
        self.noise = noise
        self.shapes = checked_shapes(shapes)
        check_ansatz(ansatz, tuple(self.shapes))
        self.n_wires = n_wires
        self.n_weights = sum(math.prod(shape) for shape in self.shapes.values())
        points = torch.stack([self._probe(0), self._probe(1)])
        placed = survey.placed(ansatz, self.named(points[0]), noise)
        self.places = tuple(item.queued.place for item in placed)
        self._signature = _signature([item.operation for item in placed])
        for item in placed:
            survey.check_register(item, n_wires)
        values = self._values(points)
        tracked = survey.placed(ansatz, self.named(points[0].clone().requires_grad_()), noise)
        facts = survey.facts(tracked, values)
        self.gates: list[Gate] = []
        slot = 0
        for item, fact in zip(placed, facts, strict=True):
            slots = tuple(range(slot, slot + fact.scalars))
            slot += len(slots)
            operation = item.operation
            diagonal_on = _diagonal_wires(operation) if fact.channel is None else fact.channel.commutes_on
            keeps_z_on = diagonal_on if fact.channel is None else fact.channel.keeps_z_on
            self.gates.append(
                Gate(
                    operation,
                    tuple(operation.wires),
                    slots,
                    diagonal_on,
                    len(self.gates),
                    fact.constant,
                    fact.trained,
                    keeps_z_on,
                    fact.channel,
                )
            )
        self.n_parameters = slot
        self.constants = torch.zeros(0, dtype=torch.float64)
        self.index = self._find_index(points, facts)
        if self.index is None:
            survey.check_derivatives(ansatz, self.named, points[0])

    @property
    def noisy(self) -> bool:
        """Whether there are channels among the gates."""
        return any(gate.channel is not None for gate in self.gates)

    def extend(self, flat: Tensor) -> Tensor:
        """The weights followed by the constants among the gate parameters."""
        return torch.cat([flat, self.constants.to(flat)]) if len(self.constants) else flat

    def parameters(self, flat: Tensor) -> list[Tensor]:
        """The gate parameters for weights ``flat`` of shape ``[n_weights]``, in the order of the slots."""
        if self.index is not None:
            return list(self.extend(flat)[self.index.to(flat.device)].unbind())
        operations = self.operations(flat)
        return [
            value
            for gate, operation in zip(self.gates, operations, strict=True)
            for value in survey.parameters(operation)[: len(gate.slots)]
        ]

    def reached(self, gates: Sequence[Gate]) -> Tensor | None:
        """Which weights some of the gates depend on, ``[n_weights]``, bool; None where parameters are computed."""
        if self.index is None:
            return None
        positions = self.index[[slot for gate in gates for slot in gate.slots]]
        found = torch.zeros(self.n_weights, dtype=torch.bool)
        found[positions[positions < self.n_weights]] = True
        return found

    def operations(self, flat: Tensor) -> list[qml.operation.Operator]:
        """The gates for weights ``flat`` as the ansatz queues them, decomposed, with noise; in the order of ``gates``.

        Raises:
            ConfigError: they are others than those recorded.
        """
        groups = [expand(queued.operation) for queued in queue_operations(self.ansatz, self.named(flat))]
        found = [operation for group in groups for operation in group]
        found = found if self.noise is None else self.noise(found)
        if _signature(found) != self._signature:
            raise ConfigError("The ansatz queues other gates at other weights; gates must not depend on weights.")
        return found

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """The flat weight vector cut into the named weights."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = flat.split(sizes) if sizes else ()
        return {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def _probe(self, number: int) -> Tensor:
        """Weights that no ansatz writes down as constants."""
        generator = torch.Generator().manual_seed(number)
        return torch.rand(self.n_weights, generator=generator, dtype=torch.float64)

    def _values(self, points: Tensor) -> list[list[Tensor]]:
        """For each gate its parameters at several points, ``[points, ...]``, found without looking at any value.

        Raises:
            ConfigError: the ansatz depends on the values of weights, or is random.
        """
        self.batches = True
        counts: list[int] = []

        def flat_values(flat: Tensor) -> tuple[Tensor, ...]:
            found = [survey.parameters(operation) for operation in self.operations(flat)]
            counts[:] = map(len, found)
            return (flat.sum(), *(value for values in found for value in values))

        try:
            _, *values = vmap(flat_values)(points)
        except QlabError:
            raise
        except Exception as error:
            if not is_pennylanes(error):
                raise refused(error) from error
            # Some of PennyLane's functions look at the values of coefficients, to leave out ones for instance.
            self.batches = False
            each = [[survey.parameters(operation) for operation in self.operations(point)] for point in points]
            return [[torch.stack(both) for both in zip(*gates, strict=True)] for gates in zip(*each, strict=True)]
        return [[values.pop(0) for _ in range(count)] for count in counts]

    def _find_index(self, points: Tensor, facts: list[survey.Fact]) -> Tensor | None:
        """Where each parameter is found, if all of them are weights or constants and nothing else.

        A parameter is a weight if autograd says that it was only moved, and its value at two points is the weight's.
        """
        numbers = {value: position for position, value in enumerate(points[0].tolist())}
        positions: list[int] = []
        constants: list[float] = []
        for fact in facts:
            if fact.constant:
                positions.extend(range(self.n_weights + len(constants), self.n_weights + len(constants) + fact.scalars))
                constants.extend(float(value[0]) for value in fact.values[: fact.scalars])
                continue
            for number, values in enumerate(fact.values):
                if values.ndim != 1 or values.is_complex():
                    return None
                position = numbers.get(float(values[0]))
                if position is not None and fact.moved[number] and float(values[1]) == float(points[1][position]):
                    positions.append(position)
                elif not fact.tracked[number] and float(values[0]) == float(values[1]):
                    positions.append(self.n_weights + len(constants))
                    constants.append(float(values[0]))
                else:
                    return None
        self.constants = torch.tensor(constants, dtype=torch.float64)
        return torch.tensor(positions, dtype=torch.long)


def _diagonal_wires(operation: qml.operation.Operator) -> frozenset[int]:
    if operation in qml.ops.qubit.attributes.diagonal_in_z_basis:
        return frozenset(operation.wires)
    return frozenset(getattr(operation, "control_wires", ()))


def _signature(operations: list[qml.operation.Operator]) -> list[tuple[str, tuple[int, ...]]]:
    # The name of a power says which, and that may be a weight.
    return [(operation.name.split("**")[0], tuple(operation.wires)) for operation in operations]
