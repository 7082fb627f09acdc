"""A measurement: one metric of one's own of one trained or unlearned model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Final

from qlab.errors import ConfigError
from qlab.experiment.asking.trial import Trial, Unlearning, content_hash, table_of
from qlab.metrics import Metric

POLLUTED = "selection"
"""What stands before a metric's name where validation rows are polluted, for a selection that sees no clean ones."""

_DISPLAYED = ("name", "when")
"""Fields that do not change a value."""


_SPLITS = ("train", "validation", "retain", "test")

BUILT_IN: Final = frozenset(
    [
        *(f"{split}_{quantity}" for split in _SPLITS for quantity in ("loss", "accuracy")),
        *("forget_accuracy_polluted", "forget_accuracy_clean"),
    ]
)
"""Metrics that every trial has anyway."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """One metric of one model, which is no part of the model's identity.

    Args:
        of: the trial or unlearning run.
        metric: the metric.
        type_name: how the experiment file names the metric's class.
        polluted: whether validation rows are corrupted as the trial's training rows are, see :data:`POLLUTED`.
    """

    of: Trial | Unlearning
    metric: Metric
    type_name: str
    polluted: bool = False

    @property
    def trial(self) -> Trial:
        """The trial, or that of the model that was unlearned."""
        return self.of if isinstance(self.of, Trial) else self.of.teacher

    @property
    def name(self) -> str:
        """Of the metric in the store."""
        return stored_name(self.metric, polluted=self.polluted)

    @property
    def over_epochs(self) -> bool:
        """Whether it is taken during training."""
        return self.metric.when == "epoch" and isinstance(self.of, Trial) and self.of.has_gradients

    @functools.cached_property
    def digest(self) -> str:
        """Of what decides the value, for a tag of the model's run: an edited metric is computed again."""
        return digest_of(self.type_name, self.metric)

    @functools.cached_property
    def key(self) -> str:
        """The identity of the measurement."""
        return content_hash({"measurement": self.name, "of": self.of.key, "digest": self.digest})

    @property
    def step(self) -> int:
        """That of the value at the end."""
        if isinstance(self.of, Unlearning):
            return self.of.unlearner.steps
        return self.of.trainer.epochs if self.of.has_gradients else 0

    @property
    def label(self) -> str:
        """A short name for people."""
        return f"{self.name} of {self.of.label}"


@dataclasses.dataclass(frozen=True, eq=False)
class AskedMetric:
    """A metric that an experiment file asks for.

    Args:
        type_name: how the file names its class.
        metric: the metric.
        polluted: see :class:`Measurement`.
    """

    type_name: str
    metric: Metric
    polluted: bool = False

    @property
    def name(self) -> str:
        """Of the metric in the store."""
        return stored_name(self.metric, polluted=self.polluted)

    @property
    def digest(self) -> str:
        """See :attr:`Measurement.digest`."""
        return digest_of(self.type_name, self.metric)

    def applies_to(self, ratio: float) -> bool:
        """Whether there are such rows at a corruption ratio."""
        return {"forget": ratio > 0.0, "retain": ratio < 1.0}.get(self.metric.on, True)

    def measurement(self, item: Trial | Unlearning) -> Measurement | None:
        """The metric of one model; None if it has no such rows, or is an estimator that has unlearned."""
        trial = item if isinstance(item, Trial) else item.teacher
        if trial is not item and not trial.has_gradients:
            return None
        if not self.applies_to(trial.corruption.ratio) or self.metric.refusal(trial.corruption):
            return None
        return Measurement(item, self.metric, self.type_name, self.polluted)


def stored_name(metric: Metric, *, polluted: bool) -> str:
    """A metric's name in the store, see :data:`POLLUTED`."""
    found = metric.logged_as
    return POLLUTED + found.removeprefix(metric.on) if polluted else found


def digest_of(type_name: str, metric: Metric) -> str:
    """Of what of a metric decides its value."""
    table = table_of(type_name, metric)
    return content_hash({key: value for key, value in table.items() if key not in _DISPLAYED})


def check_asked(asked: AskedMetric, where: str, seen: Mapping[str, str], trials: Iterable[Trial]) -> None:
    """Looks at a metric beside others and at the trials that it is of.

    Args:
        asked: the metric.
        where: its table, for messages.
        seen: the tables of the metrics before it, by name in the store.
        trials: of the file.

    Raises:
        ConfigError: its name is taken, or no trial has such rows.
    """
    name, on = asked.metric.logged_as, asked.metric.on
    if name in BUILT_IN:
        raise ConfigError(f'{where}: is logged as {name}, which is a built-in metric; give it another: name = "...".')
    if name in seen:
        also = f"as that of {seen[name]}" if seen[name] != where else "with each of its swept values"
        raise ConfigError(f'{where}: is logged as {name}, {also}; give each a table and a name: name = "...".')
    trials = list(trials)
    refusals = [asked.metric.refusal(trial.corruption) for trial in trials]
    if trials and all(refusals):
        kinds = ", ".join(dict.fromkeys(trial.names["corruption"] for trial in trials))
        raise ConfigError(f"{where}: {asked.type_name} cannot be measured with {kinds}: {refusals[0]}.")
    if not any(asked.applies_to(trial.corruption.ratio) for trial in trials):
        raise ConfigError(
            f'{where}: on = "{on}", but no trial has a {"corrupted" if on == "forget" else "clean"} row: the '
            f"corruption ratio is {0 if on == 'forget' else 1} in all; give corruption a ratio "
            f"{'above 0' if on == 'forget' else 'below 1'}, or take other rows."
        )
