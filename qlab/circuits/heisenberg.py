"""The light-cone engine: evolves the readout through its cone, and meets the data as Pauli expectation values."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits.lightcone import LightCone
from qlab.circuits.matrices import Unitaries
from qlab.circuits.pauli import pauli_expectations, transfer_matrices
from qlab.circuits.recording import Recording


class HeisenbergEngine(nn.Module):
    """<Z_readout> = sum_P c_P(theta) tr(rho P), P over the Pauli strings on the k wires of the light cone.

    The data enter once, as expectation values of 4^k Pauli strings; after that an evaluation costs the same for
    any number of qubits outside the cone. The observable is evolved through a list of real transfer matrices.

    Args:
        recording: the circuit.
        cone: its light cone.
    """

    batch_rows: ClassVar[bool] = False
    """Whether the cost grows with the rows: here the evolution of the observable, free of data, dominates."""

    def __init__(self, recording: Recording, cone: LightCone) -> None:
        super().__init__()
        self.cone = cone
        self.n_wires = recording.n_wires
        self.unitaries = Unitaries(recording, cone.gates)

    def prepare(self, x: Tensor) -> Tensor:
        """Pauli expectation values on the cone, shape ``[N, 4^k]``, float64."""
        return pauli_expectations(x, self.cone.wires, self.n_wires)

    def observable(self, flat: Tensor) -> Tensor:
        """Pauli coefficients of U^dagger Z U on the cone's wires, shape ``[4^k]``; differentiable in ``flat``."""
        transfers = {k: transfer_matrices(unitaries) for k, unitaries in self.unitaries(flat).items()}
        axes = [self.cone.readout]
        coefficients = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=flat.dtype, device=flat.device)
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

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data ``[N, 4^k]`` at weights ``[n_weights]``."""
        return prepared @ self.observable(flat)
