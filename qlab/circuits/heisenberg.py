"""The light-cone engine: evolves the observable through its cone, and meets the data as Pauli expectation values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from qlab.circuits.blocks import ReducedStates
from qlab.circuits.encodings import Amplitudes, Encoding
from qlab.circuits.lightcone import LightCone
from qlab.circuits.matrices import Block, fuse
from qlab.circuits.pauli import operator_of
from qlab.circuits.recording import Gate, Recording
from qlab.circuits.transfers import transfers_of


class HeisenbergEngine(nn.Module):
    """<O> = sum_P c_P(theta) tr(rho P), P over the Pauli strings on the k wires of the light cone.

    The data enter once, as expectation values of 4^k Pauli strings; after that an evaluation costs the same for
    any number of qubits outside the cone. The observable is evolved through a list of real transfer matrices, of gates
    and of noise channels alike. Parts of an observable may have cones of their own; what is kept of the data and the
    coefficients are then joined.

    Args:
        recording: the circuit.
        cones: the light cone, or those of the parts of the observable.
        encoding: of the data; amplitudes by default.
        states: whether states are kept of the data rather than their Pauli expectation values, which are more numbers
            where the cone fills the register or nearly so. The observable then becomes a matrix, which meets each
            state: O(N 2^(n + k)) for N rows. One cone only.
        starts: Pauli coefficients ``[several, 4^m]`` of observables on the m wires of the one cone's observable, which
            are evolved instead of it.
    """

    batch_rows: bool = False
    """Whether the cost grows with the rows: the evolution of the observable, free of data, dominates unless it meets
    states."""

    def __init__(
        self,
        recording: Recording,
        cones: LightCone | Sequence[LightCone],
        encoding: Encoding | None = None,
        *,
        states: bool = False,
        starts: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.cones = (cones,) if isinstance(cones, LightCone) else tuple(cones)
        self.encoding = encoding or Amplitudes(recording.n_wires)
        self.batch_rows = self._states = states
        gates = sorted({_identity(gate): gate for cone in self.cones for gate in cone.gates}.values(), key=_number)
        position = {_identity(gate): place for place, gate in enumerate(gates)}
        blocks = [[_placed(block, cone, position) for block in fuse(cone.gates)] for cone in self.cones]
        every = list(dict.fromkeys(block for own in blocks for block in own))
        self.transfers = transfers_of(recording, gates, every)
        row = dict(zip(every, self.transfers.row, strict=True))
        alike: dict[object, list[_Path]] = {}
        for cone, own in zip(self.cones, blocks, strict=True):
            path = _Path.of(cone, own, row)
            several = [path] if starts is None else [dataclasses.replace(path, start=start) for start in starts]
            alike.setdefault(path.shape, []).extend(several)
        self.evolutions = nn.ModuleList(_Evolution(paths) for paths in alike.values())
        wires = [wires for evolution in self.evolutions for wires in evolution.wires]  # type: ignore[union-attr]
        self._wires = wires if starts is None else wires[:1]

    @property
    def coefficients(self) -> int:
        """How many numbers are kept of each row."""
        return sum(4 ** len(cone.wires) for cone in self.cones)

    @property
    def evolved_wires(self) -> list[tuple[int, ...]]:
        """The wires of each part of :meth:`observable`, in the order of its Pauli strings' letters."""
        return list(self._wires)

    @property
    def row_elements(self) -> int:
        """How many numbers an evaluation holds for each row, besides what is kept of it."""
        if not self._states:
            return 2
        wires = len(self._wires[0]) if self.encoding.product else self.encoding.n_wires
        return 3 * 2 ** (wires + 1)

    @property
    def steps(self) -> int:
        """The most blocks of gates that a part of the observable passes through."""
        return max(len(evolution.steps) for evolution in self.evolutions)  # type: ignore[arg-type]

    def prepare(self, x: Tensor) -> Tensor:
        """Pauli expectation values on the cone, shape ``[N, 4^k]``, float64; those of several cones side by side.

        Of states, if those are kept, real and imaginary parts ``[N, 2^k, 2^(n - k), 2]``.
        """
        if self._states and not isinstance(self.encoding, ReducedStates):
            return torch.view_as_real(self.encoding.states(x, self._wires[0])).contiguous()
        parts = [self.encoding.pauli(x, wires) for wires in self._wires]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def observable(self, flat: Tensor) -> Tensor:
        """Pauli coefficients of U^dagger O U on the cone's wires, shape ``[4^k]``; differentiable in ``flat``."""
        transfers = self.transfers(flat)
        parts = [evolution(transfers, flat) for evolution in self.evolutions]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data ``[N, ...]`` at weights ``[n_weights]``."""
        if not self._states:
            return prepared @ self.observable(flat)
        states = torch.complex(prepared[..., 0], prepared[..., 1])
        evolved = operator_of(self.observable(flat)) @ states
        return (prepared * torch.view_as_real(evolved)).sum((-3, -2, -1))

    def norms(self, prepared: Tensor) -> Tensor:
        """Squared norms of the states of prepared data, ``[N]``: the expectation values of the identity."""
        return prepared.square().sum((-3, -2, -1)) if self._states else prepared[:, 0]


@dataclasses.dataclass(frozen=True)
class _Path:
    """How a part of an observable passes through the blocks of its cone, from the last to the first.

    Args:
        start: its coefficients before.
        shape: the number of its wires at first, the wires of each block and those of the cone, all by label: paths of
            one shape are evolved together.
        rows: where the unitary of each block lies in the stack of its number of wires.
        wires: those of the cone, in the order of their labels.
    """

    start: Tensor
    shape: tuple[int, tuple[tuple[int, ...], ...], int]
    rows: tuple[int, ...]
    wires: tuple[int, ...]

    @classmethod
    def of(cls, cone: LightCone, blocks: Sequence[Block], row: Mapping[Block, int]) -> Self:
        order = list(reversed(blocks))
        met = dict.fromkeys([*cone.observable.wires, *(wire for block in order for wire in block.wires)])
        label = {wire: number for number, wire in enumerate(met)}
        steps = tuple(tuple(label[wire] for wire in block.wires) for block in order)
        shape = len(cone.observable.wires), steps, len(label)
        return cls(cone.observable.coefficients(), shape, tuple(row[block] for block in order), tuple(label))


@dataclasses.dataclass(frozen=True)
class _Step:
    """How a block acts on coefficients with an axis of length 4 for each wire met so far.

    Args:
        size: the number of wires of the block.
        order: how axes are arranged first, those that it acts on last; None if they are in that order.
        rest: elements of the axes that it leaves alone.
        new: places, among the block's wires, of those that the observable meets for the first time: there it is the
            identity, so that only column 0 of their axis counts. The last first.
    """

    size: int
    order: tuple[int, ...] | None
    rest: int
    new: tuple[int, ...]

    @classmethod
    def of(cls, wires: Sequence[int], axes: Sequence[int]) -> tuple[Self, list[int]]:
        """The step of a block on some wires, and the axes that it leaves, from the axes there are."""
        rest = [wire for wire in axes if wire not in wires]
        order = _order([*rest, *(wire for wire in wires if wire in axes)], axes)
        new = tuple(place for place, wire in reversed(list(enumerate(wires))) if wire not in axes)
        return cls(len(wires), order, 4 ** len(rest), new), [*rest, *wires]


class _Evolution(nn.Module):
    """Parts of an observable evolved through light cones of one shape, all at once."""

    start: Tensor

    def __init__(self, paths: Sequence[_Path]) -> None:
        super().__init__()
        self._several = len(paths) > 1
        first, blocks, size = paths[0].shape
        axes = list(range(first))
        self.steps = []
        for wires in blocks:
            step, axes = _Step.of(wires, axes)
            self.steps.append(step)
        starts = torch.stack([path.start for path in paths])
        self.register_buffer("start", starts if self._several else starts[0], persistent=False)
        self._row = paths[0].rows
        # In the end the wires of the first are in ascending order, and those of the others in that of its labels.
        final = sorted(range(size), key=lambda label: paths[0].wires[label])
        self._final = _order(final, axes)
        self.wires = [tuple(path.wires[label] for label in final) for path in paths]
        for number in range(len(self.steps) if self._several else 0):
            self.register_buffer(
                f"rows_{number}", torch.tensor([path.rows[number] for path in paths]), persistent=False
            )

    def forward(self, transfers: Mapping[int, Tensor], flat: Tensor) -> Tensor:
        """Pauli coefficients on the cones' wires, one cone after the other, shape ``[paths 4^k]``."""
        coefficients = self.start.to(flat)
        lead = coefficients.shape[:-1]  # the paths, if there are several
        for number, step in enumerate(self.steps):
            stack = transfers[step.size]
            transfer = stack[getattr(self, f"rows_{number}") if self._several else self._row[number]]
            if step.new:
                columns = transfer.reshape(*lead, -1, *[4] * step.size)
                for place in step.new:
                    columns = columns.select(len(lead) + 1 + place, 0)
                transfer = columns.reshape(*lead, 4**step.size, -1)
            matrix = _arranged(coefficients, step.order, len(lead)).reshape(*lead, step.rest, -1)
            coefficients = (matrix @ transfer.mT).reshape(*lead, -1)
        return _arranged(coefficients, self._final, len(lead)).reshape(-1)


def _order(wanted: Sequence[int], axes: Sequence[int]) -> tuple[int, ...] | None:
    """Where the axes wanted are among those there are; None if they are the same."""
    return None if list(wanted) == list(axes) else tuple(axes.index(axis) for axis in wanted)


def _arranged(coefficients: Tensor, order: Sequence[int] | None, lead: int) -> Tensor:
    """Coefficients ``[..., 4^k]`` with their k axes in another order, after those that lead."""
    if order is None:
        return coefficients
    apart = coefficients.reshape(*coefficients.shape[:lead], *[4] * len(order))
    return apart.permute(*range(lead), *(lead + place for place in order))


def _number(gate: Gate) -> int:
    return gate.number


def _identity(gate: Gate) -> tuple[int, tuple[int, ...]]:
    """What tells a gate from others of all cones: a channel may act on fewer of its wires in one than in another."""
    return gate.number, tuple(gate.wires)


def _placed(block: Block, cone: LightCone, position: Mapping[tuple[int, tuple[int, ...]], int]) -> Block:
    """A block of a cone's gates as one of all gates."""
    where = [position[_identity(gate)] for gate in cone.gates]
    runs = tuple(tuple(where[place] for place in run) for run in block.runs)
    return Block(block.wires, runs, None if block.gate is None else where[block.gate])
