"""States of many rows as one tensor, evolved stage by stage, and what is read off them.

A state tensor has an axis of length 2 for each wire, one for real and imaginary part (unless it is real), and last the
rows: matrices then act on whole rows of memory, and rearranging wires moves long pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qlab.circuits.observables import PauliSum
from qlab.circuits.stages import Stage

PARTS = -1
"""Stands for real and imaginary part among the axes of states, as if they were two states of a wire."""

_I_POWERS = (1.0 + 0.0j, 0.0 + 1.0j, -1.0 + 0.0j, 0.0 - 1.0j)


def evolve(states: Tensor, axes: list[int], stages: Sequence[Stage], matrices: Sequence[Tensor]) -> Tensor:
    """States after some stages; ``axes`` are changed to those of the result.

    Args:
        states: shape ``[2, ..., 2, rows]``.
        axes: what the axes before the last one are: wires, or :data:`PARTS`.
        stages: to be applied in order.
        matrices: theirs, complex, ``[2^controls, 2^targets, 2^targets]``.
    """
    for stage, matrix in zip(stages, matrices, strict=True):
        factor, columns, into, targets = _arranged(states, axes, stage, matrix)
        axes[:] = [*stage.controls, *targets, *into]
        states = (factor @ columns).reshape([*[2] * len(axes), states.shape[-1]])
    return states


def expectation_of_z(
    states: Tensor, axes: list[int], stages: Sequence[Stage], matrices: Sequence[Tensor], wire: int, norms: Tensor
) -> Tensor:
    """<Z> of one wire after some stages, ``[rows]``.

    Args:
        states: as in :func:`evolve`.
        axes: as there.
        stages: as there.
        matrices: as there.
        wire: the one that is measured.
        norms: squared norms of the states, ``[rows]``.
    """
    rows = states.shape[-1]
    states = evolve(states, axes, stages[:-1], matrices[:-1])
    # |x|^2 is conserved: of the probabilities of 0 and 1 the first is enough.
    if stages and wire in stages[-1].targets:
        factor, columns, _, targets = _arranged(states, axes, stages[-1], matrices[-1])
        zero = _upper(factor, 2 ** targets.index(wire)) @ columns
    else:
        states = evolve(states, axes, stages[-1:], matrices[-1:])
        zero = states.select(axes.index(wire), 0)
    return 2.0 * zero.reshape(-1, rows).square().sum(0) - norms


def by_basis_state(states: Tensor, axes: Sequence[int], wires: Sequence[int]) -> Tensor:
    """States as in :func:`evolve` with all wires in order on one axis, ``[parts, 2^n, rows]``: one part if real."""
    order = [PARTS, *wires] if PARTS in axes else list(wires)
    return states.permute(*(axes.index(wire) for wire in order), -1).reshape(-1, 2 ** len(wires), states.shape[-1])


class Measurement(nn.Module):
    """<O> of states, for any sum of Pauli words.

    A word is X on some wires times Z on some, up to a phase: words with the same X are one diagonal, so that an
    evaluation costs a pass over the states for each set of wires with X or Y.

    Args:
        observable: what is measured.
        wires: those of the states.
    """

    def __init__(self, observable: PauliSum, wires: Sequence[int]) -> None:
        super().__init__()
        self.wires = tuple(wires)
        index = torch.arange(2 ** len(wires))
        bit = {wire: len(wires) - 1 - position for position, wire in enumerate(wires)}
        diagonals: dict[int, Tensor] = {}
        for coefficient, word in observable.terms:
            flips = sum(1 << bit[wire] for wire, letter in word if letter in "XY")
            signs = [bit[wire] for wire, letter in word if letter in "YZ"]
            turned = index ^ flips  # Y = i X Z: the signs are those of the state before it is flipped
            sign = torch.ones(len(index), dtype=torch.float64)
            for position in signs:
                sign = sign * (1.0 - 2.0 * (turned >> position & 1))
            phase = coefficient * _I_POWERS[sum(letter == "Y" for _, letter in word) % 4]
            diagonals[flips] = diagonals.get(flips, torch.zeros(len(index), dtype=torch.complex128)) + phase * sign
        self._flips = tuple(diagonals)
        for number, (flips, diagonal) in enumerate(diagonals.items()):
            self.register_buffer(f"turned_{number}", index ^ flips, persistent=False)
            self.register_buffer(f"real_{number}", diagonal.real.contiguous(), persistent=False)
            imaginary = diagonal.imag.contiguous()
            self.register_buffer(f"imaginary_{number}", imaginary if bool(imaginary.any()) else None, persistent=False)

    def forward(self, states: Tensor, axes: Sequence[int]) -> Tensor:
        """Expectation values ``[rows]`` of states as in :func:`evolve`."""
        rows = states.shape[-1]
        flat = by_basis_state(states, axes, self.wires)
        total = torch.zeros(rows, dtype=states.dtype, device=states.device)
        for number, flips in enumerate(self._flips):
            other = flat if not flips else flat[:, getattr(self, f"turned_{number}")]
            total = total + getattr(self, f"real_{number}").to(states) @ (flat * other).sum(0)
            imaginary = getattr(self, f"imaginary_{number}")
            if imaginary is not None and len(flat) == 2:
                total = total - imaginary.to(states) @ (flat[0] * other[1] - flat[1] * other[0])
        return total


def _arranged(
    states: Tensor, axes: Sequence[int], stage: Stage, matrix: Tensor
) -> tuple[Tensor, Tensor, list[int], list[int]]:
    """A stage's matrix in real numbers, states as columns for it, the remaining wires, and its targets with the parts.

    Returns:
        Factor ``[controls, out, in]``, columns ``[controls, in, ...]``, and axes.
    """
    targets = [PARTS, *stage.targets]
    others = [wire for wire in axes if wire not in targets and wire not in stage.controls]
    into = [*stage.controls, *(wire for wire in targets if wire in axes), *others]
    factor = _real(matrix, of_real=PARTS not in axes)
    columns = states.permute(*(axes.index(wire) for wire in into), -1)
    return factor, columns.reshape(factor.shape[0], factor.shape[2], -1), others, targets


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
