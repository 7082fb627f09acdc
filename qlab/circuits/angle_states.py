"""A statevector engine for features as angles, which may come again in the middle of the circuit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits.encodings import Angles
from qlab.circuits.evolution import PARTS, Measurement, evolve, expectation_of_z
from qlab.circuits.lightcone import LightCone
from qlab.circuits.recording import Gate, Recording
from qlab.circuits.stage_matrices import StageMatrices
from qlab.circuits.stages import Stage, plan
from qlab.circuits.uploads import is_upload
from qlab.deferred import Deferred

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


class AngleStatevectorEngine(nn.Module):
    """<O> of evolved product states, of the k qubits of the light cone alone.

    Where the circuit uploads the data again it is cut. With B = S H (and B = H for RX) a row of rotations by the
    features is B diag(exp(i phi)) B^dagger: B and its inverse join the stages, which are the same for all rows, and
    between them each state is multiplied by phases, the same at all uploads.

    Args:
        recording: the circuit.
        cone: its light cone.
        encoding: of the data.
        measurement: reads off the states; by default the expectation value of the cone's observable.
    """

    batch_rows: ClassVar[bool] = True

    signs: Tensor

    def __init__(
        self, recording: Recording, cone: LightCone, encoding: Angles, measurement: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.cone = cone
        self.encoding = encoding
        self.wires = cone.wires
        self.n_wires = len(cone.wires)
        parts = _cut(cone.gates)
        into, out = _basis(self.wires, encoding)
        # RX(a)|0> = S^dagger RY(a)|0>: states always begin as real ones.
        gates = [_turned(self.wires, qml.adjoint(qml.S)) if encoding.rotation == "RX" else []]
        gates += [list(into) for _ in parts[1:]]
        for number, part in enumerate(parts):
            gates[number] += [*part, *(out if number < len(parts) - 1 else ())]
        self.stages: list[tuple[Stage, ...]] = [plan(some) for some in gates]
        self.matrices = nn.ModuleList(
            StageMatrices(recording, some, stages) for some, stages in zip(gates, self.stages, strict=True)
        )
        self.wire = cone.observable.single_z
        own = Measurement(cone.observable, self.wires) if self.wire is None else None
        self.measurement: nn.Module | None = measurement or own
        k = len(self.wires)
        bits = torch.arange(2**k)[:, None] >> torch.arange(k - 1, -1, -1) & 1
        self.register_buffer("signs", bits.to(torch.float64) - 0.5, persistent=False)

    @property
    def steps(self) -> int:
        """How many states are kept for a gradient."""
        return sum(map(len, self.stages)) + 2 * len(self.stages)

    def prepare(self, x: Tensor) -> Tensor:
        """Angles of the wires in the cone, ``[N, k]``, float64."""
        return self.encoding.angles(x)[:, list(self.wires)]

    def norms(self, prepared: Tensor) -> Tensor:
        """Squared norms of the states of prepared data, ``[N]``: ones."""
        return torch.ones_like(prepared[:, 0])

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data at weights ``[n_weights]``."""
        rows, k = prepared.shape
        axes = list(self.wires)
        states = self._product(prepared).reshape([*[2] * k, rows])
        matrices = [some(flat) for some in self.matrices]
        if len(self.stages) > 1:
            angles = (self.signs.to(prepared) @ prepared.mT).reshape([*[2] * k, rows])
            cosine, sine = torch.cos(angles), torch.sin(angles)
        for stages, some in zip(self.stages[:-1], matrices[:-1], strict=True):
            states = evolve(states, axes, stages, some)
            states = self._phased(states, axes, cosine, sine)
        if self.measurement is not None:
            values: Tensor = self.measurement(evolve(states, axes, self.stages[-1], matrices[-1]), axes)
            return values
        assert self.wire is not None
        norms = torch.ones(rows, dtype=states.dtype, device=states.device)
        return expectation_of_z(states, axes, self.stages[-1], matrices[-1], self.wire, norms)

    def _product(self, angles: Tensor) -> Tensor:
        """RY(a_1)|0> ... RY(a_k)|0> for rows of angles ``[N, k]``; shape ``[2^k, N]``, real."""
        pairs = torch.stack([torch.cos(angles / 2), torch.sin(angles / 2)]).movedim(-1, 0)  # [k, 2, N]
        found = pairs[0]
        for pair in pairs[1:]:
            found = (found[:, None] * pair).reshape(-1, angles.shape[0])
        return found

    def _phased(self, states: Tensor, axes: Sequence[int], cosine: Tensor, sine: Tensor) -> Tensor:
        """States times exp(i phi), with the phases of each row."""
        place = axes.index(PARTS)
        order = [self.wires.index(wire) for wire in axes if wire != PARTS]
        cosine, sine = (part.permute(*order, -1) for part in (cosine, sine))
        real, imaginary = states.select(place, 0), states.select(place, 1)
        return torch.stack([real * cosine - imaginary * sine, imaginary * cosine + real * sine], dim=place)


def _cut(gates: Sequence[Gate]) -> list[list[Gate]]:
    """The gates before, between and after the uploads."""
    parts: list[list[Gate]] = [[]]
    last: Gate | None = None
    for gate in gates:
        if not is_upload(gate.operation):
            parts[-1].append(gate)
        elif last is None or not is_upload(last.operation) or gate.wires[0] <= last.wires[0]:
            parts.append([])
        last = gate
    return parts


def _basis(wires: Sequence[int], encoding: Angles) -> tuple[list[Gate], list[Gate]]:
    """Gates from the eigenbasis of the rotations, B, and into it, B^dagger."""
    hadamards = _turned(wires, qml.Hadamard)
    if encoding.rotation == "RX":
        return hadamards, hadamards
    return [*hadamards, *_turned(wires, qml.S)], [*_turned(wires, qml.adjoint(qml.S)), *hadamards]


def _turned(wires: Sequence[int], gate: object) -> list[Gate]:
    """One constant gate on every wire."""
    with qml.QueuingManager.stop_recording():
        operations = [gate(wires=wire) for wire in wires]  # type: ignore[operator]
    return [Gate(operation, tuple(operation.wires), (), frozenset(), -1, True, False) for operation in operations]
