"""Which parameters a method changes, and where they begin anew."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from qlab import own_code
from qlab.errors import ConfigError, QlabError
from qlab.losses import Loss
from qlab.models import Model
from qlab.training import ensemble
from qlab.training.metrics import CROSS_ENTROPY
from qlab.unlearning.base import Unlearner
from qlab.unlearning.learner import layers_of, trained_shapes, unflattened


@dataclasses.dataclass(frozen=True, eq=False)
class Changed:
    """The parameters that a method changes.

    Args:
        masks: for each trained parameter which of its elements are, in its shape; frozen ones have none.
        positions: theirs in the model's flat parameter vector, ascending; None for all.
    """

    masks: dict[str, Tensor]
    positions: Tensor | None

    @classmethod
    def of(cls, unlearner: Unlearner, model: Model, device: torch.device) -> Self:
        """Those of a method on a built model.

        Raises:
            ConfigError: the method names layers that the model does not have, or none.
        """
        shapes = trained_shapes(model)
        everything = {name: torch.ones(shape, dtype=torch.bool, device=device) for name, shape in shapes.items()}
        if type(unlearner).changed_layers is Unlearner.changed_layers:
            return cls(everything, None)
        layers = layers_of(model)
        chosen = list(unlearner.changed_layers(tuple(layers)))
        name, kind = own_code.method(type(unlearner), "changed_layers"), type(model).__name__
        if unknown := [layer for layer in chosen if layer not in layers]:
            raise ConfigError(f"{name}: {kind} has no layer {unknown[0]!r}; it has {', '.join(layers)}.")
        if not chosen:
            raise ConfigError(f"{name}: there is no layer to change; {kind} has {', '.join(layers)}.")
        if set(chosen) == set(layers):
            return cls(everything, None)
        flat = torch.zeros(model.n_parameters(), dtype=torch.bool)
        for layer in chosen:
            flat[layers[layer]] = True
        return cls(unflattened(flat.to(device), shapes), torch.nonzero(flat).flatten().to(device))

    def mixed(self, old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Stacked parameters with new values where they are changed."""
        return {name: torch.where(mask, new[name], old[name]) for name, mask in self.masks.items()}

    def clear_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        """Sets the gradients of what is not changed to zero: neither SGD nor Adam then moves it."""
        if self.positions is None:
            return
        for name, mask in self.masks.items():
            if (gradient := parameters[name].grad) is not None:
                gradient.mul_(mask)


def check_method(
    unlearner: Unlearner, model: Model, loss: Loss = CROSS_ENTROPY, weight_decay: float = 0.0, called: str = ""
) -> None:
    """Whether a method can be applied to a built model.

    Args:
        unlearner: the method.
        model: the model.
        loss: that it is trained with.
        weight_decay: of its L2 penalty.
        called: what the method is called in messages; by default its class.

    Raises:
        QlabError: it cannot, or names layers that the model does not have.
    """
    try:
        unlearner.check_model(model)
        unlearner.check_training(model, loss, weight_decay)
        Changed.of(unlearner, model, torch.device("cpu"))
    except QlabError as error:
        raise type(error)(f"{called or type(unlearner).__name__}: {error}") from error


def fresh_parameters(model: Model, seeds: Sequence[int], device: torch.device) -> ensemble.Parameters:
    """Newly drawn parameters of untrained models, stacked; drawn on the CPU, where the generators are."""
    drawn = ensemble.initial_parameters(copy.deepcopy(model).to("cpu"), seeds, "unlearning-untrained")
    return {name: value.to(device) for name, value in drawn.items()}
