"""A plain statevector engine, for circuits whose light cone covers the register or nearly so."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits.lightcone import LightCone
from qlab.circuits.matrices import Unitaries
from qlab.circuits.recording import Recording


class StatevectorEngine(nn.Module):
    """<Z_readout> of evolved states; gates outside the light cone are left out, single-qubit runs are fused.

    Args:
        recording: the circuit.
        cone: its light cone.
    """

    batch_rows: ClassVar[bool] = True
    """Whether the cost grows with the rows: here every row is a state to evolve."""

    def __init__(self, recording: Recording, cone: LightCone) -> None:
        super().__init__()
        self.cone = cone
        self.n_wires = recording.n_wires
        self.unitaries = Unitaries(recording, cone.gates)

    def prepare(self, x: Tensor) -> Tensor:
        """Real and imaginary parts of the amplitudes, shape ``[N, 2^n, 2]``, float64."""
        return torch.view_as_real(x.to(torch.complex128)).contiguous()

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data ``[N, 2^n, 2]`` at weights ``[n_weights]``."""
        rows = prepared.shape[0]
        unitaries = self.unitaries(flat)
        states = torch.complex(prepared[..., 0], prepared[..., 1])
        axes = list(range(self.n_wires))
        for block, row in zip(self.unitaries.blocks, self.unitaries.row, strict=True):
            unitary = unitaries[len(block.wires)][row]
            rest = [wire for wire in axes if wire not in block.wires]
            order = [0, *(1 + axes.index(wire) for wire in [*rest, *block.wires])]
            matrix = states.reshape(rows, *[2] * self.n_wires).permute(order).reshape(-1, 2 ** len(block.wires))
            states = matrix @ unitary.mT
            axes = [*rest, *block.wires]
        before = axes.index(self.cone.readout)
        probability = torch.view_as_real(states).square().sum(-1).reshape(rows, 2**before, 2, -1)
        marginal = probability.sum((1, 3))
        return marginal[:, 0] - marginal[:, 1]
