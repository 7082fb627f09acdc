"""Unitaries of a circuit as few batched tensors: gates of one class in one call, neighbours fused into blocks."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import pennylane as qml
import torch
from pennylane.ops.qubit.attributes import supports_broadcasting
from torch import Tensor, nn

from qlab.circuits.recording import Gate, Recording


@dataclasses.dataclass(frozen=True)
class Block:
    """Gates that act as one.

    Either a run of single-qubit gates on one wire, or one gate on several wires preceded on each of its wires
    by a (possibly empty) run of single-qubit gates.

    Args:
        wires: the wires it acts on.
        runs: for each wire the positions of its single-qubit gates, in circuit order.
        gate: position of the gate on several wires, or None.
    """

    wires: tuple[int, ...]
    runs: tuple[tuple[int, ...], ...]
    gate: int | None = None


def fuse(gates: Sequence[Gate]) -> list[Block]:
    """Blocks of a circuit, in circuit order: every run of single-qubit gates joins the next larger gate on its wire."""
    blocks: list[Block] = []
    pending: dict[int, tuple[int, ...]] = {}
    for position, gate in enumerate(gates):
        if len(gate.wires) == 1:
            pending[gate.wires[0]] = (*pending.get(gate.wires[0], ()), position)
        else:
            runs = tuple(pending.pop(wire, ()) for wire in gate.wires)
            blocks.append(Block(gate.wires, runs, position))
    blocks.extend(Block((wire,), (run,)) for wire, run in pending.items())
    return blocks


class Unitaries(nn.Module):
    """The unitaries of a circuit's blocks as a function of the flat weights.

    Gates without parameters are constants; gates of one class are computed by one call of PennyLane's
    ``compute_matrix`` where the class supports it, the rest one by one. Works under ``torch.func`` transforms.

    Args:
        recording: supplies the gate parameters.
        gates: the gates wanted, for instance those inside a light cone, in circuit order.

    Attributes:
        blocks: what the unitaries belong to, in circuit order.
        row: for each block, where its unitary lies in the stack of its number of wires.
    """

    def __init__(self, recording: Recording, gates: Sequence[Gate]) -> None:
        super().__init__()
        self._recording = recording
        self._gates = tuple(gates)
        self.blocks = fuse(gates)
        self._row_of_gate = self._arrange_gates()
        self._arrange_runs()

    def forward(self, flat: Tensor) -> dict[int, Tensor]:
        """For each number of wires k the unitaries of its blocks, complex, shape ``[blocks, 2^k, 2^k]``."""
        matrices = self._gate_matrices(flat)
        runs = self._run_products(matrices.get(1), flat)
        found: dict[int, Tensor] = {}
        for k in self._sizes:
            factors = runs[getattr(self, f"factors_{k}")]  # [blocks, k, 2, 2]
            product = factors[..., 0, :, :]
            for wire in range(1, k):
                product = _kron(product, factors[..., wire, :, :])
            found[k] = product if k == 1 else matrices[k][getattr(self, f"gates_{k}")] @ product
        return found

    def _gate_matrices(self, flat: Tensor) -> dict[int, Tensor]:
        """For each number of wires the matrices of the gates, rows as in ``self._row_of_gate``."""
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
                bound = qml.ops.functions.bind_new_parameters(gate.operation, new)
                matrix = torch.as_tensor(qml.matrix(bound, wire_order=gate.wires))
                parts.setdefault(len(gate.wires), []).append(matrix.to(dtype)[None])
        return {k: torch.cat(stack) if len(stack) > 1 else stack[0] for k, stack in parts.items()}

    def _run_products(self, singles: Tensor | None, flat: Tensor) -> Tensor:
        """Products of single-qubit runs; row 0 is the identity, for wires without a run."""
        products = [torch.eye(2, dtype=flat.dtype.to_complex(), device=flat.device)[None]]
        for length in self._run_lengths:
            assert singles is not None
            factors = singles[getattr(self, f"runs_{length}")]
            product = factors[..., 0, :, :]
            for step in range(1, length):
                product = factors[..., step, :, :] @ product
            products.append(product)
        return torch.cat(products)

    def _arrange_gates(self) -> dict[int, int]:
        """Sorts gates into constants, stacks and single ones; returns each gate's row among those of its size."""
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
        return {position: row for positions in order.values() for row, position in enumerate(positions)}

    def _arrange_runs(self) -> None:
        """Fixes which rows of which stacks each block multiplies together."""
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for run in (run for block in self.blocks for run in block.runs if run):
            by_length.setdefault(len(run), []).append(run)
        row_of_run: dict[tuple[int, ...], int] = {(): 0}
        for length, runs in by_length.items():
            rows = [[self._row_of_gate[position] for position in run] for run in runs]
            self.register_buffer(f"runs_{length}", torch.tensor(rows), persistent=False)
            for run in runs:
                row_of_run[run] = len(row_of_run)
        self._run_lengths = tuple(by_length)
        by_size: dict[int, list[Block]] = {}
        self.row: list[int] = []
        for block in self.blocks:
            same_size = by_size.setdefault(len(block.wires), [])
            self.row.append(len(same_size))
            same_size.append(block)
        self._sizes = tuple(by_size)
        for k, blocks in by_size.items():
            factors = torch.tensor([[row_of_run[run] for run in block.runs] for block in blocks])
            self.register_buffer(f"factors_{k}", factors, persistent=False)
            gates = [self._row_of_gate[block.gate] for block in blocks if block.gate is not None]
            self.register_buffer(f"gates_{k}", torch.tensor(gates, dtype=torch.long), persistent=False)


def _kron(left: Tensor, right: Tensor) -> Tensor:
    """Kronecker products of two stacks of square matrices."""
    product = left[..., :, None, :, None] * right[..., None, :, None, :]
    size = left.shape[-1] * right.shape[-1]
    return product.reshape(*product.shape[:-4], size, size)


def _matrices(operation: qml.operation.Operator, parameters: Tensor) -> Tensor:
    """The matrices of operations of one class at parameters ``[n, num_params]``, shape ``[n, 2^k, 2^k]``."""
    columns = parameters.unbind(-1)
    # Controlled operations keep their wires among the hyperparameters, and compute_matrix does not take them.
    hyperparameters = {} if operation.control_wires else operation.hyperparameters
    stack: Tensor = operation.compute_matrix(*columns, **hyperparameters)
    size = 2 ** len(operation.wires)
    return stack.reshape(-1, size, size)  # PennyLane squeezes some batches of one


def _takes_batches(operation: qml.operation.Operator) -> bool:
    """Whether ``compute_matrix`` takes batches of this operation's parameters and agrees with PennyLane's matrix."""
    if operation.name not in supports_broadcasting:
        return False
    numbers = torch.tensor([[0.3], [1.1]], dtype=torch.float64) + 0.2 * torch.arange(len(operation.parameters))
    bound = qml.ops.functions.bind_new_parameters(operation, list(numbers[1]))
    single = torch.as_tensor(qml.matrix(bound, wire_order=operation.wires)).to(torch.complex128)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batch, alone = _matrices(operation, numbers), _matrices(operation, numbers[1:])
    except Exception:  # a class that cannot, or only with warnings, is computed gate by gate
        return False
    if batch.dtype not in (torch.complex128, torch.float64) or len(batch) != 2:
        return False
    return all(torch.allclose(found.to(torch.complex128), single, atol=1e-14, rtol=0) for found in (batch[1], alone[0]))
