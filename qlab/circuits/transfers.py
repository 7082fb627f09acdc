"""What the gates of a circuit, and noise between them, do to the Pauli coefficients of an observable."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qlab.circuits.gate_matrices import GateMatrices, RunProducts, kron
from qlab.circuits.matrices import Block, Unitaries
from qlab.circuits.pauli import transfer_matrices
from qlab.circuits.recording import Gate, Recording
from qlab.circuits.waves import all_rotations, waves_of

Link = tuple[tuple[int, ...], int, tuple[int, ...]]
"""A single-qubit gate, and the channels before and after it on its wire; positions."""


def transfers_of(recording: Recording, gates: Sequence[Gate], blocks: Sequence[Block]) -> Transfers | WaveTransfers:
    """The transfer matrices of blocks of gates, among which there may be channels.

    Channels and PennyLane's rotations are put together of real parts, which takes a third of the time of unitaries.
    """
    noisy = any(gate.channel is not None for gate in gates)
    return (WaveTransfers if noisy or all_rotations(recording, gates) else Transfers)(recording, gates, blocks)


class Transfers(nn.Module):
    """Transfer matrices of unitary blocks of any gates, made of their unitaries.

    Args:
        recording: supplies the gate parameters.
        gates: the gates wanted, in circuit order.
        blocks: what they make.

    Attributes:
        row: for each block, where its matrix lies in the stack of its number of wires.
    """

    def __init__(self, recording: Recording, gates: Sequence[Gate], blocks: Sequence[Block]) -> None:
        super().__init__()
        self.unitaries = Unitaries(recording, gates, blocks)
        self.row = self.unitaries.row

    def forward(self, flat: Tensor) -> dict[int, Tensor]:
        """For each number of wires k the matrices of its blocks, real, ``[blocks, 4^k, 4^k]``."""
        return {k: transfer_matrices(unitaries) for k, unitaries in self.unitaries(flat).items()}


class WaveTransfers(nn.Module):
    """Transfer matrices of blocks of rotations, with or without channels in them.

    Channels are constant, and those on one wire are multiplied beforehand into the gate that they follow (or, at the
    beginning of a run, precede). Rotations are made of the parts that :func:`waves_of` finds, so that noise after every
    gate costs nothing; other gates cost two products of 4 x 4 matrices more. Matrices are transposed while they are
    multiplied: S = R^T of gates one after the other is S_n ... S_1, as for unitaries.

    Args:
        recording: supplies the gate parameters.
        gates: gates and channels, in circuit order.
        blocks: what they make.

    Attributes:
        row: for each block, where its matrix lies in the stack of its number of wires.
    """

    _rows: Tensor
    _before: Tensor
    _after: Tensor
    _alone: Tensor

    def __init__(self, recording: Recording, gates: Sequence[Gate], blocks: Sequence[Block]) -> None:
        super().__init__()
        self._recording = recording
        self._noise = {place: gate.channel.transfer.mT for place, gate in enumerate(gates) if gate.channel is not None}
        unitary = [place for place in range(len(gates)) if place not in self._noise]
        known = {place: waves_of(recording, gates[place]) for place in unitary}
        waves = {place: found for place, found in known.items() if found is not None}
        others = [place for place in unitary if place not in waves]
        self._gates = GateMatrices(recording, [gates[place] for place in others])
        gate_row = {place: self._gates.row[number] for number, place in enumerate(others)}

        chains = {run: self._links(run) for block in blocks for run in block.runs}
        every = dict.fromkeys(link for chain in chains.values() for link in chain if isinstance(link, tuple))
        rotations = [link for link in every if link[1] in waves]
        links = [link for link in every if link[1] not in waves]
        alone = [link for chain in chains.values() for link in chain if isinstance(link, Tensor)]
        table = {link: row for row, link in enumerate([*rotations, *links])}
        folded = [
            (self._product(after) @ waves[gate][0] @ self._product(before), waves[gate][1])
            for before, gate, after in rotations
        ]
        self._keep_waves(1, folded)
        self.register_buffer("_rows", torch.tensor([gate_row[gate] for _, gate, _ in links]).long(), persistent=False)
        self._buffer("_before", [self._product(before) for before, _, _ in links])
        self._buffer("_after", [self._product(after) for _, _, after in links])
        self._buffer("_alone", alone)
        runs, position = {}, len(every)
        for run, chain in chains.items():
            found = []
            for link in chain:
                found.append(table[link] if isinstance(link, tuple) else position)
                position += isinstance(link, Tensor)
            runs[run] = tuple(found)
        self._runs = RunProducts({row: row for row in range(position)}, runs.values(), dimension=4)

        by_size: dict[int, list[Block]] = {}
        self.row: list[int] = []
        for block in blocks:
            same = by_size.setdefault(len(block.wires), [])
            self.row.append(len(same))
            same.append(block)
        self._sizes = tuple(by_size)
        for k, same in by_size.items():
            factors = torch.tensor([[self._runs.row[runs[run]] for run in block.runs] for block in same])
            self.register_buffer(f"factors_{k}", factors, persistent=False)
            if k == 1:
                continue
            wide = [block.gate for block in same if block.gate is not None]
            channels = list(dict.fromkeys(place for place in wide if place in self._noise))
            self._buffer(f"channels_{k}", [self._noise[place] for place in channels], 4**k)
            turning = list(dict.fromkeys(place for place in wide if place in waves))
            self._keep_waves(k, [waves[place] for place in turning])
            order = [("wave", place) for place in turning]
            stack = {row: place for place, row in gate_row.items() if len(gates[place].wires) == k}
            order += [("gate", stack[row]) for row in range(self._gates.sizes.get(k, 0))]
            order += [("channel", place) for place in channels]
            where = {place: row for row, (_, place) in enumerate(order)}
            self.register_buffer(
                f"gates_{k}", torch.tensor([where[place] for place in wide], dtype=torch.long), persistent=False
            )

    def forward(self, flat: Tensor) -> dict[int, Tensor]:
        """For each number of wires k the matrices of its blocks, real, ``[blocks, 4^k, 4^k]``."""
        matrices = self._gates(flat)
        extended = self._recording.extend(flat)
        singles = [self._turned(1, extended)]
        if len(self._rows):
            gates = transfer_matrices(matrices[1]).mT[self._rows]
            singles.append(self._after.to(flat) @ (gates @ self._before.to(flat)))
        runs = self._runs(torch.cat([*singles, self._alone.to(flat)]), flat)
        found: dict[int, Tensor] = {}
        for k in self._sizes:
            product = kron(runs[getattr(self, f"factors_{k}")])
            if k > 1:
                parts = [self._turned(k, extended)]
                if k in matrices:
                    parts.append(transfer_matrices(matrices[k]).mT)
                wide = torch.cat([*parts, getattr(self, f"channels_{k}").to(flat)])
                product = wide[getattr(self, f"gates_{k}")] @ product
            found[k] = product.mT
        return found

    def _keep_waves(self, k: int, waves: Sequence[tuple[Tensor, int]]) -> None:
        parts = torch.stack([part for part, _ in waves]) if waves else torch.zeros(0, 3, 4**k, 4**k).double()
        self.register_buffer(f"waves_{k}", parts, persistent=False)
        places = torch.tensor([place for _, place in waves], dtype=torch.long)
        self.register_buffer(f"angles_{k}", places, persistent=False)

    def _turned(self, k: int, extended: Tensor) -> Tensor:
        """A + B cos(a) + C sin(a) of all rotations on so many wires, ``[gates, 4^k, 4^k]``."""
        constant, cosine, sine = self.get_buffer(f"waves_{k}").to(extended).unbind(1)
        angles = extended[self.get_buffer(f"angles_{k}")][:, None, None]
        return constant + torch.cos(angles) * cosine + torch.sin(angles) * sine

    def _links(self, run: Sequence[int]) -> list[Link | Tensor]:
        """A run as its gates, each with channels before and after it; one of channels alone is their product."""
        gates = [number for number, place in enumerate(run) if place not in self._noise]
        if not gates:
            return [self._product(run)] if run else []
        ends = [*gates[1:], len(run)]
        before = [tuple(run[: gates[0]]), *[()] * (len(gates) - 1)]
        return [
            (first, run[start], tuple(run[start + 1 : end]))
            for first, start, end in zip(before, gates, ends, strict=True)
        ]

    def _product(self, channels: Sequence[int]) -> Tensor:
        eye = torch.eye(4, dtype=torch.float64)
        return functools.reduce(lambda product, place: self._noise[place] @ product, channels, eye)

    def _buffer(self, name: str, matrices: Sequence[Tensor], size: int = 4) -> None:
        stack = torch.stack(list(matrices)) if matrices else torch.zeros(0, size, size, dtype=torch.float64)
        self.register_buffer(name, stack, persistent=False)
