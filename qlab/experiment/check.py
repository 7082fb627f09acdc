"""Trying an experiment's classes in the small: few rows, a few epochs, one seed, one model at a time, twice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.component import name_of
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.measurement import AskedMetric
from qlab.experiment.asking.trial import ALL_KNOWN, ProbeRun, Trial, Unlearning
from qlab.experiment.jobs.base import Inputs, Result
from qlab.experiment.jobs.materials import Materials, Setting
from qlab.experiment.jobs.measured_rows import evaluated
from qlab.experiment.jobs.oracles import TrainOracles
from qlab.experiment.jobs.probe import TakeProbe
from qlab.experiment.jobs.train import Train
from qlab.experiment.jobs.unlearn import Unlearn
from qlab.losses import CrossEntropy
from qlab.metrics.evaluation import value_of
from qlab.models import Features, Model
from qlab.models.rows import prepare_features
from qlab.noise import Channel
from qlab.tasks import Dataset, Split
from qlab.tasks.base import digest
from qlab.training import Member
from qlab.training.fitting import check_seeded, fit
from qlab.training.state import TrainingState
from qlab.words import counted

_ROWS = 8
"""At least so many rows are trained on, where there are as many."""

_EPOCHS = 3
"""At most so many epochs, which are enough for a trajectory that spans a plane."""

_CLOSE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Parameters trained with and without ``torch.func.vmap`` differ by rounding only."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Check:
    """Something that was tried.

    Args:
        what: of the experiment.
        said: what was seen; empty if it failed.
        error: why it failed.
    """

    what: str
    said: str = ""
    error: BaseException | None = None


class _Failed(Exception):
    """What was tried failed; that has been said."""


class Checker:
    """Tries all classes of an experiment; nothing is stored.

    Args:
        experiment: the experiment.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._materials = Materials(Setting("cpu"))

    def run(self) -> Iterator[Check]:
        """One check after the other; what needs something that failed is not tried."""
        trials = self._experiment.trials
        for task in {id(trial.task): trial.task for trial in trials}.values():
            own = [trial for trial in trials if trial.task is task]
            yield from self._group(f"task {own[0].names['task']}", self._try_task(own))

    def _group(self, what: str, tries: Iterator[Check]) -> Iterator[Check]:
        try:
            yield from tries
        except _Failed:
            return
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            yield Check(what, error=error)

    def _try_task(self, trials: list[Trial]) -> Iterator[Check]:
        task, name = trials[0].task, f"task {trials[0].names['task']}"
        data, again = self._materials.dataset(task), self._materials.load(task)
        for part, one, other in (("train", data.train, again.train), ("validation", data.validation, again.validation)):
            if digest(one.x) != digest(other.x) or not torch.equal(one.y, other.y):
                raise DataError(
                    f"{name}: load() gives another {part} split each time; draw from a generator with a fixed seed: "
                    "torch.Generator().manual_seed(0)."
                )
        test = f", {len(data.test)} test rows" if data.test is not None else ""
        yield Check(
            name,
            f"{len(data.train)} training and {len(data.validation)} validation rows{test} of "
            f"{data.train.x.shape[1]} features",
        )
        corruptions: dict[str, list[Trial]] = {}
        for trial in _first(trials, lambda trial: (trial.names["corruption"], trial.corruption.config())):
            others = {key: value for key, value in trial.corruption.config().items() if key != "ratio"}
            corruptions.setdefault(repr((trial.names["corruption"], others)), []).append(trial)
        for alike in corruptions.values():
            yield from self._group(_named(alike), self._try_corruptions(alike))
        for trial in _first(sorted(trials, key=_no_partition), lambda trial: trial.ensemble_key):
            yield from self._group(f"model {trial.names['model']}{_with_parts(trial)}", self._try_model(trial, data))

    def _try_corruptions(self, trials: list[Trial]) -> Iterator[Check]:
        data = self._materials.dataset(trials[0].task)
        masks = [Member.of(trial.task, data, trial.corruption, trial.seed).corrupted.mask for trial in trials]
        yield Check(_named(trials), f"{_listed([int(mask.sum()) for mask in masks])} of {len(masks[0])} rows")

    def _try_model(self, trial: Trial, data: Dataset) -> Iterator[Check]:
        small = _Small(trial, data, trial.trainer.batch_size if trial.has_gradients else len(data.train))
        own = small.trial
        if not own.has_gradients:
            yield self._try_estimator(small)
            return
        what = f"model {trial.names['model']} on {trial.names['task']}, {trial.names['corruption']}{_with_parts(trial)}"
        one, again = (small.train(own, vmap=False) for _ in range(2))
        if not _same(one.states[own.key], again.states[own.key], 0.0):
            raise ConfigError(
                f"{what}: two trainings with the same seed end with other parameters; all that is random must come "
                "from the generator that reset_parameters is given."
            )
        together = small.train(own, vmap=True)
        dtype = next(iter(one.states[own.key].values())).dtype
        if not _same(one.states[own.key], together.states[own.key], _CLOSE.get(dtype, 1e-3)):
            raise ConfigError(
                f"{what}: a model that trains by itself ends with other parameters than under torch.func.vmap, as "
                "models train together; write what vmap can follow, or set supports_vmap = False in the class."
            )
        yield Check(
            what, f"{counted(small.epochs, 'epoch')} of {small.rows} rows, twice the same, with and without vmap"
        )
        states = dict(one.states)
        for asked in self._experiment.metrics:
            name = f"metric {asked.type_name}"
            yield from self._group(name, self._try_metric(small, asked, states, name))
        made: dict[str, Unlearning] = {}
        items = [item for item in self._experiment.unlearnings if item.teacher is trial and not item.repeat]
        for item in items:
            yield from self._group(f"unlearner {item.name}", self._try_unlearner(small, item, states, made))
        for probe_run in (found for found in self._experiment.probe_runs if found.trial is trial):
            name = " ".join(filter(None, ["probe", probe_run.name, probe_run.probe.label]))
            yield from self._group(name, self._try_probe(small, probe_run, states, made, name))

    def _try_metric(self, small: _Small, asked: AskedMetric, states: dict[str, Any], name: str) -> Iterator[Check]:
        item = asked.measurement(small.trial)
        if item is None:
            return
        rows = evaluated(small.together, small.trial).rows(item.metric.on)
        model = small.together.build(small.trial).with_state(states[small.trial.key])
        with torch.no_grad():
            logits = model(prepare_features(model, rows.x)).double()
        value, again = (value_of(item.metric, logits, rows) for _ in range(2))
        if not (value == again or (math.isnan(value) and math.isnan(again))):
            raise ConfigError(
                f"{name}: compute gives {value:g}, then {again:g} for the same logits; draw what is random from a "
                "generator with a fixed seed: torch.Generator().manual_seed(0)."
            )
        yield Check(f"{name} of {small.trial.names['model']}", f"{item.name} = {value:.4g} of {len(rows)} rows")

    def _try_estimator(self, small: _Small) -> Check:
        own = small.trial
        member, data = small.together.member(own), small.together.dataset(own.task)
        fitted = fit(own.estimator, member, data.validation, Features.of(data, own.corruption))
        check_seeded(own.estimator, member, data.validation, fitted)
        what = f"model {own.names['model']} on {own.names['task']}, {own.names['corruption']}"
        return Check(what, f"fitted to {small.rows} rows")

    def _try_unlearner(
        self, small: _Small, item: Unlearning, states: dict[str, Any], made: dict[str, Unlearning]
    ) -> Iterator[Check]:
        own = dataclasses.replace(
            item,
            teacher=small.trial,
            unlearner=dataclasses.replace(item.unlearner, steps=2 if item.unlearner.rewinds else 1, budget=0),
            oracles=1,
            knowledge=ALL_KNOWN,  # of few rows a fraction may be none
        )
        if own.key in states:
            made[item.key] = own
            return
        small.train_oracle(states)
        job = Unlearn((own,), (small.trial,))
        ended = job.run(small.alone, Inputs(states), _Silent())
        if small.together.build(small.trial).supports_vmap:
            # As it will run: branches on values and torch's own random numbers fail under vmap alone.
            job.run(small.together, Inputs(states), _Silent())
        states |= ended.states
        made[item.key] = own
        if (failed_at := ended.ended[own.key].failed_at) is not None:
            raise DataError(f"the loss is NaN or infinite at step {failed_at}.")
        yield Check(f"unlearner {item.name} of {small.trial.names['model']}", "one step, compared with an oracle")

    def _try_probe(
        self, small: _Small, found: ProbeRun, states: dict[str, Any], made: dict[str, Unlearning], name: str
    ) -> Iterator[Check]:
        unlearnings = {name: made[item.key] for name, item in found.unlearnings.items() if item.key in made}
        missing = [name for name in found.points if name in found.unlearnings and name not in unlearnings]
        if missing:
            raise _Failed  # the unlearner has failed, and said so
        probe = dataclasses.replace(found.probe, n_samples=0)
        own = ProbeRun(small.trial, found.name, probe, unlearnings)
        if own.needs_clean_twin:
            states |= small.train(small.trial.clean_twin, vmap=True).states
        if small.trial.oracle_key(0) in own.points.values():
            small.train_oracle(states)
        paths = {}
        if probe.needs().trajectory:
            paths = dict(small.train(small.trial, vmap=True, trajectories=True).trajectories)
        result = TakeProbe(own).run(small.together, Inputs(states, paths), _Silent()).found
        scalars = ", ".join(result.scalars) if result is not None else ""
        yield Check(f"{name} of {small.trial.names['model']}", scalars or "measured")


def _with_parts(trial: Trial) -> str:
    """The names of a model's noise channels, and of the loss that it is trained with where it is not the usual one."""
    if not trial.has_gradients:
        return ""
    named = [
        name_of(channel) for channel in trial.model.field_values().get("noise", ()) if isinstance(channel, Channel)
    ]
    named += [] if trial.trainer.loss == CrossEntropy() else [name_of(trial.trainer.loss)]
    return "".join(f", {name}" for name in dict.fromkeys(named))


class _Small:
    """A trial on few rows for a few epochs.

    Args:
        trial: as the experiment has it.
        data: of its task.
        rows: how many are to be trained on; more where there would be no retain or no forget set else.
    """

    def __init__(self, trial: Trial, data: Dataset, rows: int) -> None:
        ratio = trial.corruption.ratio
        least = [_ROWS, rows, *(math.ceil(1.0 / part) for part in (ratio, 1.0 - ratio) if part)]
        few = dataclasses.replace(
            data,
            train=_few(data.train, max(least)),
            validation=_few(data.validation, _ROWS),
            test=None if data.test is None else _few(data.test, _ROWS),
        )
        self.rows, self.epochs = len(few.train), min(_EPOCHS, trial.trainer.epochs)
        self.trial = dataclasses.replace(trial, trainer=dataclasses.replace(trial.trainer, epochs=self.epochs))
        self.alone, self.together = _Alone(Setting("cpu")), Materials(Setting("cpu"))
        for materials in (self.alone, self.together):
            materials.give(trial.task, lambda: few)

    def train(self, trial: Trial, *, vmap: bool, trajectories: bool = False) -> Result:
        """A few epochs."""
        return Train((trial,), trajectories).run(self.together if vmap else self.alone, Inputs(), _Silent())

    def train_oracle(self, states: dict[str, Any]) -> None:
        """A few epochs on the clean rows, if that has not been done."""
        if self.trial.oracle_key(0) not in states:
            states |= TrainOracles(((self.trial, 0),)).run(self.together, Inputs(states), _Silent()).states


class _Alone(Materials):
    """Materials for models that are called one after the other: what goes wrong is not wrapped in vmap's own errors."""

    def build(self, trial: Trial) -> Model:
        """See the base class."""
        model = super().build(trial)
        model.supports_vmap = False
        return model


class _Silent:
    """Nobody is told how a job gets on."""

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        """See :class:`qlab.experiment.jobs.base.Report`."""

    def state(self, state: TrainingState) -> None:
        """See :class:`qlab.experiment.jobs.base.Report`."""


def _few(split: Split, rows: int) -> Split:
    """The first rows of both classes, half of each where there are as many."""
    if len(split) <= rows:
        return split
    half = [torch.nonzero(split.y == label).flatten()[: math.ceil(rows / 2)] for label in (0, 1)]
    chosen = torch.cat(half).sort().values
    return Split(split.x[chosen], split.y[chosen], {name: values[chosen] for name, values in split.about.items()})


def _first(items: Iterable[T], key: Callable[[T], Any]) -> list[T]:
    """The first item of each key."""
    found: dict[str, T] = {}
    for item in items:
        found.setdefault(repr(key(item)), item)
    return list(found.values())


def _named(trials: list[Trial]) -> str:
    """The corruption of trials that differ in its ratio only."""
    ratios = [trial.corruption.ratio for trial in trials]
    return f"corruption {trials[0].names['corruption']}, {'ratios' if len(ratios) > 1 else 'ratio'} {_listed(ratios)}"


def _listed(numbers: list[int] | list[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _no_partition(trial: Trial) -> bool:
    """Whether a trial has no retain or no forget set: others show more."""
    return trial.corruption.ratio in (0.0, 1.0)


def _same(one: Any, other: Any, tolerance: float) -> bool:
    def alike(first: Tensor, second: Tensor) -> bool:
        return torch.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True)

    return all(alike(one[name], other[name]) for name in one)
