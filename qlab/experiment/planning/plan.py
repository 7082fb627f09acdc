"""What of an experiment is done, and what is to be run together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import Final, Self, TypeVar

import pandas as pd

from qlab.experiment.asking.audit import Audit
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning
from qlab.experiment.planning.measured import standing_of
from qlab.tracking import frames, names
from qlab.tracking.standing import INTERRUPTED
from qlab.tracking.store import Store

MOST_FITTED: Final = 10
"""So many estimators are fitted by one job at most, which is recorded when it is done: more are not lost at once."""

DAMAGED: Final = "checkpoint damaged"
"""Why a run that had finished does not count any more."""


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The trials and unlearning runs of an experiment, sorted by whether the store has them.

    Args:
        experiment: what is asked for.
        done: finished trials and their run ids.
        unlearned: finished unlearning runs and their run ids.
        measured: finished probes and their run ids.
        states: for what was started but not finished, the status of its last run.
        last_runs: for the same, its last run.
        errors: why those of them that failed did.
        damaged: the last runs that had finished and do not count any more, by key, whatever has been begun since.
        interrupted: those of them that look as if they were running, but their worker is gone.
        ensembles: the trials that are left, in groups that train together.
        unlearnings: the unlearning runs that are left, in groups whose teachers differ in seed only and that are told
            the same of their corrupted rows.
        probe_runs: the probes that are left, in groups whose models were trained together.
        measurements: the further metrics that are left, of what is done and of what is not; not those over epochs of
            trials that are left.
        curveless: those of them of which there will be the last value and no curve: their trials were trained before.
        mixed: those that cannot be taken, since their trials have a curve of another version.
        audits: the audits that are left, in groups of one trained model, told the same of its corrupted rows.
    """

    experiment: Experiment
    done: dict[str, str]
    unlearned: dict[str, str]
    measured: dict[str, str]
    states: dict[str, str]
    last_runs: dict[str, str]
    errors: dict[str, str]
    damaged: dict[str, str]
    interrupted: frozenset[str]
    ensembles: tuple[tuple[Trial, ...], ...]
    unlearnings: tuple[tuple[Unlearning, ...], ...]
    probe_runs: tuple[tuple[ProbeRun, ...], ...]
    measurements: tuple[Measurement, ...] = ()
    curveless: tuple[Measurement, ...] = ()
    mixed: tuple[Measurement, ...] = ()
    audits: tuple[tuple[Audit, ...], ...] = ()

    @classmethod
    def of(cls, experiment: Experiment, store: Store | None) -> Self:
        """Compares an experiment with a store; without a store everything is left to do."""
        every = _known(experiment, store)
        known = frames.latest_per_trial(every)
        damaged = every[every[names.ERROR] == DAMAGED]
        finished = known[known["status"] == "FINISHED"]
        run_ids = dict(zip(finished["trial"], finished["run_id"], strict=True))
        begun = known[~known["trial"].isin(run_ids)]
        failed = begun[begun[names.ERROR].notna()]
        ensembles: dict[str, list[Trial]] = {}
        for trial in experiment.trials:
            if trial.key not in run_ids:
                ensembles.setdefault(trial.ensemble_key, []).append(trial)
        unlearnings: dict[object, list[Unlearning]] = {}
        for item in experiment.unlearnings:
            if item.key not in run_ids:
                unlearnings.setdefault((item.teacher.seedless_key, item.knowledge), []).append(item)
        probe_runs: dict[str, list[ProbeRun]] = {}
        for probe_run in experiment.probe_runs:
            if probe_run.key not in run_ids:
                probe_runs.setdefault(probe_run.trial.ensemble_key, []).append(probe_run)
        said = dict(zip(finished["trial"], finished[names.MEASURED], strict=True))
        audited = dict(zip(finished["trial"], finished[names.AUDITED], strict=True))
        audits: dict[object, list[Audit]] = {}
        for audit in experiment.audits:
            if dict(audited.get(audit.of.key) or ()).get(audit.metric) != audit.digest:
                audits.setdefault((audit.of.teacher.key, audit.of.knowledge), []).append(audit)
        standings = {item: standing_of(item, said.get(item.of.key)) for item in experiment.measurements}
        left, curveless, mixed = (
            tuple(item for item, found in standings.items() if found in wanted) for wanted in _STANDINGS
        )
        return cls(
            experiment,
            {trial.key: run_ids[trial.key] for trial in experiment.trials if trial.key in run_ids},
            {item.key: run_ids[item.key] for item in experiment.unlearnings if item.key in run_ids},
            {item.key: run_ids[item.key] for item in experiment.probe_runs if item.key in run_ids},
            dict(zip(begun["trial"], begun["status"], strict=True)),
            dict(zip(begun["trial"], begun["run_id"], strict=True)),
            dict(zip(failed["trial"], failed[names.ERROR], strict=True)),
            dict(zip(damaged["trial"], damaged["run_id"], strict=True)),
            frozenset(begun[begun["status"] == INTERRUPTED]["trial"]),
            tuple(part for group in ensembles.values() for part in _parts(group)),
            tuple(tuple(group) for group in unlearnings.values()),
            tuple(tuple(group) for group in probe_runs.values()),
            measurements=left,
            curveless=curveless,
            mixed=mixed,
            audits=tuple(tuple(group) for group in audits.values()),
        )

    def without(self, keys: Collection[str]) -> Self:
        """The same plan with less left to do."""
        return dataclasses.replace(
            self,
            ensembles=_without(self.ensembles, keys),
            unlearnings=_without(self.unlearnings, keys),
            probe_runs=_without(self.probe_runs, keys),
            measurements=tuple(item for item in self.measurements if not {item.key, item.of.key} & set(keys)),
            mixed=tuple(item for item in self.mixed if item.key not in keys),
            audits=_without_audits(self.audits, set(keys)),
        )

    @property
    def run_ids(self) -> dict[str, str]:
        """The runs of everything that is finished, by key."""
        return self.done | self.unlearned | self.measured

    @property
    def unfinished(self) -> dict[str, str]:
        """The last runs of what was interrupted, by key: they were killed, or look as if they were running."""
        stopped = ("KILLED", "RUNNING", INTERRUPTED)
        return {key: run_id for key, run_id in self.last_runs.items() if self.states[key] in stopped}

    @property
    def todo(self) -> Sequence[Trial]:
        """The trials that are left."""
        return [trial for group in self.ensembles for trial in group]

    @property
    def todo_unlearnings(self) -> Sequence[Unlearning]:
        """The unlearning runs that are left."""
        return [item for group in self.unlearnings for item in group]

    @property
    def todo_probe_runs(self) -> Sequence[ProbeRun]:
        """The probes that are left."""
        return [item for group in self.probe_runs for item in group]

    @property
    def todo_audits(self) -> Sequence[Audit]:
        """The audits that are left."""
        return [item for group in self.audits for item in group]

    @functools.cached_property
    def followed(self) -> frozenset[str]:
        """The keys of the trials whose trajectory a probe that is left asks for."""
        return frozenset(item.trial.key for item in self.todo_probe_runs if item.probe.needs().trajectory)

    def state(self, key: str) -> str:
        """``done``, ``new``, ``interrupted``, or how the last run of a trial, unlearning run or probe ended."""
        if key in self.done or key in self.unlearned or key in self.measured:
            return "done"
        return self.states.get(key, "new").lower()


def _parts(group: Sequence[Trial]) -> list[tuple[Trial, ...]]:
    """An ensemble; of estimators, which are fitted one by one, some at a time, since they are recorded together."""
    most = len(group) if group[0].has_gradients else MOST_FITTED
    return [tuple(group[start : start + most]) for start in range(0, len(group), most)]


_STANDINGS = (("left", "curveless"), ("curveless",), ("mixed",))
"""Which metrics of a plan are of which standing: ``measurements``, ``curveless`` and ``mixed``."""


_T = TypeVar("_T", Trial, Unlearning, ProbeRun)


def _without(groups: tuple[tuple[_T, ...], ...], keys: Collection[str]) -> tuple[tuple[_T, ...], ...]:
    kept = (tuple(item for item in group if item.key not in keys) for group in groups)
    return tuple(group for group in kept if group)


def _without_audits(groups: tuple[tuple[Audit, ...], ...], keys: set[str]) -> tuple[tuple[Audit, ...], ...]:
    """Without those of models that are not made, either."""
    kept = (
        tuple(item for item in group if not {item.key, item.of.key, item.of.teacher.key} & keys) for group in groups
    )
    return tuple(group for group in kept if group)


def _known(experiment: Experiment, store: Store | None) -> pd.DataFrame:
    """The runs that the store has of the experiment's trials, unlearning runs and probes, the oldest first."""
    experiment_id = None if store is None else store.find_experiment(experiment.name)
    if store is None or experiment_id is None:
        return pd.DataFrame(columns=list(names.COLUMNS))
    frame = frames.runs(store, [experiment_id])
    frame = frame[frame["kind"].isin([names.TRIAL, names.SELECTION, names.UNLEARNING, names.PROBE])]
    wanted = [item.key for item in experiment.items]
    return frame[frame["trial"].isin(wanted)]
