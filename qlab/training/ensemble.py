"""The ensemble axis: one model at many parameter points, evaluated as one batched call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from qlab import seeding
from qlab.errors import ConfigError
from qlab.models.base import Model

Parameters = dict[str, Tensor]
"""Parameters by name, each with a leading axis of ensemble members."""


def initial_parameters(model: Model, seeds: Sequence[int], purpose: str = "initialization") -> Parameters:
    """Parameters of one built model drawn once for each seed, stacked along a new first axis.

    Args:
        model: a built model; its own parameters are overwritten.
        seeds: one for each member.
        purpose: names the random stream, see :mod:`qlab.seeding`.

    Raises:
        ConfigError: ``reset_parameters`` draws from something else than its generator, or leaves what setup drew.
    """
    moved = _moved(model)
    drawn: dict[str, list[Tensor]] = {}
    for seed in seeds:
        model.reset_parameters(seeding.generator(seed, purpose))
        for name, value in _values(model).items():
            drawn.setdefault(name, []).append(value)
    model.reset_parameters(seeding.generator(seeds[0], purpose))
    for name, value in _values(model).items():
        first = drawn[name][0]
        if not torch.equal(value.nan_to_num(), first.nan_to_num()):
            raise ConfigError(
                f"{type(model).__name__}.reset_parameters gives {name} different values for the same seed: it must "
                f"draw only from its generator, as in torch.nn.init.normal_(weight, generator=generator)."
            )
        if name in model.drawn_in_setup and torch.equal(moved[name], first):
            raise ConfigError(
                f"{type(model).__name__}.reset_parameters leaves {name} as setup drew it, which differs each time: "
                f"draw it from the generator, or set it."
            )
    return {name: torch.stack(parameters) for name, parameters in drawn.items()}


_MOVE = 0.3819660112501051
"""No number that anybody sets parameters to, or apart from another by."""


@torch.no_grad()
def _moved(model: Model) -> Parameters:
    """Moves what setup drew to other values, and returns them: whoever draws it again does not find it there.

    The model may have been drawn before, with the same seed; so the values it has say nothing.
    """
    moved: Parameters = {}
    for name, parameter in model.named_parameters():
        if name in model.drawn_in_setup:
            parameter.add_(_MOVE)
            moved[name] = parameter.detach().clone()
    return moved


def _values(model: Model) -> Parameters:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def trainable(model: Model, parameters: Mapping[str, Tensor]) -> Parameters:
    """Copies of stacked parameters for an optimizer: those that the model has frozen take no gradient."""
    return {
        name: parameters[name].detach().clone().requires_grad_(own.requires_grad)
        for name, own in model.named_parameters()
    }


@torch.no_grad()
def project(model: Model, parameters: Mapping[str, Tensor]) -> None:
    """Moves stacked parameters, in place, to where the model allows them, see :meth:`Model.project_parameters`."""
    for name, value in model.project_parameters(parameters).items():
        if value is not parameters[name]:
            parameters[name].copy_(value)


def member(parameters: Mapping[str, Tensor], index: int) -> Parameters:
    """The parameters of one member, detached, on the CPU."""
    return {name: parameter[index].detach().cpu().clone() for name, parameter in parameters.items()}


def stack(states: Sequence[Mapping[str, Tensor]], model: Model) -> Parameters:
    """The parameters of several models of one kind, stacked along a new first axis; buffers are left out."""
    return {name: torch.stack([state[name] for state in states]) for name, _ in model.named_parameters()}


def logits(
    model: Model, parameters: Mapping[str, Tensor], prepared: Tensor, *, shared: bool, rows: Tensor | None = None
) -> Tensor:
    """Logits of every member, shape ``[members, N]``, or ``[members, n]`` of chosen rows.

    Args:
        model: a built model; its own parameters are not used.
        parameters: stacked parameters.
        prepared: prepared features, ``[N, ...]`` if ``shared`` by all members, else ``[members, N, ...]``.
        shared: whether all members see the same rows.
        rows: which rows each member is evaluated on, ``[members, n]``; by default all.
    """
    return model.logits_of_members(parameters, prepared, shared=shared, rows=rows)
