"""Assembling the graph of jobs that a plan leaves to be done."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from torch import Tensor

from qlab.corruptions import Knowledge
from qlab.experiment.asking.audit import Audit
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import ALL_KNOWN, ORACLE, ProbeRun, Trial, Unlearning
from qlab.experiment.engine.graph import Node
from qlab.experiment.jobs.audit import TakeAudits
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.fit import Fit
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measure import Measure
from qlab.experiment.jobs.oracles import TrainOracles
from qlab.experiment.jobs.probe import TakeProbe, needed_models
from qlab.experiment.jobs.refit import Refit
from qlab.experiment.jobs.shadows import TrainShadows
from qlab.experiment.jobs.train import Retrace, Train
from qlab.experiment.jobs.unlearn import Unlearn
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.work import Work
from qlab.experiment.recording.audits import AuditRecording
from qlab.experiment.recording.fittings import FitRecording
from qlab.experiment.recording.group_states import Left, interrupted_together, left_states
from qlab.experiment.recording.measurements import MeasureRecording
from qlab.experiment.recording.oracles import OracleRecording
from qlab.experiment.recording.probes import ProbeGroup, ProbeRecording, read_health
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.refits import RefitRecording
from qlab.experiment.recording.resumption import Interrupted, interrupted_trials, with_curves
from qlab.experiment.recording.trainings import RetraceRecording, TrainRecording
from qlab.experiment.recording.unlearnings import UnlearnRecording
from qlab.tracking import frames, names
from qlab.training.schedule import snapshot_epochs
from qlab.training.state import TrainingState


class Assembly:
    """Makes the graph: trainings, then what needs them, then what needs those.

    Args:
        recorder: of the experiment, which it holds.
        materials: the experiment's data.
        work: what is to be done in which parts.
        plan: what is left to do.
        parent: the experiment's run.
    """

    def __init__(self, recorder: Recorder, materials: Materials, work: Work, plan: Plan, parent: str) -> None:
        self._recorder = recorder
        self._materials = materials
        self._work = work
        self._plan = plan
        self._parent = parent
        self._nodes: list[Node] = []
        self._made_by: dict[str, Node] = {}
        self._traced_by: dict[str, Node] = {}
        self._oracles: dict[str, str] = {}
        self._unsound: dict[str, str] = {}
        if plan.todo_unlearnings or plan.todo_probe_runs or plan.audits:
            self._oracles, self._unsound = _stored_oracles(recorder)
        self._read = _Reader(recorder, self._oracles)
        self._measurements: dict[str, list[Measurement]] = {}
        for item in plan.measurements:
            self._measurements.setdefault(item.of.key, []).append(item)

    def graph(self) -> list[Node]:
        """The jobs; each comes after those that it needs."""
        for trials in self._plan.ensembles:
            if not trials[0].has_gradients:
                for part in self._work.fitting_parts(self._plan, trials):
                    self._add_fitting(part)
                continue
            followed = any(trial.key in self._plan.followed for trial in trials)
            for part in self._work.training_parts(self._plan, trials):
                self._add_training(part, trajectories=followed)
        goals = any(item.teacher.trainer.stop_at for group in self._plan.unlearnings for item in group)
        if self._plan.todo_probe_runs or goals:
            self._recorder.health |= read_health(self._recorder)
        for group in self._plan.unlearnings:
            if not group[0].teacher.has_gradients:
                self._add_refitting(group)
                continue
            for cut in self._work.unlearning_parts(group):
                self._add_unlearning(cut)
        for items in self._stored_models():
            self._add_measuring(items)
        for audits in self._plan.audits:
            self._add_audits(audits)
        for probe_runs in self._plan.probe_runs:
            self._add_probes(probe_runs)
        return self._nodes

    def _add_fitting(self, trials: Sequence[Trial]) -> None:
        wanted = [item for trial in trials for item in self._measurements.pop(trial.key, ())]
        job = Fit(tuple(trials), tuple(wanted))
        node = Node(job, FitRecording(self._recorder, self._materials, job, self._parent))
        self._nodes.append(node)
        self._made_by |= {trial.key: node for trial in trials}

    def _add_refitting(self, group: Sequence[Unlearning]) -> None:
        """Exact unlearning of estimators."""
        methods: dict[str, list[Unlearning]] = {}
        for item in group:
            methods.setdefault(item.method_key, []).append(item)
        for items in methods.values():
            teachers = tuple({item.teacher.key: item.teacher for item in items}.values())
            job = Refit(tuple(items), teachers)
            makers = self._makers(trial.key for trial in teachers)
            self._nodes.append(Node(job, RefitRecording(self._recorder, job), makers))

    def _add_training(self, trials: Sequence[Trial], *, trajectories: bool) -> None:
        model = self._work.model(trials[0])
        with self._recorder.tracking():
            interrupted = interrupted_together(self._recorder, self._materials, trials, model, self._left_states)
            interrupted |= interrupted_trials(self._recorder, self._materials, trials, model, self._plan.unfinished)
        if trajectories:  # a state without the snapshots so far leads to no trajectory
            due = snapshot_epochs(trials[0].trainer.epochs)
            interrupted = {
                key: item
                for key, item in interrupted.items()
                if set(item.state.snapshots) == {epoch for epoch in due if epoch <= item.state.epoch}
            }
        with self._recorder.tracking():  # nor one without the curve so far to a curve
            interrupted = with_curves(self._recorder, interrupted, self._over_epochs(trials))
        # A command may be killed while it writes states: some trials may be an interval behind the others.
        groups: dict[object, list[Trial]] = {}
        for trial in trials:
            saved = interrupted.get(trial.key)
            own_run = saved is not None and bool(saved.run_id)
            groups.setdefault(None if saved is None else (own_run, saved.state.together), []).append(trial)
        for together in sorted(groups, key=lambda together: together is not None):
            self._add_part(
                groups[together], [interrupted[trial.key] for trial in groups[together] if together], trajectories
            )

    def _add_part(self, trials: Sequence[Trial], saved: Sequence[Interrupted], trajectories: bool) -> None:
        state = TrainingState.stack([item.state for item in saved]) if saved else None
        job = Train(tuple(trials), trajectories, state, self._over_epochs(trials))
        model = self._work.model(trials[0])
        recording = TrainRecording(self._recorder, self._materials, job, model, self._parent, saved)
        node = Node(job, recording, cost=self._work.cost(trials))
        self._nodes.append(node)
        for trial in trials:
            self._made_by[trial.key] = node
            if trajectories:
                self._traced_by[trial.key] = node
        self._measure([trial.key for trial in trials], node)

    @functools.cached_property
    def _left_states(self) -> list[Left]:
        """Of ensembles whose runs are kept together."""
        return left_states(self._recorder)

    def _over_epochs(self, trials: Sequence[Trial]) -> tuple[Measurement, ...]:
        """The further metrics that are taken while trials are trained."""
        keys = {trial.key for trial in trials}
        every = self._recorder.experiment.measurements
        return tuple(item for item in every if item.over_epochs and item.of.key in keys)

    def _measure(self, keys: Iterable[str], node: Node) -> None:
        """The further metrics of models that one job makes, right after it."""
        wanted = [item for key in dict.fromkeys(keys) for item in self._measurements.pop(key, ())]
        if wanted:
            self._add_measuring(wanted, node)

    def _stored_models(self) -> list[list[Measurement]]:
        """The further metrics that are left, of models in the store, in parts that fit into memory."""
        alike: dict[tuple[bool, str], list[Measurement]] = {}
        for items in self._measurements.values():
            first = items[0]
            if first.of.key in self._plan.run_ids:
                alike.setdefault((first.of is first.trial, first.trial.ensemble_key), []).extend(items)
        return [part for group in alike.values() for part in self._work.measuring_parts(group)]

    def _add_measuring(self, wanted: Sequence[Measurement], *needs: Node) -> None:
        job = Measure(tuple(wanted))
        recording = MeasureRecording(self._recorder, job, lambda made: self._read(made, list(job.models)))
        self._nodes.append(Node(job, recording, needs))

    def _add_unlearning(self, group: Sequence[Unlearning]) -> None:
        """Oracles that are missing, then each method."""
        teachers = tuple({item.teacher.key: item.teacher for item in group}.values())
        wanted = [(trial, number) for trial in teachers for number in range(group[0].oracles)]
        self._add_oracles(wanted)
        if not group[0].knowledge.is_complete:
            self._add_oracles(wanted, group[0].knowledge)
        keys = [trial.key for trial in teachers]
        keys += dict.fromkeys(key for item in group for key in item.oracle_keys)
        stored = self._stored(keys)
        methods: dict[str, list[Unlearning]] = {}
        for item in group:
            methods.setdefault(item.method_key, []).append(item)
        for items in methods.values():
            job = Unlearn(tuple(items), teachers, self._work.steps(items[0]))
            recording = UnlearnRecording(
                self._recorder, job, self._work.model(teachers[0]), lambda made: self._read(made, stored)
            )
            node = Node(job, recording, self._makers(keys), bool(stored))
            self._nodes.append(node)
            self._made_by |= {item.key: node for item in items}
            self._measure([item.key for item in items], node)

    def _add_audits(self, audits: Sequence[Audit]) -> None:
        """Oracles and shadow models that are missing, then the audits of one trained model."""
        first, groups = audits[0], len(self._plan.audits)
        teacher, table = first.of.teacher, first.table
        self._add_oracles([(teacher, number) for number in range(table.oracles)], first.knowledge, groups=groups)
        if any(audit.needs_models for audit in audits):
            self._add_oracles([(teacher, n) for n in range(table.models)], kind=TrainShadows, groups=groups)
        job = TakeAudits(tuple(audits), self._work.audited_at_once(first))
        stored = self._stored(job.model_keys)
        unsound = {key: self._unsound[key] for key in stored if key in self._unsound}

        def read(made: Inputs) -> Inputs:
            found = self._read(made, stored)
            return dataclasses.replace(found, unsound={**unsound, **found.unsound})

        recording = AuditRecording(self._recorder, job, read)
        self._nodes.append(Node(job, recording, self._makers(job.model_keys), bool(stored)))

    def _add_oracles(
        self,
        wanted: Iterable[tuple[Trial, int]],
        knowledge: Knowledge = ALL_KNOWN,
        *,
        kind: type[TrainOracles] = TrainOracles,
        groups: int | None = None,
    ) -> None:
        """Models that are trained for comparison and are missing, of so many groups."""
        missing = []
        for trial, number in wanted:
            key = kind(((trial, number),), knowledge).keys[0]
            if key not in self._oracles and key not in self._made_by:
                missing.append((trial, number))
        groups = len(self._plan.unlearnings) if groups is None else groups
        for part in self._work.oracle_parts(missing, groups) if missing else ():
            job = kind(tuple(part), knowledge)
            recording = OracleRecording(self._recorder, job, self._work.model(part[0][0]))
            node = Node(job, recording, self._makers(trial.key for trial, _ in part))
            self._nodes.append(node)
            self._made_by |= dict.fromkeys(job.keys, node)

    def _add_probes(self, probe_runs: Sequence[ProbeRun]) -> None:
        """Trajectories and oracles that only probes need, then the probes of one ensemble's models."""
        trials = {item.trial.key: item.trial for item in probe_runs}
        self._add_retracing([trial for trial in trials.values() if trial.key in self._plan.followed])
        alike: dict[str, list[Trial]] = {}
        for key in dict.fromkeys(item.trial.key for item in probe_runs if ORACLE in item.points):
            alike.setdefault(trials[key].seedless_key, []).append(trials[key])
        for group in alike.values():
            self._add_oracles([(trial, 0) for trial in group])
        progress = ProbeGroup(self._recorder, probe_runs[0].trial, len(trials), len(probe_runs))
        places = {key: place for place, key in enumerate(trials)}
        for item in sorted(probe_runs, key=lambda item: places[item.trial.key]):  # those of one model together
            self._add_probe(item, progress)

    def _add_retracing(self, trials: Sequence[Trial]) -> None:
        stored = self._plan.done
        with self._recorder.tracking():
            missing = [
                trial
                for trial in trials
                if trial.key in stored and not self._recorder.store.has_file(stored[trial.key], names.TRAJECTORY)
            ]
        for part in self._work.retracing_parts(missing) if missing else ():
            job = Retrace(tuple(part))
            node = Node(job, RetraceRecording(self._recorder, job))
            self._nodes.append(node)
            self._traced_by |= {trial.key: node for trial in part}

    def _add_probe(self, item: ProbeRun, progress: ProbeGroup) -> None:
        keys = [*needed_models(item), *([item.points[ORACLE]] if ORACLE in item.points else [])]
        path = item.trial.key if item.probe.needs().trajectory else None
        tracer = self._traced_by.get(item.trial.key) if path else None
        stored = self._stored(keys)
        job = TakeProbe(item)
        recording = ProbeRecording(self._recorder, job, progress, lambda made: self._read(made, stored, path))
        needs = dict.fromkeys([*self._makers(keys), *([tracer] if tracer else [])])
        reads = bool(stored) or (path is not None and tracer is None)
        self._nodes.append(Node(job, recording, tuple(needs), reads))

    def _stored(self, keys: Iterable[str]) -> list[str]:
        """Those of these models that no node makes: they come from the store."""
        return [key for key in keys if key not in self._made_by]

    def _makers(self, keys: Iterable[str]) -> tuple[Node, ...]:
        """The nodes that make some of these models."""
        return tuple(dict.fromkeys(self._made_by[key] for key in keys if key in self._made_by))


class _Reader:
    """Reads models from the store. What was read last is kept: the next job often needs the same.

    Args:
        recorder: of the experiment.
        oracles: the runs of oracles in the store, by key.
    """

    def __init__(self, recorder: Recorder, oracles: dict[str, str]) -> None:
        self._recorder = recorder
        self._oracles = oracles
        self._states: dict[str, dict[str, Tensor]] = {}

    def __call__(self, made: Inputs, keys: Iterable[str], path: str | None = None) -> Inputs:
        """What other jobs have made, and what the store has of these models, and of the trajectory of one."""
        runs = self._oracles | self._recorder.run_ids
        wanted = {key: runs[key] for key in keys if key not in made.states and key in runs}
        with self._recorder.tracking():
            self._states = {
                key: self._states[key] if key in self._states else self._recorder.load_state(run_id)
                for key, run_id in wanted.items()
            }
            trajectories = dict(made.trajectories)
            if path is not None and path not in trajectories and path in self._recorder.run_ids:
                run_id = self._recorder.run_ids[path]
                if self._recorder.store.has_file(run_id, names.TRAJECTORY):
                    trajectories[path] = self._recorder.load_tensors(run_id, names.TRAJECTORY)
        return dataclasses.replace(made, states={**made.states, **self._states}, trajectories=trajectories)


def _stored_oracles(recorder: Recorder) -> tuple[dict[str, str], dict[str, str]]:
    """The runs of finished oracles and shadow models, by key; and the health of those that are in no mean."""
    found: dict[str, str] = {}
    unsound: dict[str, str] = {}
    for kind in (names.ORACLE, names.SHADOW):
        with recorder.tracking():
            known = frames.runs_of_kind(recorder.store, [recorder.experiment_id], kind)
        finished = known[known["status"] == "FINISHED"]
        found |= dict(zip(finished["trial"], finished["run_id"], strict=True))
        bad = finished[finished["health"].isin(names.LEFT_OUT)]
        unsound |= dict(zip(bad["trial"], bad["health"], strict=True))
    return found, unsound
