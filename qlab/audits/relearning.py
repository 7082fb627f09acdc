"""Relearning: how fast polluted labels come back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab.models import Model
from qlab.training import ensemble
from qlab.training.metrics import accuracy, logits_of
from qlab.training.optimizers import Adam


def relearning_curves(
    model: Model,
    parameters: ensemble.Parameters,
    learned: tuple[Tensor, Tensor],
    watched: Mapping[str, tuple[Tensor, Tensor]],
    steps: int,
    learning_rate: float,
) -> dict[str, Tensor]:
    """Accuracy on some rows while every member learns others anew, before the first step and after each.

    Full-batch Adam on the cross-entropy of the learned rows alone. Labels that come back sooner than in a model that
    never had them were hidden, not forgotten; those of rows that are not learned are the stronger sign.

    Args:
        model: a built model.
        parameters: first axis: member; they are not changed.
        learned: prepared features ``[n, ...]`` and labels ``[n]`` that are learned.
        watched: the same of rows that accuracy is measured on, by name.
        steps: how many.
        learning_rate: Adam's.

    Returns:
        By the names of ``watched``, shape ``[members, steps + 1]``, float64.
    """
    x, y = learned
    learner = ensemble.trainable(model, parameters)
    optimizer = Adam(learner, learning_rate)
    found: dict[str, list[Tensor]] = {name: [] for name in watched}
    for step in range(steps + 1):
        for name, (rows, labels) in watched.items():
            found[name].append(accuracy(logits_of(model, learner, rows), labels.double()))
        if step == steps:
            break
        optimizer.zero_grad()
        z = ensemble.logits(model, learner, x, shared=True)
        labels = y.to(z.dtype).expand_as(z)
        binary_cross_entropy_with_logits(z, labels, reduction="none").mean(1).sum().backward()
        optimizer.step()
        ensemble.project(model, learner)
    return {name: torch.stack(values, dim=1) for name, values in found.items()}
