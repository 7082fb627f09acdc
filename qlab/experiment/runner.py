"""The runner: trains what the store does not have, applies unlearning methods, and sums up."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import pandas as pd

from qlab import interrupts
from qlab.errors import DataError, QlabError, StoreError, UnsentError
from qlab.experiment.devices import training_device
from qlab.experiment.failures import failure_lines
from qlab.experiment.landscapes import check_samples
from qlab.experiment.measurement_runs import MODEL_FAILED, measure
from qlab.experiment.parent import open_parent
from qlab.experiment.parts import training_parts, unlearning_parts
from qlab.experiment.plan import Plan
from qlab.experiment.portions import Share
from qlab.experiment.refusal import clear_refusals, record_refusal
from qlab.experiment.reporting import Reporter, Silent
from qlab.experiment.resumption import delete_left_states
from qlab.experiment.same_data import check_same_data
from qlab.experiment.schema import Experiment
from qlab.experiment.seeds import check_initial, check_seeds
from qlab.experiment.session import DamagedCheckpoint, Session
from qlab.experiment.sharing import complete
from qlab.experiment.summary import Summary, summarise
from qlab.experiment.team import Alone, Team
from qlab.experiment.training_runs import train_ensemble
from qlab.experiment.trial import Measurement, Trial, Unlearning
from qlab.experiment.unlearning_runs import apply_method, load_teachers
from qlab.models import Model
from qlab.own_code import described, is_out_of_memory
from qlab.tracking import names
from qlab.tracking.orphans import end_orphans
from qlab.tracking.store import Store
from qlab.unlearning.engine import Partition

TEACHER_FAILED = "its teacher failed"

_SETTLE_SECONDS = 30.0
"""How long a tracking server that is away is waited for at the end, before the summary is left to another time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an experiment.

    Args:
        parent_run: the experiment's parent run.
        table: the trials' summary, see :func:`qlab.views.summary.summarize`.
        unlearning: the methods' summary, see :func:`qlab.views.unlearning.summarize_unlearning`; empty without methods.
        trained: how many trials were trained now.
        reused: how many were in the store already.
        unlearned: how many unlearning runs were made now.
        probes: the probes' summary, see :func:`qlab.views.curvature.summarize_probes`; empty without probes.
        measured: how many probes were taken now.
        failed: for each trial, unlearning run or probe that failed, by key, its label and why.
        failures: the same in words, what failed alike once.
        missing: figures of the summary that could not be drawn, and why.
        artifacts: where the summary's files are.
        working_seconds: wall time of everything between planning and summary that is not tracking.
        tracking_seconds: wall time spent writing to and reading from the store.
    """

    parent_run: str
    table: pd.DataFrame
    unlearning: pd.DataFrame
    trained: int
    reused: int
    unlearned: int
    probes: pd.DataFrame
    measured: int
    failed: dict[str, tuple[str, str]]
    failures: tuple[str, ...]
    missing: dict[str, str]
    artifacts: str
    working_seconds: float
    tracking_seconds: float


class Runner:
    """Runs experiments into a store.

    Args:
        store: where runs are written, and finished trials are found.
        reporter: is told about progress.
        team: workers that help.
        summarise: sums an experiment up at its end, given the session and the parent run.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter | None = None,
        team: Team | None = None,
        summarise: Callable[[Session, str], Summary] = summarise,
    ) -> None:
        self._store = store
        self._reporter: Reporter = reporter or Silent()
        self._team: Team = team or Alone()
        self._summarise = summarise

    def run(self, experiment: Experiment) -> Outcome:
        """Runs what the store does not have yet, then summarises the whole experiment.

        What fails is recorded as failed and the rest goes on. On ``KeyboardInterrupt`` the runs in progress are
        marked as killed, finished ones are kept, and the interrupt goes on.

        Raises:
            QlabError: the experiment cannot be run at all; then there is no run of it but its parent run, which failed.
        """
        device, team = training_device(experiment.device), self._team
        session = Session(self._store, self._reporter, experiment, device, team.share)
        try:
            with session.tracking():
                plan = Plan.of(experiment, self._store)
            check_same_data(session, plan)
            check_seeds(session, plan.todo)
            busy = bool(plan.todo or plan.todo_unlearnings or plan.todo_measurements)
            if busy:
                team.assemble()
            self._reporter.planned(plan)
            # What can go wrong before training goes wrong here, while there are no runs yet.
            work = _Work(session, plan)
        except StoreError:
            raise
        except QlabError as error:
            interrupts.check()
            record_refusal(session, error)
            raise
        session.old_failures = {plan.last_runs[key] for key, status in plan.states.items() if status == "FAILED"}
        parent = None
        with session.claims:
            try:
                with session.tracking():
                    parent = open_parent(session, busy=busy)
                    clear_refusals(session, parent)
                start, tracked = time.perf_counter(), session.tracking_seconds
                self._end_orphans(session)
                delete_left_states(session)
                if busy and team.begin(experiment, self._store.uri, session.old_failures):
                    work.look_again()
                work.run(parent)
                self._end_orphans(session)
                finished = set(session.finished) | self._finished_by_team(session, plan)
                working = time.perf_counter() - start - (session.tracking_seconds - tracked)
                with session.tracking():
                    settled = self._store.settle(_SETTLE_SECONDS)
                if settled:
                    tables = self._summarise(session, parent)
                with session.tracking():
                    self._store.delete_tag(parent, names.ERROR)  # of an earlier time
                    self._store.finish(parent, "FAILED" if session.failed else "FINISHED")
            except BaseException as stopped:
                session.abandon_all(parent, stopped)
                raise
        if not settled:
            raise UnsentError(
                f"{experiment.name} has run to its end, but the tracking server has not all of it. "
                f"{self._store.unsent()} Running it again then draws the summary."
            )
        return Outcome(
            parent_run=self._store.known_as(parent),
            table=tables.trials,
            unlearning=tables.unlearning,
            trained=_count(experiment.trials, finished),
            reused=len(experiment.trials) - _count(experiment.trials, finished | session.failed.keys()),
            unlearned=_count(experiment.unlearnings, finished),
            probes=tables.probes,
            measured=_count(experiment.measurements, finished),
            failed=session.failed,
            failures=failure_lines(experiment, session.failed),
            missing=tables.missing,
            artifacts=self._store.artifact_place(parent),
            working_seconds=working,
            tracking_seconds=session.tracking_seconds,
        )

    def help(self, experiment: Experiment, share: Share, old_failures: Collection[str]) -> None:
        """Runs what can be claimed of an experiment that another worker has begun, sums it up and ends it.

        Args:
            experiment: what is run.
            share: how many workers there are.
            old_failures: the runs that had failed when the other began; what has failed since is not tried again.

        Raises:
            QlabError: the experiment cannot be run here.
        """
        session = Session(self._store, self._reporter, experiment, training_device(experiment.device), share)
        session.old_failures = set(old_failures)
        with session.tracking():
            plan = Plan.of(experiment, self._store)
        work = _Work(session, plan)
        with session.claims:
            try:
                work.run(open_parent(session, busy=False))
            except BaseException as stopped:
                session.abandon_all(None, stopped)
                raise
            self._store.settle(_SETTLE_SECONDS)

    def _end_orphans(self, session: Session) -> None:
        with session.tracking():
            end_orphans(self._store, [session.experiment_id])

    def _finished_by_team(self, session: Session, before: Plan) -> set[str]:
        """What was left before and is finished now, by whoever ran it."""
        if not self._team.helped:
            return set()
        with session.tracking():
            now = Plan.of(session.experiment, session.store)
        return {key for key in now.run_ids if key not in before.run_ids}


class _Work:
    """What an experiment has to do, after a check that it can be done.

    Args:
        session: what the experiment's parts share.
        plan: what is left to do.

    Raises:
        QlabError: something of it cannot be done at all.
    """

    def __init__(self, session: Session, plan: Plan) -> None:
        self._session = session
        self._plan = plan
        self._models = {trials[0].ensemble_key: _build(session, trials) for trials in plan.ensembles}
        self._corrupted: dict[str, int] = {}
        self._followed = {item.trial.key for item in plan.todo_measurements if item.probe.needs().trajectory}
        for trials in plan.ensembles:
            self._parts(trials, self._models[trials[0].ensemble_key])
        for group in plan.unlearnings:
            self._alike(group)
        for measurement in plan.todo_measurements:
            check_samples(session, measurement)

    def run(self, parent: str) -> None:
        """Does all of it; models whose checkpoints are damaged when they are needed are made again.

        Raises:
            DamagedCheckpoint: one was damaged a second time.
        """
        discarded: set[str] = set()
        while True:
            try:
                return self._run(parent)
            except DamagedCheckpoint as damage:
                with self._session.tracking():
                    run = self._session.store.get_run(damage.run_id)
                key = run.data.tags[names.TRIAL_KEY]
                if key in discarded:
                    raise
                discarded.add(key)
                self._session.reporter.notice(f"{run.info.run_name}: its checkpoint is damaged; it is made again")
                with self._session.tracking():
                    self._session.discard(damage.run_id, key)
                    self._plan = Plan.of(self._session.experiment, self._session.store)

    def look_again(self) -> None:
        """Finds out what is left by now."""
        with self._session.tracking():
            self._plan = Plan.of(self._session.experiment, self._session.store)

    def _run(self, parent: str) -> None:
        """Trials, then what needs them, then what needs those."""
        session = self._session
        plan = complete(session, self._plan, lambda plan: plan.ensembles, lambda plan: self._train(plan, parent))
        trained = plan.run_ids | session.finished
        # Nobody claims what cannot be run: others would wait until the claim is free, only to find the same.
        session.skip([item for item in plan.todo_unlearnings if item.teacher.key not in trained], TEACHER_FAILED)
        session.skip([item for item in plan.todo_measurements if item.trial.key not in trained], MODEL_FAILED)
        plan = complete(session, plan, lambda plan: plan.unlearnings, self._unlearn)
        complete(session, plan, lambda plan: plan.measurements, self._measure)

    def _train(self, plan: Plan, parent: str) -> None:
        for trials in plan.ensembles:
            model = self._models.get(trials[0].ensemble_key) or _build(self._session, trials)
            trajectories = any(trial.key in self._followed for trial in trials)
            for part in self._parts(trials, model):
                self._session.finished |= train_ensemble(
                    self._session, parent, part, model, unfinished=plan.unfinished, trajectories=trajectories
                )

    def _unlearn(self, plan: Plan) -> None:
        for group in plan.unlearnings:
            for part in self._alike(group):
                self._session.finished |= _unlearn(self._session, part, plan.run_ids | self._session.finished)

    def _measure(self, plan: Plan) -> None:
        for measurements in plan.measurements:
            measure(self._session, measurements, plan.run_ids | self._session.finished)

    def _parts(self, trials: Sequence[Trial], model: Model) -> list[Sequence[Trial]]:
        """An ensemble cut into parts that fit into memory.

        Raises:
            DataError: a single trial does not fit.
        """
        trajectories = any(trial.key in self._followed for trial in trials)
        return training_parts(self._session, trials, model, trajectories=trajectories)

    def _alike(self, group: Sequence[Unlearning]) -> list[list[Unlearning]]:
        """A group cut into parts whose teachers have as many corrupted rows, and that fit into memory.

        Raises:
            DataError: a teacher has nothing to forget or nothing to retain, or a single one does not fit.
        """
        parts: dict[int, list[Unlearning]] = {}
        for item in group:
            if item.teacher.key not in self._corrupted:
                mask = self._session.member(item.teacher).corrupted.mask
                Partition.of(mask[None])
                self._corrupted[item.teacher.key] = int(mask.sum())
            parts.setdefault(self._corrupted[item.teacher.key], []).append(item)
        return [cut for part in parts.values() for cut in unlearning_parts(self._session, part)]


def _count(items: Iterable[Trial | Unlearning | Measurement], keys: Collection[str]) -> int:
    return sum(item.key in keys for item in items)


def _build(session: Session, trials: Sequence[Trial]) -> Model:
    """The model of an ensemble.

    Raises:
        DataError: it takes more memory than there is.
    """
    try:
        model = session.build(trials[0])
        check_initial(model, trials[0].seed)
        return model
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        config = trials[0].config["model"]
        raise DataError(f"There is not enough memory for {trials[0].label} with {config}.") from None


def _unlearn(session: Session, group: Sequence[Unlearning], run_ids: Mapping[str, str]) -> dict[str, str]:
    """Applies every method of a group to its teachers; teachers that failed are left out, and said to be.

    Returns:
        The run of each finished unlearning, by its key.
    """
    able = [item for item in group if item.teacher.key in run_ids]
    session.fail([item for item in group if item.teacher.key not in run_ids], TEACHER_FAILED)
    if not able:
        return {}
    try:
        teachers = load_teachers(session, able, run_ids)
    except (StoreError, DamagedCheckpoint):
        raise
    except (Exception, SystemExit) as error:  # a user's model may raise anything while its oracles are trained
        interrupts.check()
        message = described(error)
        session.fail(able, message)
        session.reporter.ensemble_failed(message)
        return {}
    methods: dict[str, list[Unlearning]] = {}
    for item in able:
        methods.setdefault(item.method_key, []).append(item)
    finished: dict[str, str] = {}
    for items in methods.values():
        finished |= apply_method(session, teachers, items)
    return finished
