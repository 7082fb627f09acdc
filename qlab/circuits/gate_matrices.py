"""Matrices of single gates as few batched tensors, and products of runs of single-qubit gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from qlab.circuits.operations import matrix_of
from qlab.circuits.places import at
from qlab.circuits.queueing import refused
from qlab.circuits.recording import Gate, Recording
from qlab.circuits.survey import parameters
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

    Gates that are the same for all weights are constants; gates of one class are computed by one call of PennyLane's
    ``compute_matrix`` where the class supports it, the rest one by one. Works under ``torch.func`` transforms.

    Args:
        recording: supplies the gate parameters.
        gates: the gates wanted, for instance those inside a light cone, in circuit order.

    Raises:
        ConfigError: a gate cannot be differentiated twice, or not for many weights at once.

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
        if self._single:
            self._check_single()

    def forward(self, flat: Tensor) -> dict[int, Tensor]:
        """For each number of wires k the matrices of the gates, complex, shape ``[gates, 2^k, 2^k]``."""
        dtype = flat.dtype.to_complex()
        parts: dict[int, list[Tensor]] = {}
        for k in self._constant_sizes:
            parts.setdefault(k, []).append(getattr(self, f"constants_{k}").to(dtype))
        operations = self._recording.operations(flat) if self._replays else None
        extended = None if operations is not None and self._recording.index is None else self._recording.extend(flat)
        for number, positions in enumerate(self._stacks):
            operation = self._gates[positions[0]].operation
            if extended is not None:
                values = extended[getattr(self, f"weights_{number}")]
            else:
                assert operations is not None
                numbers = [self._gates[position].number for position in positions]
                values = torch.stack([_stacked(operations[gate], flat) for gate in numbers])
            stack = _matrices(operation, values)
            parts.setdefault(len(operation.wires), []).append(stack.to(dtype))
        for position in self._single:
            gate = self._gates[position]
            matrix = matrix_of(self._bound(gate, flat) if operations is None else operations[gate.number])
            parts.setdefault(len(gate.wires), []).append(matrix.to(dtype)[None])
        return {k: torch.cat(stack) if len(stack) > 1 else stack[0] for k, stack in parts.items()}

    def _bound(self, gate: Gate, flat: Tensor) -> qml.operation.Operator:
        """A gate's operation at other weights, where all parameters are weights or constants."""
        index = self._recording.index
        assert index is not None
        values = self._recording.extend(flat)[index[list(gate.slots)].to(flat.device)]
        return bind(gate.operation, list(values.unbind()))

    def _arrange(self) -> dict[int, list[int]]:
        """Sorts gates into constants, stacks and single ones; returns the gates of each size in the order of rows."""
        constants: dict[int, list[int]] = {}
        groups: dict[Any, list[int]] = {}
        batched: dict[Any, bool] = {}
        self._single: list[int] = []
        index = self._recording.index
        for position, gate in enumerate(self._gates):
            operation = gate.operation
            if gate.constant:
                constants.setdefault(len(gate.wires), []).append(position)
                continue
            key = (type(operation), len(gate.wires), str(operation.hyperparameters))
            angles = _takes_angles(operation)
            if angles and key not in batched:
                batched[key] = _takes_batches(operation)
            if angles and batched[key]:
                groups.setdefault(key, []).append(position)
            else:
                self._single.append(position)
        order: dict[int, list[int]] = {}
        for k, positions in constants.items():
            stack = [matrix_of(self._gates[position].operation).to(torch.complex128) for position in positions]
            self.register_buffer(f"constants_{k}", torch.stack(stack), persistent=False)
            order.setdefault(k, []).extend(positions)
        self._constant_sizes = tuple(constants)
        self._stacks = tuple(map(tuple, groups.values()))
        for number, stacked in enumerate(self._stacks):
            slots = torch.tensor([self._gates[position].slots for position in stacked])
            self.register_buffer(f"weights_{number}", None if index is None else index[slots], persistent=False)
            order.setdefault(len(self._gates[stacked[0]].wires), []).extend(stacked)
        for position in self._single:
            order.setdefault(len(self._gates[position].wires), []).append(position)
        varying = bool(self._stacks or self._single)
        self._replays = varying and (index is None or not self._binds())
        return order

    def _binds(self) -> bool:
        """Whether PennyLane gives the single gates new parameters correctly, which spares calling the ansatz again."""
        other = torch.linspace(0.1, 0.9, self._recording.n_weights, dtype=torch.float64)
        operations = self._recording.operations(other)
        for position in self._single:
            gate = self._gates[position]
            try:
                found = matrix_of(self._bound(gate, other))
            except Exception:  # a class that cannot is recorded again
                return False
            if not torch.allclose(found, matrix_of(operations[gate.number]).to(found.dtype), atol=1e-12, rtol=0):
                return False
        return True

    def _check_single(self) -> None:
        """Whether the gates that are computed one by one can be differentiated twice, for many weights at once."""
        flat = torch.linspace(0.1, 0.9, self._recording.n_weights, dtype=torch.float64)
        points = torch.stack([flat, flat.flip(0)])
        for position in self._single:
            gate = self._gates[position]

            def total(flat: Tensor, gate: Gate = gate) -> Tensor:
                operation = self._recording.operations(flat)[gate.number] if self._replays else self._bound(gate, flat)
                matrix = matrix_of(operation).to(torch.complex128)
                return matrix.real.sum() + matrix.imag.sum() + 0.0 * flat.sum()

            try:
                if self._recording.batches:
                    vmap(grad(lambda flat, total=total: grad(total)(flat).sum()))(points)
                else:
                    torch.autograd.functional.hessian(total, flat)
            except Exception as error:
                place = self._recording.places[gate.number]
                raise ConfigError(f"{at(place)}{refused(error, gate.operation.name, place=False)}") from error


class RunProducts(nn.Module):
    """Products of runs of single-qubit gates, runs of one length at once.

    Args:
        rows: where the matrix of each gate lies.
        runs: the runs wanted; empty ones stand for the identity.
        dimension: of the matrices: 2, or 4 for those on Pauli coefficients.

    Attributes:
        row: where the product of each run lies.
    """

    def __init__(self, rows: Mapping[int, int], runs: Iterable[Run], dimension: int = 2) -> None:
        super().__init__()
        self._dimension = dimension
        by_length: dict[int, list[Run]] = {}
        for run in dict.fromkeys(runs):
            if run:
                by_length.setdefault(len(run), []).append(run)
        self.row: dict[Run, int] = {(): 0}
        for length, same in by_length.items():
            places = [[rows[position] for position in run] for run in same]
            self.register_buffer(f"runs_{length}", torch.tensor(places), persistent=False)
            for run in same:
                self.row[run] = len(self.row)
        self._lengths = tuple(by_length)

    def forward(self, singles: Tensor | None, flat: Tensor) -> Tensor:
        """Shape ``[runs, d, d]`` from matrices ``[gates, d, d]`` of single-qubit gates; row 0 is the identity."""
        dtype = flat.dtype.to_complex() if singles is None else singles.dtype
        products = [torch.eye(self._dimension, dtype=dtype, device=flat.device)[None]]
        for length in self._lengths:
            assert singles is not None
            factors = singles[getattr(self, f"runs_{length}")]
            product = factors[..., 0, :, :]
            for step in range(1, length):
                product = factors[..., step, :, :] @ product
            products.append(product)
        return torch.cat(products)


def kron(factors: Tensor) -> Tensor:
    """Kronecker products of k square matrices each, ``[..., k, d, d]`` to ``[..., d^k, d^k]``."""
    product = factors[..., 0, :, :]
    for number in range(1, factors.shape[-3]):
        wide = product[..., :, None, :, None] * factors[..., number, :, :][..., None, :, None, :]
        size = factors.shape[-1] * product.shape[-1]
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


def bind(operation: qml.operation.Operator, parameters: Sequence[Any]) -> qml.operation.Operator:
    """The operation with other parameters. PennyLane's own function forgets controls that act when they are 0."""
    if isinstance(operation, qml.ops.Controlled) and not all(operation.control_values):
        base = bind(operation.base, parameters)
        return qml.ops.Controlled(base, operation.control_wires, control_values=operation.control_values)
    return qml.ops.functions.bind_new_parameters(operation, list(parameters))


def _stacked(operation: qml.operation.Operator, flat: Tensor) -> Tensor:
    return torch.stack([value.to(flat) for value in parameters(operation)])


def _takes_angles(operation: qml.operation.Operator) -> bool:
    """Whether all parameters are real numbers."""
    return all(value.ndim == 0 and not value.is_complex() for value in parameters(operation))


def _takes_batches(operation: qml.operation.Operator) -> bool:
    """Whether ``compute_matrix`` takes batches of this operation's parameters and agrees with PennyLane's matrix.

    Also whether it is differentiable: some classes leave PyTorch on the way, which raises for numbers with gradients.
    """
    if operation.name not in qml.ops.qubit.attributes.supports_broadcasting:
        return False
    numbers = torch.tensor([[0.3], [1.1]], dtype=torch.float64) + 0.2 * torch.arange(len(operation.parameters))
    tracked = numbers.clone().requires_grad_()
    try:
        bound = bind(operation, list(numbers[1]))
        single = torch.as_tensor(qml.matrix(bound, wire_order=operation.wires)).to(torch.complex128)
        with torch.enable_grad():
            batch, alone = _matrices(operation, tracked), _matrices(operation, tracked[1:])
    except Exception:  # a class that cannot is computed gate by gate
        return False
    if batch.dtype not in (torch.complex128, torch.float64) or len(batch) != 2 or not batch.requires_grad:
        return False
    return all(torch.allclose(found.to(torch.complex128), single, atol=1e-14, rtol=0) for found in (batch[1], alone[0]))
