"""Health of a trained model: what may make its numbers misleading."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Health = Literal["healthy", "collapsed", "diverged", "unreached", "unconverged"]

UNREACHED: Final = "unreached"
"""The health of a model that was to be trained up to a goal (``stop_at``) and never got there."""

SAME_OUTPUT = 1e-6
"""Logits within this of each other, relative to the largest magnitude or absolutely, are one constant output."""

STILL_FALLING = 0.01
"""Unconverged: the mean training loss of the last tenth of epochs lies this far (in nats) below the tenth before."""


def health_of(train_loss: NDArray[np.float64], logits: Tensor, epochs: int | None = None) -> Health:
    """The health of one model.

    ``diverged``: a loss or logit is not finite. ``collapsed``: the same output for every sample, as when every ReLU
    of a layer is dead. ``unconverged``: the training loss was still falling (see :data:`STILL_FALLING`). Otherwise
    ``healthy``. The first that applies, in this order.

    Args:
        train_loss: training loss after each epoch, shape ``[epochs]``, or some of them, the last fifth complete.
        logits: final logits on training and validation rows, shape ``[N]``.
        epochs: how many epochs there were; by default as many as losses.
    """
    if not bool(torch.isfinite(logits).all()) or not bool(np.isfinite(train_loss).all()):
        return "diverged"
    if is_constant(logits):
        return "collapsed"
    tenth = (len(train_loss) if epochs is None else epochs) // 10
    if tenth >= 1:
        last, before = train_loss[-tenth:].mean(), train_loss[-2 * tenth : -tenth].mean()
        if before - last > STILL_FALLING:
            return "unconverged"
    return "healthy"


def health_beside_goal(health: Health, *, reached: bool) -> Health:
    """The health of a model that was trained up to a goal.

    Where it was not reached the model is not what was asked for: ``unreached``, unless it diverged. Where it was, that
    the loss was still falling is meant.
    """
    if health == "diverged":
        return health
    if not reached:
        return UNREACHED
    return "healthy" if health == "unconverged" else health


def is_constant(logits: Tensor) -> bool:
    """Whether logits ``[N]`` are one output for all samples, see :data:`SAME_OUTPUT`."""
    spread = float(logits.max() - logits.min())
    return spread <= SAME_OUTPUT * max(1.0, float(logits.abs().max()))
