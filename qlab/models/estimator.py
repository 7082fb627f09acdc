"""What an estimator is: a classifier that is fitted at once and has no gradients."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.component import Component
from qlab.errors import DataError
from qlab.models.base import Features
from qlab.tasks.features import FeatureRows

Array = NDArray[np.float64]

NO_GRADIENTS = "it has no gradients"
"""Why probes of landscapes and most ways of unlearning are left out for estimators."""


class _Learns:
    """Fields stay as they are; what is learned is kept in other attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        if any(field.name == name for field in dataclasses.fields(self)):  # type: ignore[arg-type]
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)


class Estimator(_Learns, Component):
    """A binary classifier without gradients: it is fitted at once, and its decision is a logit.

    It stands in ``[[model]]`` tables beside trained models. It has no epochs, so that ``[training]`` does not apply to
    it, and no parameters to differentiate by: probes of landscapes and unlearning by gradients are left out for it.
    ``Retrain`` fits it again without the corrupted rows.

    Override in a subclass: fields, as of every component, :meth:`fit` and :meth:`decision`; :meth:`log_odds` if
    decisions are no log-odds. ``fit`` keeps what it learns in attributes, which must not be fields:
    ``self.centres = ...``. Every trial fits a copy of its own. Nothing that is learned is stored: an estimator is
    fitted again, with its fields, its seed and its data, when it is needed once more.
    """

    kind: ClassVar[str] = "model"

    engine_name: ClassVar[str] = ""
    """What it is computed by, for a tag of its runs: the version of a library, say."""

    features: ClassVar[Features | None] = None
    """What it was fitted to: decides what it takes of new rows."""

    refused: ClassVar[Mapping[str, str]] = {}
    """Keys that one could expect and that are no fields, each with what to do instead."""

    @abstractmethod
    def fit(self, x: Array, y: NDArray[np.int64], generator: np.random.Generator) -> object:
        """Learns from a training split; what it returns is not looked at.

        Args:
            x: features ``[N, d]``, float64, without those that are zero in every sample; of complex ones the real
                parts, then the imaginary parts.
            y: labels in {0, 1}, ``[N]``, of both classes.
            generator: the only source of randomness, seeded by the trial.
        """

    @abstractmethod
    def decision(self, x: Array) -> Array:
        """Logits ``[N]`` of features: above 0 for class 1; of a row alone, whatever the others are."""

    def log_odds(self, x: Array, decision: Array) -> Array | None:
        """log p / (1 - p) with the probability p of class 1, ``[N]``: what the losses are computed of.

        By default the decision itself. None where there are no probabilities: then that trial has no losses.

        Args:
            x: features.
            decision: what :meth:`decision` has made of them.
        """
        return decision

    def fresh(self) -> Self:
        """A copy to be fitted."""
        return copy.copy(self)


def inputs_of(x: FeatureRows, features: Features) -> Array:
    """Features as estimators take them: real and imaginary parts side by side, active ones only, ``[N, d]``.

    Those that are zero in every sample are left out, as :class:`qlab.models.MLP` leaves them out: ground states lie in
    a sector of the space, and padding is for amplitudes. Where a corruption changes features all of them stay.

    Args:
        x: features ``[N, d]``, real or complex.
        features: of the data set.

    Raises:
        DataError: of another length, or one that was left out is not zero here.
    """
    if x.shape[1] != features.dimension:
        raise DataError(f"The estimator was fitted to {features.dimension} features, got {x.shape[1]}.")
    parts = [_active(part, features) for part in ([x] if isinstance(x, Tensor) else x.chunks())]
    found = torch.cat(parts)
    real = torch.cat([found.real, found.imag], dim=1) if found.is_complex() else found
    return np.array(real.numpy(), dtype=np.float64, order="C")


def _active(x: Tensor, features: Features) -> Tensor:
    if bool((x[:, ~features.active] != 0).any()):
        raise DataError(
            "The estimator left out features that were zero in every sample it was fitted to, but they are nonzero "
            "here; fit it with these samples. A corruption that changes features says so in its class: "
            "changes_features = True."
        )
    rows = x[:, features.active]
    return rows.to(torch.complex128) if features.is_complex else rows
