"""The matrices of stages as a function of the weights: small circuits of their own, evaluated on all basis states."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from qlab.circuits.gate_matrices import GateMatrices, Run, RunProducts, kron
from qlab.circuits.recording import Gate, Recording
from qlab.circuits.stages import Masks, Stage, commute, masks


@dataclasses.dataclass
class Step:
    """Gates of a stage that are applied at once.

    Args:
        kind: "local": single-qubit gates on targets; "phase": diagonal gates; "dense": one gate of any other kind.
        gates: their positions, in circuit order.
        masks: the wires on which they are not diagonal, and those on which they are.
    """

    kind: Literal["local", "phase", "dense"]
    gates: list[int]
    masks: Masks


def steps(gates: Sequence[Gate], stage: Stage) -> list[Step]:
    """The steps of a stage, in order; every gate joins the first step that it can reach by commuting."""
    found: list[Step] = []
    for position in stage.gates:
        gate = gates[position]
        kind: Literal["local", "phase", "dense"] = "phase" if gate.diagonal_on == set(gate.wires) else "dense"
        if len(gate.wires) == 1 and gate.wires[0] in stage.targets:
            kind = "local"
        own = masks(gate)
        joined: Step | None = None
        for step in reversed(found):
            if step.kind == kind != "dense":
                joined = step
            if not commute(own, step.masks):
                break
        if joined is None:
            joined = Step(kind, [], (0, 0))
            found.append(joined)
        joined.gates.append(position)
        joined.masks = (joined.masks[0] | own[0], joined.masks[1] | own[1])
    return found


class StageMatrices(nn.Module):
    """For each stage a matrix on its targets for every basis state of its controls.

    Steps of one kind and size are computed together over all stages, since all of them are small.

    Args:
        recording: supplies the gate parameters.
        gates: the gates of the circuit.
        stages: positions refer to ``gates``.
    """

    def __init__(self, recording: Recording, gates: Sequence[Gate], stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stages = tuple(stages)
        self._wires = [gate.wires for gate in gates]
        self._gates = GateMatrices(recording, gates)
        self._steps = [steps(gates, stage) for stage in stages]
        self._place: dict[tuple[int, int], tuple[int, int]] = {}
        self._arrange_runs()
        self._arrange_phases()

    def forward(self, flat: Tensor) -> list[Tensor]:
        """The matrices of each stage, complex, shape ``[2^controls, 2^targets, 2^targets]``."""
        matrices = self._gates(flat)
        runs = self._runs(matrices.get(1), flat)
        ready = {("local", size): kron(runs[getattr(self, f"local_{size}")]) for size in self._local_sizes}
        if self._phase_sizes:
            one = torch.ones(1, dtype=flat.dtype.to_complex(), device=flat.device)
            parts = [matrices[k].diagonal(dim1=-2, dim2=-1).reshape(-1) for k in self._gates.sizes]
            diagonals = torch.cat([one, *parts])
            for size in self._phase_sizes:
                ready["phase", size] = self._phases(diagonals, getattr(self, f"phase_{size}"))
        return [self._matrix(number, matrices, ready, flat) for number in range(len(self.stages))]

    def _matrix(
        self, number: int, matrices: dict[int, Tensor], ready: dict[tuple[str, int], Tensor], flat: Tensor
    ) -> Tensor:
        """The steps of a stage one after the other, applied to all basis states of its targets."""
        stage = self.stages[number]
        n_controls, size = 2 ** len(stage.controls), 2 ** len(stage.targets)
        product = torch.eye(size, dtype=flat.dtype.to_complex(), device=flat.device)[None]  # [1 or controls, out, in]
        for index, step in enumerate(self._steps[number]):
            if step.kind == "dense":
                product = self._widen(step.gates[0], matrices, product.expand(n_controls, -1, -1), stage)
                continue
            group, row = self._place[number, index]
            factor = ready[step.kind, group][row]
            if step.kind == "phase":
                product = factor.reshape(n_controls, size, 1) * product
            else:
                product = factor @ product if index else factor[None]
        return product.expand(n_controls, -1, -1)

    def _widen(self, position: int, matrices: dict[int, Tensor], product: Tensor, stage: Stage) -> Tensor:
        """One gate on some of a stage's wires, ``[controls, out, in]``."""
        wires = self._wires[position]
        rest = [wire for wire in (*stage.controls, *stage.targets) if wire not in wires]
        matrix = matrices[len(wires)][self._gates.row[position]]
        axes = (*stage.controls, *stage.targets)
        found = apply(matrix, product.reshape(*[2] * len(axes), -1), axes, wires)
        order = [[*wires, *rest].index(wire) for wire in axes]
        return found.reshape(*[2] * len(axes), -1).permute(*order, len(axes)).reshape(product.shape)

    def _phases(self, diagonals: Tensor, index: Tensor) -> Tensor:
        """Products over gates of their diagonals, ``[steps, 2^wires]``, by index ``[gates, steps, 2^wires]``."""
        factors = diagonals[index]
        while len(factors) > 1:  # a power of two: halves are multiplied with each other
            half = len(factors) // 2
            factors = factors[:half] * factors[half:]
        return factors[0]

    def _arrange_runs(self) -> None:
        """Fixes which products of single-qubit runs each local step multiplies, grouped by the number of targets."""
        rows: dict[int, list[list[Run]]] = {}
        for number, stage in enumerate(self.stages):
            for index, step in enumerate(self._steps[number]):
                if step.kind == "local":
                    same = rows.setdefault(len(stage.targets), [])
                    self._place[number, index] = len(stage.targets), len(same)
                    runs = [tuple(gate for gate in step.gates if self._wires[gate] == (w,)) for w in stage.targets]
                    same.append(runs)
        self._runs = RunProducts(self._gates.row, (run for same in rows.values() for runs in same for run in runs))
        self._local_sizes = tuple(rows)
        for size, same in rows.items():
            table = torch.tensor([[self._runs.row[run] for run in runs] for runs in same])
            self.register_buffer(f"local_{size}", table, persistent=False)

    def _arrange_phases(self) -> None:
        """Fixes which elements of the gates' diagonals each phase step multiplies, grouped by the number of wires."""
        starts: dict[int, int] = {}
        start = 1  # element 0 is a one, for steps with fewer gates than others
        for k, count in self._gates.sizes.items():
            starts[k] = start
            start += count * 2**k
        groups: dict[int, list[list[Tensor]]] = {}
        for number, stage in enumerate(self.stages):
            axes = (*stage.controls, *stage.targets)
            bits = {wire: torch.arange(2 ** len(axes)) >> (len(axes) - 1 - i) & 1 for i, wire in enumerate(axes)}
            for index, step in enumerate(self._steps[number]):
                if step.kind == "phase":
                    same = groups.setdefault(len(axes), [])
                    self._place[number, index] = len(axes), len(same)
                    same.append([self._elements(gate, starts, bits) for gate in step.gates])
        self._phase_sizes = tuple(groups)
        for size, same in groups.items():
            deepest = 1 << (max(map(len, same)) - 1).bit_length()
            ones = torch.zeros(2**size, dtype=torch.long)
            padded = [torch.stack([*step_gates, *[ones] * (deepest - len(step_gates))]) for step_gates in same]
            self.register_buffer(f"phase_{size}", torch.stack(padded, dim=1), persistent=False)

    def _elements(self, gate: int, starts: dict[int, int], bits: dict[int, Tensor]) -> Tensor:
        """Where a gate's phase is found for each basis state of a stage's wires."""
        wires = self._wires[gate]
        local = sum(bits[wire] << (len(wires) - 1 - i) for i, wire in enumerate(wires))
        return starts[len(wires)] + self._gates.row[gate] * 2 ** len(wires) + local


def apply(matrix: Tensor, tensor: Tensor, axes: Sequence[int], wires: Sequence[int]) -> Tensor:
    """A gate on some wires: ``tensor [2, ..., 2, columns]`` with these axes becomes ``[2^wires, rest, columns]``."""
    order = [*(axes.index(wire) for wire in wires), *(i for i, wire in enumerate(axes) if wire not in wires)]
    return matrix @ tensor.permute(*order, len(axes)).reshape(2 ** len(wires), -1)
