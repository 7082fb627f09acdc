"""Matrices of single gates as few batched tensors, and products of runs of single-qubit gates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qlab.circuits.recording import Gate, Recording
from qlab.deferred import Deferred
from qlab.errors import ConfigError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Run = tuple[int, ...]
"""Positions of consecutive single-qubit gates on one wire, in circuit order."""


class GateMatrices(nn.Module):
    """The matrices of a circuit's gates as a function of the flat weights.

    Gates without parameters are constants; gates of one class are computed by one call of PennyLane's
    ``compute_matrix`` where the class supports it, the rest one by one. Works under ``torch.func`` transforms.

    Args:
        recording: supplies the gate parameters.
        gates: the gates wanted, for instance those inside a light cone, in circuit order.

    Raises:
        ConfigError: a gate cannot be given new parameters.

    Attributes:
        row: for each gate, where its matrix lies in the stack of its number of wires.
        sizes: for each number of wires, how many gates act on so many.
    """

    def __init__(self, recording: Recording, gates: Sequence[Gate]) -> None:
        super().__init__()
        self._recording = recording
        self._gates = tuple(gates)
        order = self._arrange()
        self.sizes = {k: len(positions) for k, positions in order.items()}
        self.row = {position: row for positions in order.values() for row, position in enumerate(positions)}

    def forward(self, flat: Tensor) -> dict[int, Tensor]:
        """For each number of wires k the matrices of the gates, complex, shape ``[gates, 2^k, 2^k]``."""
        dtype = flat.dtype.to_complex()
        parts: dict[int, list[Tensor]] = {}
        for k in self._constant_sizes:
            parts.setdefault(k, []).append(getattr(self, f"constants_{k}").to(dtype))
        extended = self._recording.extend(flat)
        for number, operation in enumerate(self._stacked):
            stack = _matrices(operation, extended[getattr(self, f"weights_{number}")])
            parts.setdefault(len(operation.wires), []).append(stack.to(dtype))
        if self._single:
            parameters = self._recording.parameters(flat)
            for position in self._single:
                gate = self._gates[position]
                new = [parameters[slot] for slot in gate.slots]
                bound = _bind(gate.operation, new)
                matrix = torch.as_tensor(qml.matrix(bound, wire_order=gate.wires))
                parts.setdefault(len(gate.wires), []).append(matrix.to(dtype)[None])
        return {k: torch.cat(stack) if len(stack) > 1 else stack[0] for k, stack in parts.items()}

    def _arrange(self) -> dict[int, list[int]]:
        """Sorts gates into constants, stacks and single ones; returns the gates of each size in the order of rows."""
        constants: dict[int, list[int]] = {}
        groups: dict[Any, list[int]] = {}
        self._single: list[int] = []
        index = self._recording.index
        for position, gate in enumerate(self._gates):
            operation = gate.operation
            if not gate.slots:
                constants.setdefault(len(gate.wires), []).append(position)
            elif index is not None and _takes_batches(operation):
                key = (type(operation), len(gate.wires), str(operation.hyperparameters))
                groups.setdefault(key, []).append(position)
            else:
                _check_bind(operation)
                self._single.append(position)
        order: dict[int, list[int]] = {}
        for k, positions in constants.items():
            gates = [self._gates[position] for position in positions]
            stack = [torch.as_tensor(qml.matrix(gate.operation, wire_order=gate.wires)) for gate in gates]
            self.register_buffer(f"constants_{k}", torch.stack(stack).to(torch.complex128), persistent=False)
            order.setdefault(k, []).extend(positions)
        self._constant_sizes = tuple(constants)
        self._stacked: list[qml.operation.Operator] = []
        for number, positions in enumerate(groups.values()):
            slots = torch.tensor([self._gates[position].slots for position in positions])
            self.register_buffer(f"weights_{number}", None if index is None else index[slots], persistent=False)
            self._stacked.append(self._gates[positions[0]].operation)
            order.setdefault(len(self._gates[positions[0]].wires), []).extend(positions)
        for position in self._single:
            order.setdefault(len(self._gates[position].wires), []).append(position)
        return order


class RunProducts(nn.Module):
    """Products of runs of single-qubit gates, runs of one length at once.

    Args:
        gates: supplies the rows of the gates.
        runs: the runs wanted; empty ones stand for the identity.

    Attributes:
        row: where the product of each run lies.
    """

    def __init__(self, gates: GateMatrices, runs: Iterable[Run]) -> None:
        super().__init__()
        by_length: dict[int, list[Run]] = {}
        for run in dict.fromkeys(runs):
            if run:
                by_length.setdefault(len(run), []).append(run)
        self.row: dict[Run, int] = {(): 0}
        for length, same in by_length.items():
            rows = [[gates.row[position] for position in run] for run in same]
            self.register_buffer(f"runs_{length}", torch.tensor(rows), persistent=False)
            for run in same:
                self.row[run] = len(self.row)
        self._lengths = tuple(by_length)

    def forward(self, singles: Tensor | None, flat: Tensor) -> Tensor:
        """Shape ``[runs, 2, 2]`` from matrices ``[gates, 2, 2]`` of single-qubit gates; row 0 is the identity."""
        products = [torch.eye(2, dtype=flat.dtype.to_complex(), device=flat.device)[None]]
        for length in self._lengths:
            assert singles is not None
            factors = singles[getattr(self, f"runs_{length}")]
            product = factors[..., 0, :, :]
            for step in range(1, length):
                product = factors[..., step, :, :] @ product
            products.append(product)
        return torch.cat(products)


def kron(factors: Tensor) -> Tensor:
    """Kronecker products of k square matrices each, ``[..., k, 2, 2]`` to ``[..., 2^k, 2^k]``."""
    product = factors[..., 0, :, :]
    for number in range(1, factors.shape[-3]):
        wide = product[..., :, None, :, None] * factors[..., number, :, :][..., None, :, None, :]
        size = 2 * product.shape[-1]
        product = wide.reshape(*wide.shape[:-4], size, size)
    return product


def _matrices(operation: qml.operation.Operator, parameters: Tensor) -> Tensor:
    """The matrices of operations of one class at parameters ``[n, num_params]``, shape ``[n, 2^k, 2^k]``."""
    columns = parameters.unbind(-1)
    # Controlled operations keep their wires among the hyperparameters, and compute_matrix does not take them.
    hyperparameters = {} if operation.control_wires else operation.hyperparameters
    stack: Tensor = operation.compute_matrix(*columns, **hyperparameters)
    size = 2 ** len(operation.wires)
    return stack.reshape(-1, size, size)  # PennyLane squeezes some batches of one


def _bind(operation: qml.operation.Operator, parameters: Sequence[Tensor]) -> qml.operation.Operator:
    """The operation with other parameters. PennyLane's own function forgets controls that act when they are 0."""
    if isinstance(operation, qml.ops.Controlled) and not all(operation.control_values):
        base = _bind(operation.base, parameters)
        return qml.ops.Controlled(base, operation.control_wires, control_values=operation.control_values)
    return qml.ops.functions.bind_new_parameters(operation, list(parameters))


def _check_bind(operation: qml.operation.Operator) -> None:
    again = qml.matrix(_bind(operation, operation.parameters), wire_order=operation.wires)
    if not qml.math.allclose(again, qml.matrix(operation, wire_order=operation.wires)):
        raise ConfigError(
            f"PennyLane does not give {operation.name} new parameters correctly; queue the gates that it is made of."
        )


def _takes_batches(operation: qml.operation.Operator) -> bool:
    """Whether ``compute_matrix`` takes batches of this operation's parameters and agrees with PennyLane's matrix.

    Also whether it is differentiable: some classes leave PyTorch on the way, which raises for numbers with gradients.
    """
    if operation.name not in qml.ops.qubit.attributes.supports_broadcasting:
        return False
    numbers = torch.tensor([[0.3], [1.1]], dtype=torch.float64) + 0.2 * torch.arange(len(operation.parameters))
    tracked = numbers.clone().requires_grad_()
    bound = _bind(operation, list(numbers[1]))
    single = torch.as_tensor(qml.matrix(bound, wire_order=operation.wires)).to(torch.complex128)
    try:
        with torch.enable_grad():
            batch, alone = _matrices(operation, tracked), _matrices(operation, tracked[1:])
    except Exception:  # a class that cannot is computed gate by gate
        return False
    if batch.dtype not in (torch.complex128, torch.float64) or len(batch) != 2 or not batch.requires_grad:
        return False
    return all(torch.allclose(found.to(torch.complex128), single, atol=1e-14, rtol=0) for found in (batch[1], alone[0]))
