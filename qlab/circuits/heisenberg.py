"""The light-cone engine: evolves the observable through its cone, and meets the data as Pauli expectation values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits.encodings import Amplitudes, Encoding
from qlab.circuits.lightcone import LightCone
from qlab.circuits.matrices import Unitaries
from qlab.circuits.pauli import transfer_matrices
from qlab.circuits.recording import Recording


class HeisenbergEngine(nn.Module):
    """<O> = sum_P c_P(theta) tr(rho P), P over the Pauli strings on the k wires of the light cone.

    The data enter once, as expectation values of 4^k Pauli strings; after that an evaluation costs the same for
    any number of qubits outside the cone. The observable is evolved through a list of real transfer matrices. Parts of
    an observable may have cones of their own; what is kept of the data and the coefficients are then joined.

    Args:
        recording: the circuit.
        cones: the light cone, or those of the parts of the observable.
        encoding: of the data; amplitudes by default.
    """

    batch_rows: ClassVar[bool] = False
    """Whether the cost grows with the rows: here the evolution of the observable, free of data, dominates."""

    def __init__(
        self, recording: Recording, cones: LightCone | Sequence[LightCone], encoding: Encoding | None = None
    ) -> None:
        super().__init__()
        self.cones = (cones,) if isinstance(cones, LightCone) else tuple(cones)
        self.encoding = encoding or Amplitudes(recording.n_wires)
        self.evolutions = nn.ModuleList(_Evolution(recording, cone) for cone in self.cones)

    @property
    def coefficients(self) -> int:
        """How many numbers are kept of each row."""
        return sum(4 ** len(cone.wires) for cone in self.cones)

    @property
    def steps(self) -> int:
        """The most blocks of gates that a part of the observable passes through."""
        return max(len(cone.unitaries.blocks) for cone in self.evolutions)  # type: ignore[union-attr, arg-type]

    def prepare(self, x: Tensor) -> Tensor:
        """Pauli expectation values on the cone, shape ``[N, 4^k]``, float64; those of several cones side by side."""
        parts = [self.encoding.pauli(x, cone.wires) for cone in self.cones]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def observable(self, flat: Tensor) -> Tensor:
        """Pauli coefficients of U^dagger O U on the cone's wires, shape ``[4^k]``; differentiable in ``flat``."""
        parts = [evolution(flat) for evolution in self.evolutions]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data ``[N, 4^k]`` at weights ``[n_weights]``."""
        return prepared @ self.observable(flat)


class _Evolution(nn.Module):
    """An observable evolved through its light cone."""

    start: Tensor

    def __init__(self, recording: Recording, cone: LightCone) -> None:
        super().__init__()
        self.cone = cone
        self.unitaries = Unitaries(recording, cone.gates)
        self.register_buffer("start", cone.observable.coefficients(), persistent=False)

    def forward(self, flat: Tensor) -> Tensor:
        """Its Pauli coefficients on the cone's wires, shape ``[4^k]``."""
        transfers = {k: transfer_matrices(unitaries) for k, unitaries in self.unitaries(flat).items()}
        axes = list(self.cone.observable.wires)
        coefficients = self.start.to(flat)
        for block, row in zip(reversed(self.unitaries.blocks), reversed(self.unitaries.row), strict=True):
            transfer = transfers[len(block.wires)][row]
            old = [wire for wire in block.wires if wire in axes]
            rest = [wire for wire in axes if wire not in block.wires]
            new = [wire for wire in block.wires if wire not in axes]
            order = [axes.index(wire) for wire in [*rest, *old]]
            matrix = coefficients.reshape([4] * len(axes)).permute(order).reshape(4 ** len(rest), 4 ** len(old))
            if new:
                # On new wires the observable is the identity: only column 0 of their axis counts.
                columns = transfer.reshape(-1, *[4] * len(block.wires))
                for position, wire in reversed(list(enumerate(block.wires))):
                    if wire in new:
                        columns = columns.select(1 + position, 0)
                transfer = columns.reshape(columns.shape[0], -1)
            coefficients = (matrix @ transfer.mT).reshape(-1)
            axes = [*rest, *block.wires]
        order = [axes.index(wire) for wire in self.cone.wires]
        return coefficients.reshape([4] * len(axes)).permute(order).reshape(-1)
