"""A statevector engine, for circuits whose light cone covers the register or nearly so."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits.evolution import PARTS, Measurement, evolve, expectation_of_z
from qlab.circuits.lightcone import LightCone
from qlab.circuits.recording import Recording
from qlab.circuits.stage_matrices import StageMatrices
from qlab.circuits.stages import plan


class StatevectorEngine(nn.Module):
    """<O> of evolved states.

    The gates of the light cone are joined to a few stages, each a matrix on up to five wires that may depend on the
    basis state of further wires. Making these matrices costs as much as a few dozen states; a state then costs a matrix
    product for each stage instead of one for each gate, and reverse mode keeps a state for each stage.

    Args:
        recording: the circuit.
        cone: its light cone.
        measurement: reads off the states; by default the expectation value of the cone's observable.
    """

    batch_rows: ClassVar[bool] = True
    """Whether the cost grows with the rows: here every row is a state to evolve."""

    def __init__(self, recording: Recording, cone: LightCone, measurement: nn.Module | None = None) -> None:
        super().__init__()
        self.cone = cone
        self.n_wires = recording.n_wires
        self.stages = plan(cone.gates)
        self.matrices = StageMatrices(recording, cone.gates, self.stages)
        self.wire = cone.observable.single_z
        own = Measurement(cone.observable, range(self.n_wires)) if self.wire is None else None
        self.measurement: nn.Module | None = measurement or own

    @property
    def steps(self) -> int:
        """How many states are kept for a gradient."""
        return len(self.stages)

    def prepare(self, x: Tensor) -> Tensor:
        """Amplitudes, float64: ``[N, 2^n]`` as they are if real, else real and imaginary parts ``[N, 2^n, 2]``."""
        return torch.view_as_real(x.to(torch.complex128)).contiguous() if x.is_complex() else x.to(torch.float64)

    def norms(self, prepared: Tensor) -> Tensor:
        """Squared norms of the states of prepared data, ``[N]``."""
        return prepared.flatten(1).square().sum(1)

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data at weights ``[n_weights]``."""
        rows = prepared.shape[0]
        axes = [*range(self.n_wires), PARTS] if prepared.ndim == 3 else list(range(self.n_wires))
        states = prepared.movedim(0, -1).reshape([*[2] * len(axes), rows])
        matrices = self.matrices(flat)
        if self.measurement is not None:
            values: Tensor = self.measurement(evolve(states, axes, self.stages, matrices), axes)
            return values
        assert self.wire is not None
        amplitudes = prepared.reshape(rows, -1)
        norms = (amplitudes[:, None, :] @ amplitudes[:, :, None])[:, 0, 0]
        return expectation_of_z(states, axes, self.stages, matrices, self.wire, norms)
