"""A statevector engine, for circuits whose light cone covers the register or nearly so."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits.lightcone import LightCone
from qlab.circuits.recording import Recording
from qlab.circuits.stage_matrices import StageMatrices
from qlab.circuits.stages import plan

_PARTS = -1
"""Stands for real and imaginary part among the axes of states, as if they were two states of a wire."""


class StatevectorEngine(nn.Module):
    """<Z_readout> of evolved states.

    The gates of the light cone are joined to a few stages, each a matrix on up to five wires that may depend on the
    basis state of further wires. Making these matrices costs as much as a few dozen states; a state then costs a matrix
    product for each stage instead of one for each gate, and reverse mode keeps a state for each stage.

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
        self.stages = plan(cone.gates)
        self.matrices = StageMatrices(recording, cone.gates, self.stages)

    def prepare(self, x: Tensor) -> Tensor:
        """Amplitudes, float64: ``[N, 2^n]`` as they are if real, else real and imaginary parts ``[N, 2^n, 2]``."""
        return torch.view_as_real(x.to(torch.complex128)).contiguous() if x.is_complex() else x.to(torch.float64)

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data at weights ``[n_weights]``."""
        rows = prepared.shape[0]
        axes = [*range(self.n_wires), _PARTS] if prepared.ndim == 3 else list(range(self.n_wires))
        # Rows come last: matrices then act on whole rows of memory, and rearranging wires moves long pieces.
        states = prepared.movedim(0, -1).reshape([*[2] * len(axes), rows])
        for number, (stage, matrix) in enumerate(zip(self.stages, self.matrices(flat), strict=True)):
            targets = [_PARTS, *stage.targets]
            others = [wire for wire in axes if wire not in targets and wire not in stage.controls]
            into = [*stage.controls, *(wire for wire in targets if wire in axes), *others]
            factor = _real(matrix, of_real=_PARTS not in axes)
            columns = states.permute(*(axes.index(wire) for wire in into), -1)
            columns = columns.reshape(factor.shape[0], factor.shape[2], -1)
            if number == len(self.stages) - 1 and self.cone.readout in targets:
                # |x|^2 is conserved: of the probabilities of 0 and 1 the first is enough.
                zero = _upper(factor, 2 ** targets.index(self.cone.readout)) @ columns
                break
            axes = [*stage.controls, *targets, *others]
            states = (factor @ columns).reshape([*[2] * len(axes), rows])
        else:
            zero = states.select(axes.index(self.cone.readout), 0)
        amplitudes = prepared.reshape(rows, -1)
        norms = (amplitudes[:, None, :] @ amplitudes[:, :, None])[:, 0, 0]
        return 2.0 * zero.reshape(-1, rows).square().sum(0) - norms


def _real(matrices: Tensor, *, of_real: bool) -> Tensor:
    """Complex ``[..., a, b]`` as real matrices that act on real parts above imaginary parts, or on real states alone.

    Multiplying takes as many operations; but the conjugates of reverse mode, which PyTorch would write down for whole
    states, become transposes, which it does not.

    Returns:
        Shape ``[..., 2 a, 2 b]``, or ``[..., 2 a, b]`` if ``of_real``.
    """
    real, imaginary = matrices.real, matrices.imag
    left = torch.cat([real, imaginary], dim=-2)
    return left if of_real else torch.cat([left, torch.cat([-imaginary, real], dim=-2)], dim=-1)


def _upper(factor: Tensor, before: int) -> Tensor:
    """Of matrices ``[controls, out, in]`` the rows in which a wire is 0, ``[controls, out / 2, in]``.

    Args:
        factor: the matrices.
        before: the number of states of the wires before that wire.
    """
    split = factor.reshape(factor.shape[0], before, 2, -1, factor.shape[2])
    return split[:, :, 0].reshape(factor.shape[0], -1, factor.shape[2])
