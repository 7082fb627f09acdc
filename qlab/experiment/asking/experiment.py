"""What an experiment file asks for, checked: its trials, and how they are run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types as at

from qlab.claims import Claim, ClaimTable
from qlab.component import Component
from qlab.experiment.asking.audit import Audit, AuditTable, audits_of
from qlab.experiment.asking.measurement import AskedMetric, Measurement
from qlab.experiment.asking.naming import methods_told_apart, told_apart
from qlab.experiment.asking.selection import Selection
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning, content_hash
from qlab.fields import NonNegativeFloat, NonNegativeInt, PositiveInt

CHECKPOINT_SECONDS = 30.0
"""The most training, in seconds, that is done again after an interruption."""


Track = Literal["runs", "groups"]
"""Whether every trial has an MLflow run of its own, or one together with those that differ in seed only."""


class RunTable(Component):
    """The ``[run]`` table: how the trials are run.

    Args:
        seeds: number of seeds (0, 1, ...), or a list of them.
        device: the PyTorch device to train on: "cpu", "cuda" or "cuda:N". Not part of a trial's identity.
        oracles: how many models are retrained on each retain set, for comparison with unlearned ones.
        budget: gradient evaluations (forward and backward passes of one row each) that every unlearning method may
            spend on one model, so that methods are compared at equal cost: each takes as many steps as that pays for.
            Without it each takes its own number of ``steps``. Part of the identity of unlearning runs.
        repeats: how often each unlearning method is applied to each trained model, with fresh parameters and batches.
        evaluate_every: number of epochs from one evaluation of the metrics to the next; every epoch of the last
            fifth is evaluated. Not part of a trial's identity: it does not change what is trained.
        memory: how much models that train together may take, such as "500MB" or "4GiB"; ensembles that need more are
            trained in parts. By default 70 % of what the machine has available. Not part of a trial's identity.
        checkpoint_seconds: how often, in seconds, the state of running trainings is written, so that they can go on
            after an interruption; more rarely if writing takes more than 2 % of the time, after every epoch if 0. Not
            part of a trial's identity.
        track: "runs" writes an MLflow run for each trial, "groups" one for all that differ in seed only, with their
            means and spreads as metrics and each trial as a row in its artifacts: for thousands of trials. Both are
            read alike. Not part of a trial's identity.
    """

    seeds: PositiveInt | Annotated[tuple[NonNegativeInt, ...], at.MinLen(1)] = 5
    device: str = "cpu"
    oracles: PositiveInt = 3
    budget: PositiveInt | None = None
    repeats: PositiveInt = 1
    evaluate_every: PositiveInt = 1
    memory: str | None = None
    checkpoint_seconds: NonNegativeFloat = CHECKPOINT_SECONDS
    track: Track = "runs"

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """A checked experiment: its trials, in the order of the file.

    Args:
        name: names the MLflow experiment.
        about: what it is for, in the author's words.
        source: where it was read from, for messages.
        text: the file's text.
        device: the PyTorch device to train on.
        evaluate_every: epochs from one evaluation to the next.
        trials: each once; those of the file, then clean twins needed only by probes.
        unlearnings: every method on every trial of the file.
        probe_runs: every probe on every trial of the file that it applies to.
        folder: where files beside the experiment are.
        memory: how much models that train together may take; None for a share of what is available.
        checkpoint_seconds: seconds from one write of the state of trainings to the next.
        assignments: keys and values that replaced those of the text.
        metrics: further metrics that are asked for; no part of the identity of what they are of.
        selection: what is chosen before anything is reported; the trials then have any of the values.
        asked: the experiment that this is a stage of, if it is one.
        left_out: what is asked for and cannot be had of some models, each with its reason: "HessianProbe of
            sklearn.svm:SVC: it has no gradients".
        claims: what it is to show; no part of the identity of what they are of, nor of the experiment's run.
        unmade: claims of the file about runs that are not made, as values of it were replaced.
        audit: how unlearning is audited, if it is; no part of the identity of the unlearning runs.
        track: in which form runs are written.
    """

    name: str
    about: str
    source: str
    text: str
    device: str
    evaluate_every: int
    trials: tuple[Trial, ...]
    unlearnings: tuple[Unlearning, ...] = ()
    probe_runs: tuple[ProbeRun, ...] = ()
    folder: Path | None = None
    memory: str | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    assignments: tuple[tuple[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()
    metrics: tuple[AskedMetric, ...] = ()
    selection: Selection | None = None
    asked: Experiment | None = None
    claims: tuple[Claim, ...] = ()
    unmade: tuple[ClaimTable, ...] = ()
    audit: AuditTable | None = None
    track: Track = "runs"

    @property
    def items(self) -> tuple[Trial | Unlearning | ProbeRun, ...]:
        """Everything that has a run of its own."""
        return (*self.trials, *self.unlearnings, *self.probe_runs)

    @functools.cached_property
    def content(self) -> str:
        """A hash of name and trials: the identity of the experiment's parent run."""
        if self.asked is not None:
            return self.asked.content
        keys = sorted(item.key for item in self.items)
        metrics = {"metrics": sorted(item.key for item in self.measurements)} if self.metrics else {}
        audits = {"audits": sorted(item.key for item in self.audits)} if self.audits else {}
        return content_hash({"name": self.name, "trials": keys, **metrics, **audits})

    @functools.cached_property
    def measurements(self) -> tuple[Measurement, ...]:
        """Every further metric of every trained and unlearned model that has such rows."""
        models: tuple[Trial | Unlearning, ...] = (*self.trials, *self.unlearnings)
        found = (asked.measurement(item) for item in models for asked in self.metrics)
        return tuple(item for item in found if item is not None)

    @functools.cached_property
    def audits(self) -> tuple[Audit, ...]:
        """Every audit of every unlearning run."""
        return () if self.audit is None else tuple(audits_of(self.audit, self.unlearnings))


def remapped(experiment: Experiment, trials: Mapping[str, Trial]) -> Experiment:
    """A stage of an experiment with other trials in place of its own, by key; what is of no other is left out."""
    trials = dict(zip(trials, told_apart(trials.values()), strict=True))
    unlearnings = {
        item.key: dataclasses.replace(item, teacher=trials[item.teacher.key])
        for item in experiment.unlearnings
        if item.teacher.key in trials
    }
    probe_runs = [
        dataclasses.replace(
            item,
            trial=trials[item.trial.key],
            unlearnings={name: unlearnings[own.key] for name, own in item.unlearnings.items()},
        )
        for item in experiment.probe_runs
        if item.trial.key in trials
    ]
    twins = {item.trial.clean_twin.key: item.trial.clean_twin for item in probe_runs if item.needs_clean_twin}
    found = {trial.key: trial for trial in trials.values()} | twins
    return dataclasses.replace(
        experiment,
        trials=tuple(found.values()),
        unlearnings=tuple(unlearnings.values()),
        probe_runs=tuple(probe_runs),
        asked=experiment.asked or experiment,
    )


def with_methods(experiment: Experiment, methods: Mapping[str, Unlearning]) -> Experiment:
    """A stage of an experiment with other methods in place of its own, by key; what is of no other is left out."""
    found = dict(zip(methods, methods_told_apart(methods.values()), strict=True))
    probe_runs = [
        dataclasses.replace(
            item, unlearnings={name: found[own.key] for name, own in item.unlearnings.items() if own.key in found}
        )
        for item in experiment.probe_runs
        if all(own.key in found for own in item.unlearnings.values())
    ]
    return dataclasses.replace(
        experiment,
        unlearnings=tuple({item.key: item for item in found.values()}.values()),
        probe_runs=tuple(probe_runs),
        asked=experiment.asked or experiment,
    )


def compared(experiment: Experiment, candidates: Sequence[Trial | Unlearning]) -> Experiment:
    """The stage of an experiment that trains, or unlearns, what is compared."""
    selection = experiment.selection
    methods = [item for item in candidates if isinstance(item, Unlearning)]
    trials = [item for item in candidates if isinstance(item, Trial)]
    teachers = {item.teacher.key: item.teacher for item in methods}
    return dataclasses.replace(
        experiment,
        trials=tuple(told_apart([*trials, *teachers.values()])),
        unlearnings=tuple(methods_told_apart(methods)),
        audit=None,
        probe_runs=(),
        metrics=() if selection is None or selection.asked is None else (selection.asked,),
        asked=experiment,
    )
