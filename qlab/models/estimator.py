"""What an estimator is: a classifier that is fitted at once and has no gradients."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.component import Component
from qlab.errors import DataError
from qlab.fields import AbsentMeans
from qlab.inputs import DEFAULT_SITES, InputMap, InputsName, Sites, input_map
from qlab.models.features import Features
from qlab.remembered import REMEMBERED
from qlab.tasks.features import FeatureRows

Array = NDArray[np.float64]

AMPLITUDES = input_map("Estimator", "amplitudes", DEFAULT_SITES)
"""Features as they are."""

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

    It is listed in ``[[model]]`` tables beside trained models. It has no epochs, so ``[training]`` does not apply to
    it, and no parameters to differentiate with respect to: landscape probes and gradient-based unlearning are left out
    for it. ``Retrain`` fits it again without the corrupted rows.

    Override in a subclass: fields, as for every component, :meth:`fit` and :meth:`decision`, and :meth:`log_odds` if
    decisions are not log-odds. ``fit`` keeps what it learns in attributes that are not fields: ``self.centres = ...``.
    Every trial fits a copy of its own. What is learned is not stored: an estimator is fitted again, with the same
    fields, seed and data, when it is needed once more.

    Args:
        inputs: what ``fit`` and ``decision`` are given of each row: "amplitudes", the features as they are; "modulus",
            |x_j|; or, for states of qubits (2^L features) on ``sites``: "pauli", tr(rho P) of all Pauli strings but the
            identity, 4^k - 1 on k sites, as a circuit sees them; "density", the diagonal of the reduced density matrix
            and the real and imaginary parts of what is above it, 4^k numbers.
        sites: for "pauli" and "density": how many of the last sites (4: the light cone of the paper's chain of depth
            4); or a list of sites, 0 the first, -1 the last; or "ring-D", the light cone of a ring of D rows: 2 D - 1
            sites around the last; or, for "pauli" only, "pairs", all strings on one or two sites of the chain. At most
            7. A list of numbers is a list of sites, never a sweep; a list of lists, or one that contains a string, is
            swept.
    """

    kind: ClassVar[str] = "model"

    engine_name: ClassVar[str] = ""
    """What it is computed by, for a tag of its runs: the version of a library, say."""

    features: ClassVar[Features | None] = None
    """What it was fitted to: decides what it takes of new rows."""

    refused: ClassVar[Mapping[str, str]] = {}
    """Keys that one could expect and that are no fields, each with what to do instead."""

    inputs: Annotated[InputsName, AbsentMeans("amplitudes")] = "amplitudes"
    sites: Annotated[Sites, AbsentMeans(DEFAULT_SITES)] = DEFAULT_SITES

    def __post_init__(self) -> None:
        super().__post_init__()
        input_map(type(self).__name__, self.inputs, self.sites)

    @property
    def input_map(self) -> InputMap:
        """What makes inputs of features.

        Raises:
            ConfigError: the fields do not fit together.
        """
        return input_map(type(self).__name__, self.inputs, self.sites)

    @abstractmethod
    def fit(self, x: Array, y: NDArray[np.int64], generator: np.random.Generator) -> object:
        """Learns from a training split; what it returns is not looked at.

        Args:
            x: inputs ``[N, d]``, float64: by default the features without those that are zero in every sample; of
                complex ones the real parts, then the imaginary parts.
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


def inputs_of(x: FeatureRows, features: Features, inputs: InputMap = AMPLITUDES) -> Array:
    """What an estimator is given of features, ``[N, m]``; a copy.

    Of amplitudes those that are zero in every sample are left out, as :class:`qlab.models.MLP` leaves them out: ground
    states lie in a sector of the space, and padding is for amplitudes. Where a corruption changes features all of them
    stay.

    Args:
        x: features ``[N, d]``, real or complex.
        features: of the data set.
        inputs: makes inputs of features.

    Raises:
        DataError: of another length, that have no such inputs, or one that was left out is not zero here.
    """
    if x.shape[1] != features.dimension:
        raise DataError(f"The estimator was fitted to {features.dimension} features, got {x.shape[1]}.")
    inputs = inputs.on(features.block)
    inputs.check(features.dimension, features.is_complex)
    kept = inputs.kept(features.active, features.is_complex)
    return np.concatenate([_made(part, features, inputs, kept) for part in _parts(x)])


def _parts(x: FeatureRows) -> Iterator[Tensor]:
    """All rows, those that are not held some at a time."""
    if isinstance(x, Tensor):
        yield x
        return
    start = 0
    for part in x.chunks():
        REMEMBERED.is_part(part, x, start, start + len(part))
        yield part
        start += len(part)


def _made(x: Tensor, features: Features, inputs: InputMap, kept: Tensor) -> Array:
    made = inputs(x.to(torch.complex128) if features.is_complex else x)
    if bool((made[:, ~kept] != 0).any()):
        raise DataError(
            "The estimator left out features that were zero in every sample it was fitted to, but they are nonzero "
            "here; fit it with these samples. A corruption that changes features says so in its class: "
            "changes_features = True."
        )
    return made[:, kept].to(torch.float64).numpy()
