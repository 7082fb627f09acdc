"""Fitting estimators: what training is to models with gradients."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qlab import own_code, seeding
from qlab.errors import ConfigError, DataError
from qlab.inputs import InputMap
from qlab.models.estimator import Array, Estimator, inputs_of
from qlab.models.features import Features
from qlab.tasks import Split
from qlab.tasks.features import FeatureRows
from qlab.training.data import Member
from qlab.training.health import Health, health_of
from qlab.training.metrics import accuracy, cross_entropy, of_logits


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """An estimator that was fitted.

    Args:
        estimator: it.
        metrics: those of a trained model; without losses if the estimator has no log-odds, and without what there is
            nothing to measure on.
        health: ``unconverged`` if a solver of scikit-learn says so; never ``diverged``, which is an error.
        logits: on training rows, then validation rows, ``[N + M]``, float64.
        seconds: that fitting took.
    """

    estimator: Estimator
    metrics: dict[str, float]
    health: Health
    logits: Tensor
    seconds: float


def fit(
    estimator: Estimator,
    member: Member,
    validation: Split,
    features: Features,
    *,
    test: Split | None = None,
    without: Tensor | None = None,
    inputs: Callable[[FeatureRows, Features, InputMap], Array] = inputs_of,
) -> Fitted:
    """Fits a copy of an estimator to what a trial is trained on.

    Args:
        estimator: fields of it.
        member: the training split, and the seed of ``generator``.
        validation: evaluated, never fitted to.
        features: of the data set.
        test: evaluated like the validation split.
        without: rows to leave out of what it is fitted to, ``[N]``, bool; metrics are of all rows nevertheless.
        inputs: makes what estimators take of features; one that remembers saves time.

    Raises:
        DataError: the split has one class.
        ConfigError: the estimator raises something, or what it returns makes no sense.
    """
    split = member.corrupted.split
    rows = torch.ones(len(split), dtype=torch.bool) if without is None else ~without
    classes = split.y[rows].unique().tolist()
    if len(classes) != 2:
        raise DataError(
            f"{type(estimator).__name__}: all {int(rows.sum())} labels it would be fitted to are {classes[0]}; an "
            "estimator needs both classes. Give the corruption a lower ratio, or the task more rows."
        )
    own = estimator.input_map
    x, validation_x = inputs(split.x, features, own), inputs(validation.x, features, own)
    made, start = estimator.fresh(), time.perf_counter()
    vars(made)["features"] = features
    with _convergence() as unconverged:
        _calling(
            made,
            "fit",
            lambda: made.fit(x[rows.numpy()], split.y[rows].numpy(), seeding.numpy_generator(member.seed, "fit")),
        )
    seconds = time.perf_counter() - start
    labels = split.y[None], member.corrupted.clean_y[None], member.corrupted.mask[None], validation.y
    z, metrics = _measured(made, np.concatenate([x, validation_x]), lambda found: of_logits(found, *labels))
    if test is not None:
        y = test.y.double()
        measures = {"test_loss": cross_entropy, "test_accuracy": accuracy}
        _, tested = _measured(
            made,
            inputs(test.x, features, own),
            lambda found: {name: measure(found, y) for name, measure in measures.items()},
        )
        metrics |= tested
    health = health_of(np.zeros(1), z)
    return Fitted(
        made,
        {name: float(value[0]) for name, value in metrics.items()},
        "unconverged" if unconverged and health == "healthy" else health,
        z,
        seconds,
    )


def _measured(
    estimator: Estimator, x: Array, measure: Callable[[Tensor], Mapping[str, Tensor]]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The decision ``[N]``, and metrics by name: losses of the log-odds, others of the decision ``[1, N]``."""
    found = decide(estimator, x)
    odds = _calling(estimator, "log_odds", lambda: estimator.log_odds(x, found))
    z = torch.from_numpy(found)
    metrics = {name: value for name, value in measure(z[None]).items() if odds is found or not name.endswith("_loss")}
    if odds is not None and odds is not found:
        of_odds = measure(torch.from_numpy(_checked(estimator, "log_odds", odds, len(x)))[None])
        metrics |= {name: value for name, value in of_odds.items() if name.endswith("_loss")}
    return z, metrics


def decide(estimator: Estimator, x: Array) -> Array:
    """The logits of a fitted estimator, ``[N]``, checked.

    Raises:
        ConfigError: it raises something, or returns something else.
    """
    return _checked(estimator, "decision", _calling(estimator, "decision", lambda: estimator.decision(x)), len(x))


def rows_for(estimator: Estimator, x: FeatureRows) -> Array:
    """What a fitted estimator takes of rows of its task.

    Raises:
        DataError: it is not fitted, or to other features.
    """
    if estimator.features is None:
        raise DataError(f"{type(estimator).__name__} is not fitted yet.")
    return inputs_of(x, estimator.features, estimator.input_map)


def probabilities(estimator: Estimator, x: Array) -> Array | None:
    """The probabilities of class 1 of a fitted estimator, ``[N]``; None if it has none."""
    odds = log_odds(estimator, x)
    return None if odds is None else torch.from_numpy(odds).sigmoid().numpy()


def log_odds(estimator: Estimator, x: Array) -> Array | None:
    """The log-odds of class 1 of a fitted estimator, ``[N]``, checked; None if it has no probabilities."""
    decision = decide(estimator, x)
    odds = _calling(estimator, "log_odds", lambda: estimator.log_odds(x, decision))
    return None if odds is None else _checked(estimator, "log_odds", odds, len(x))


def check_seeded(estimator: Estimator, member: Member, validation: Split, fitted: Fitted) -> None:
    """Fits an own estimator once more with the same seed.

    Raises:
        ConfigError: it decides otherwise, so that no result could be had again.
    """
    features = fitted.estimator.features
    if features is None or type(estimator).__module__.partition(".")[0] in ("qlab", "sklearn"):
        return
    again = fit(estimator, member, validation, features).logits
    if not torch.allclose(again, fitted.logits, rtol=1e-6, atol=1e-9):
        raise ConfigError(
            f"{own_code.method(type(estimator), 'fit')} gives other decisions for the same seed, so no result could be "
            "had again. Draw from the generator it is given: generator.normal(size=n), or pass "
            "random_state=int(generator.integers(2**32))."
        )


def _calling(estimator: Estimator, name: str, call: Callable[[], Any]) -> Any:
    where = own_code.method(type(estimator), name)
    try:
        return own_code.calling(where, call, memory=True)
    except ConfigError as error:
        if isinstance(error.__cause__, dataclasses.FrozenInstanceError):
            raise ConfigError(
                f"{error} What is learned is kept in attributes that are no fields; leave @dataclass(frozen=True) out, "
                "which forbids them."
            ) from error
        raise


def _checked(estimator: Estimator, name: str, found: Any, rows: int) -> Array:
    """What an estimator returns, if it is a number for each row."""
    where = own_code.method(type(estimator), name)
    try:
        values = np.asarray(found)
        if values.dtype.kind not in "fiub":
            raise TypeError
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: got {type(found).__name__}, accepts an array of real numbers, [N].") from None
    if values.shape != (rows,):
        hint = ": z[:, 0]" if values.shape == (rows, 1) else ": z[:, 1] - z[:, 0]" if values.shape == (rows, 2) else ""
        raise ConfigError(f"{where}: got the shape {list(values.shape)} for {rows} rows, accepts [{rows}]{hint}.")
    if bad := int((~np.isfinite(values)).sum()):
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ConfigError(
            f"{where}: {bad} of {rows} values are NaN or infinite, the first in row {first} of those it was given; "
            "return finite numbers."
        )
    return values


@contextmanager
def _convergence() -> Iterator[list[str]]:
    """The warnings of solvers that have not converged; others go on to whom they are for."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    for item in caught:
        if item.category.__name__ == "ConvergenceWarning":
            found.append(str(item.message))
        else:
            warnings.warn_explicit(str(item.message), item.category, item.filename, item.lineno, registry=_said)


_said: dict[Any, int] = {}
"""The warnings that have been passed on: they are not said again for every trial."""
