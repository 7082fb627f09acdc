"""Models that draw random numbers: a generator of the trial's gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from qlab.errors import ConfigError
from qlab.models.chance import TORCH, Noted, Source


class Drawing(nn.Module):
    """A module whose ``forward`` may ask for random numbers, and how they are handed to it."""

    may_draw: bool = True
    """Whether ``forward`` may ask for random numbers in training; it is called once to see which, before training."""

    draws_in_evaluation: bool = False
    """Whether metrics are evaluated with random numbers, which ``forward`` then asks for though it is no training."""

    handed: tuple[Tensor, ...] = ()
    """The random numbers for the next call in training or in an evaluation, ``[members, n, ...]`` each, in the order of
    being asked for."""

    _source: Source = TORCH

    def drop_out(self, x: Tensor, rate: float) -> Tensor:
        """Dropout for ``forward``: in training a share of the elements is set to zero and the others are scaled up.

        x_i -> x_i m_i / (1 - rate), m_i = 1 with probability 1 - rate (arXiv:1207.0580). In evaluation ``x`` as it is.

        Args:
            x: values ``[n, ...]`` with a row for each sample.
            rate: the share, in [0, 1).
        """
        if not self.training or not rate:
            return x
        return x * (self.rand_like(x) >= rate) / (1.0 - rate)

    def rand_like(self, x: Tensor) -> Tensor:
        """Random numbers for ``forward`` in training: uniform in [0, 1), one for each element of ``x``.

        The trainer draws them from a generator that the trial's seed has seeded, so that a model gets the same alone
        and in an ensemble, after an interruption and on every device. ``forward`` must ask for as many in every call.
        Ask only ``if self.training``: evaluations, landscapes and the steps of unlearning draw nothing.

        Args:
            x: ``[n, ...]``, with a row for each sample.

        Raises:
            ConfigError: the model is in evaluation mode.
        """
        if not (self.training or self.is_drawing):
            raise ConfigError(
                f"{type(self).__name__}: rand_like is for training only; write `if self.training:` before it, so that "
                "evaluations draw no random numbers."
            )
        return self._source.like(x)

    @property
    def is_drawing(self) -> bool:
        """Whether somebody has handed random numbers to this call."""
        return self._source is not TORCH

    @contextmanager
    def drawing_from(self, source: Source) -> Iterator[None]:
        """Takes the random numbers of ``forward`` from somewhere for a while."""
        before = self._source
        self._source = source
        try:
            yield
        finally:
            self._source = before


def random_shapes(
    model: Drawing, parameters: Mapping[str, Tensor], prepared: Tensor, *, evaluation: bool = False
) -> list[torch.Size]:
    """What ``forward`` asks random numbers for in training, in order: shapes without the axis of rows; found by a call.

    Args:
        model: a built model.
        parameters: of one member, by name.
        prepared: prepared features of a row or more, ``[n, ...]``.
        evaluation: in the evaluation of metrics instead.
    """
    if not (model.draws_in_evaluation if evaluation else model.may_draw):
        return []
    noted, training = Noted(), model.training
    model.train(not evaluation)
    try:
        with model.drawing_from(noted), torch.no_grad():
            functional_call(model, dict(parameters), (prepared,))
    finally:
        model.train(training)
    return noted.shapes
