"""Unitaries of a circuit as few batched tensors: single-qubit gates fused into the next larger gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qlab.circuits.gate_matrices import GateMatrices, RunProducts, kron
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

    Works under ``torch.func`` transforms.

    Args:
        recording: supplies the gate parameters.
        gates: the gates wanted, for instance those inside a light cone, in circuit order.
        blocks: what the gates make, positions referring to ``gates``; by default one circuit of all of them.

    Attributes:
        blocks: what the unitaries belong to, in circuit order.
        row: for each block, where its unitary lies in the stack of its number of wires.
    """

    def __init__(self, recording: Recording, gates: Sequence[Gate], blocks: Sequence[Block] | None = None) -> None:
        super().__init__()
        self.blocks = fuse(gates) if blocks is None else list(blocks)
        self._gates = GateMatrices(recording, gates)
        self._runs = RunProducts(self._gates.row, (run for block in self.blocks for run in block.runs))
        by_size: dict[int, list[Block]] = {}
        self.row: list[int] = []
        for block in self.blocks:
            same_size = by_size.setdefault(len(block.wires), [])
            self.row.append(len(same_size))
            same_size.append(block)
        self._sizes = tuple(by_size)
        for k, blocks in by_size.items():
            factors = torch.tensor([[self._runs.row[run] for run in block.runs] for block in blocks])
            self.register_buffer(f"factors_{k}", factors, persistent=False)
            rows = [self._gates.row[block.gate] for block in blocks if block.gate is not None]
            self.register_buffer(f"gates_{k}", torch.tensor(rows, dtype=torch.long), persistent=False)

    def forward(self, flat: Tensor) -> dict[int, Tensor]:
        """For each number of wires k the unitaries of its blocks, complex, shape ``[blocks, 2^k, 2^k]``."""
        matrices = self._gates(flat)
        runs = self._runs(matrices.get(1), flat)
        found: dict[int, Tensor] = {}
        for k in self._sizes:
            product = kron(runs[getattr(self, f"factors_{k}")])
            found[k] = product if k == 1 else matrices[k][getattr(self, f"gates_{k}")] @ product
        return found
