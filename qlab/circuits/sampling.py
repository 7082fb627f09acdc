"""Expectation values as a device finds them, from a number of shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from qlab.circuits.binomial import binomial_quantiles
from qlab.circuits.lightcone import LightCone
from qlab.circuits.recording import Recording
from qlab.errors import ConfigError

_SHIFT = torch.pi / 2

_ROTATIONS = frozenset({"RX", "RY", "RZ", "PhaseShift", "U1", "IsingXX", "IsingYY", "IsingZZ", "MultiRZ", "PauliRot"})
"""Gates whose generator has two eigenvalues, one apart: d<O>/da = (<O>(a + pi/2) - <O>(a - pi/2)) / 2."""


def sampled(means: Tensor, uniforms: Tensor, shots: int) -> Tensor:
    """Means of ``shots`` outcomes +1 or -1 each: 2 k / shots - 1 with k ~ Binomial(shots, (1 + mean) / 2), exactly.

    Drawn by inverting the cumulative distribution, one uniform number for each, so that a number decides nothing but
    its own outcome. Works under one level of ``torch.func.vmap``; has no gradient.

    Args:
        means: expectation values in [-1, 1], of any shape.
        uniforms: numbers in [0, 1), of the same shape.
        shots: of each.
    """
    found: Tensor = _Sampled.apply(means.detach(), uniforms.detach(), shots)
    return found


def sampled_sums(probabilities: Tensor, uniforms: Tensor, values: Tensor, sizes: Sequence[int], shots: int) -> Tensor:
    """Means of ``shots`` outcomes of each of some measurements, added.

    The counts of a measurement's V outcomes are multinomial: each is binomial given those before it, and drawn as in
    :func:`sampled`. Works under one level of ``torch.func.vmap``; has no gradient.

    Args:
        probabilities: of the outcomes of all measurements, one after the other, ``[..., sum V]``.
        uniforms: numbers in [0, 1), V - 1 for each measurement, ``[..., sum (V - 1)]``.
        values: of the outcomes, ``[sum V]``.
        sizes: the number V of outcomes of each measurement.
        shots: of each measurement.

    Returns:
        Shape ``[...]``.
    """
    found: Tensor = _SampledSums.apply(probabilities.detach(), uniforms.detach(), values, tuple(sizes), shots)
    return found


class _SampledSums(torch.autograd.Function):
    """Leaves PyTorch as :class:`_Sampled` does."""

    @staticmethod
    def forward(probabilities: Tensor, uniforms: Tensor, values: Tensor, sizes: tuple[int, ...], shots: int) -> Tensor:
        every, numbers, worth = (part.double().cpu() for part in (probabilities, uniforms, values))
        total = torch.zeros(every.shape[:-1], dtype=torch.float64)
        first = draw = 0
        for size in sizes:
            left, rest = torch.full_like(total, shots), torch.ones_like(total)
            for place in range(first, first + size - 1):
                share = (every[..., place] / rest.clamp_min(1e-300)).clamp(0.0, 1.0)
                count = binomial_quantiles(numbers[..., draw], shots if place == first else left, share)
                total += worth[place] * count
                left, rest, draw = left - count, rest - every[..., place], draw + 1
            first += size
            total += worth[first - 1] * left
        return (total / shots).to(probabilities)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None, None, None, None]:
        return None, None, None, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        probabilities: Tensor,
        uniforms: Tensor,
        values: Tensor,
        sizes: tuple[int, ...],
        shots: int,
    ) -> tuple[Tensor, int]:
        if in_dims[2] is not None:  # vmap took the buffer for a batch
            values = values.select(in_dims[2], 0)
        probabilities, uniforms = _batched(info, in_dims, probabilities, uniforms)
        return sampled_sums(probabilities, uniforms, values, sizes, shots), 0


class _Sampled(torch.autograd.Function):
    """Leaves PyTorch, also under vmap, whose batches it gets as they are."""

    @staticmethod
    def forward(means: Tensor, uniforms: Tensor, shots: int) -> Tensor:
        probability = ((1.0 + means.double()) / 2.0).clamp(0.0, 1.0).cpu()
        counts = binomial_quantiles(uniforms.double().cpu(), shots, probability)
        return (2.0 * counts / shots - 1.0).to(means)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, means: Tensor, uniforms: Tensor, shots: int) -> tuple[Tensor, int]:
        means, uniforms = _batched(info, in_dims, means, uniforms)
        return sampled(means, uniforms, shots), 0


def _batched(info: Any, in_dims: Any, *parts: Tensor) -> list[Tensor]:
    """Tensors that a rule for vmap was given, with the axis of the batch first."""
    return [
        part.movedim(dim, 0) if dim is not None else part.expand(info.batch_size, *part.shape)
        for part, dim in zip(parts, in_dims, strict=False)
    ]


def shifted_weights(recording: Recording, cone: LightCone) -> Tensor:
    """The weights inside a light cone that the parameter-shift rule differentiates: positions in the flat vector.

    Raises:
        ConfigError: a gate has another rule, an angle is computed from weights, or a weight is the angle of several
            gates.
    """
    used: list[int] = []
    for gate in cone.gates:
        if not gate.trained:
            continue
        name = gate.operation.name
        if name not in _ROTATIONS or recording.index is None:
            why = "has weights" if recording.index is not None else "has angles that are computed from weights"
            raise ConfigError(
                f'gradient = "parameter-shift" takes gates whose angle is a weight: {", ".join(sorted(_ROTATIONS))}. '
                f'The circuit\'s {name} {why}; use gradient = "exact".'
            )
        used += [int(position) for position in recording.index[list(gate.slots)] if position < recording.n_weights]
    again = [position for position in used if used.count(position) > 1]
    if again:
        raise ConfigError(
            f'gradient = "parameter-shift" takes weights that are the angle of one gate each; weight {again[0]} of the '
            f'flat vector is that of {used.count(again[0])} gates. Use gradient = "exact".'
        )
    return torch.tensor(sorted(used), dtype=torch.long)


def evaluated_at_shifts(
    engine: Callable[[Tensor, Tensor], Tensor], flat: Tensor, prepared: Tensor, used: Tensor
) -> Tensor:
    """What an engine finds with each used weight moved by +pi/2, then by -pi/2; ``[2 P, N, ...]``."""
    steps = torch.zeros(len(used), len(flat), dtype=flat.dtype, device=flat.device)
    steps = steps.scatter(1, used[:, None].to(flat.device), _SHIFT)
    flat = flat.detach()
    found: Tensor = vmap(lambda point: engine(point, prepared))(torch.cat([flat + steps, flat - steps]))
    return found.detach()
