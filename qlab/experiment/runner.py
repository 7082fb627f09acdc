"""The runner: trains what the store does not have, applies unlearning methods, and sums up."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable

import pandas as pd

from qlab import interrupts
from qlab.errors import QlabError, StoreError, UnsentError
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning
from qlab.experiment.assembly import Assembly
from qlab.experiment.choosing import Choosing
from qlab.experiment.engine.graph import Workers
from qlab.experiment.engine.here import Alone
from qlab.experiment.jobs.materials import Materials, Setting
from qlab.experiment.planning.foreseen import check_blocks, check_noise
from qlab.experiment.planning.measured import curveless_notice, mixed_reason
from qlab.experiment.planning.plan import DAMAGED, Plan
from qlab.experiment.planning.proposing import tracking_notice
from qlab.experiment.planning.same_data import check_same_data
from qlab.experiment.planning.seeds import check_seeds
from qlab.experiment.planning.work import Work
from qlab.experiment.recording.claims import register_claims
from qlab.experiment.recording.failures import failure_lines
from qlab.experiment.recording.group_states import delete_unneeded
from qlab.experiment.recording.parent import find_parent, open_parent
from qlab.experiment.recording.recorder import DamagedCheckpoint, Recorder
from qlab.experiment.recording.refusal import clear_refusals, record_refusal
from qlab.experiment.recording.resumption import delete_left_states
from qlab.experiment.recording.summary import Summary, summarise
from qlab.experiment.reporting import Reporter, Silent
from qlab.tracking import names
from qlab.tracking.holding import HeldError
from qlab.tracking.standing import end_left
from qlab.tracking.store import Store

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
        choices: what was chosen for each group of a selection, in words.
        compared: how many trials were trained now to be compared.
        audits: the audits' summary, see :func:`qlab.views.audit_tables.summarize_audits`; empty without audits.
        claims: what was claimed, and the verdicts, see :func:`qlab.claims.table.claim_table`.
        maps: names of the heat maps among the figures.
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
    choices: tuple[str, ...] = ()
    compared: int = 0
    claims: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    maps: tuple[str, ...] = ()
    audits: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)


class Runner:
    """Runs experiments into a store.

    Args:
        store: where runs are written, and finished trials are found.
        reporter: is told about progress.
        workers: run the jobs; by default this process does.
        summarise: sums an experiment up at its end, given its recorder and the parent run.
        wait: whether to wait for another command that runs the same experiment; else that is an error.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter | None = None,
        workers: Workers | None = None,
        summarise: Callable[[Recorder, str], Summary] = summarise,
        *,
        wait: bool = True,
    ) -> None:
        self._store = store
        self._reporter: Reporter = reporter or Silent()
        self._workers: Workers = workers or Alone()
        self._summarise = summarise
        self._wait = wait

    def run(self, experiment: Experiment) -> Outcome:
        """Runs what the store does not have yet, then summarises the whole experiment.

        What fails is recorded as failed and the rest goes on. On ``KeyboardInterrupt`` the runs in progress are
        marked as killed, finished ones are kept, and the interrupt goes on. While another command runs the same
        experiment this one waits.

        Raises:
            QlabError: the experiment cannot be run at all; then there is no run of it but its parent run, which failed.
        """
        device = self._workers.device(experiment.device)
        materials = Materials(Setting(str(device), experiment.evaluate_every, experiment.checkpoint_seconds))
        recorder = Recorder(self._store, self._reporter, experiment, side_by_side=self._workers.number > 1)
        choosing = None if experiment.selection is None else Choosing(recorder, experiment)
        with recorder.lock:
            try:
                if choosing is not None:
                    choosing.check(materials)
                    recorder.experiment = choosing.stage()
                plan = self._plan(recorder, materials)
                memory = self._workers.memory(experiment.memory, device)
                # What can go wrong before training goes wrong here, while there are no runs yet.
                work = Work(materials, plan, memory, self._workers.number)
            except (StoreError, HeldError):
                raise
            except QlabError as error:
                interrupts.check()
                record_refusal(recorder, error)
                raise
            parent = None
            try:
                with recorder.tracking():
                    parent = open_parent(recorder, busy=_is_busy(plan))
                    clear_refusals(recorder, parent)
                    register_claims(recorder, parent, experiment, plan.run_ids)  # before anything is trained
                start, tracked = time.perf_counter(), recorder.tracking_seconds
                self._carry_out(recorder, materials, work, plan, parent)
                while choosing is not None and not choosing.is_over:
                    recorder.experiment = choosing.next(parent)
                    plan = self._plan(recorder, materials).without(recorder.failed)  # not tried again by this command
                    work = Work(materials, plan, memory, self._workers.number)
                    if _is_busy(plan):
                        with recorder.tracking():
                            self._store.finish(parent, "RUNNING")
                    self._carry_out(recorder, materials, work, plan, parent)
                experiment = recorder.experiment
                working = max(0.0, time.perf_counter() - start - (recorder.tracking_seconds - tracked))
                with recorder.tracking():
                    settled = self._store.settle(_SETTLE_SECONDS)
                recorder.close()
                if settled:
                    tables = self._summarise(recorder, parent)
                with recorder.tracking():
                    self._store.delete_tag(parent, names.ERROR)  # of an earlier time
                    self._store.finish(parent, "FAILED" if recorder.failed else "FINISHED")
            except BaseException as stopped:
                recorder.abandon_all(parent, stopped)
                raise
        if not settled:
            raise UnsentError(
                f"{experiment.name} has run to its end, but the tracking server has not all of it. "
                f"{self._store.unsent()} Running it again then draws the summary."
            )
        finished = recorder.finished.keys()
        return Outcome(
            parent_run=self._store.known_as(parent),
            table=tables.trials,
            unlearning=tables.unlearning,
            trained=_count(experiment.trials, finished),
            reused=len(experiment.trials) - _count(experiment.trials, finished | recorder.failed.keys()),
            unlearned=_count(experiment.unlearnings, finished),
            probes=tables.probes,
            measured=_count(experiment.probe_runs, finished),
            failed=recorder.failed,
            failures=failure_lines(experiment, recorder.failed, () if choosing is None else choosing.candidates),
            choices=() if choosing is None else tuple(choice.line for choice in choosing.choices),
            compared=0 if choosing is None else _count(choosing.candidates, finished),
            missing=tables.missing,
            claims=tables.claims,
            maps=tables.maps,
            audits=tables.audits,
            artifacts=self._store.artifact_place(parent),
            working_seconds=working,
            tracking_seconds=recorder.tracking_seconds,
        )

    def _plan(self, recorder: Recorder, materials: Materials) -> Plan:
        """What is left to do, once no other command does it.

        Raises:
            HeldError: another has the experiment, and is not to be waited for.
        """
        with recorder.tracking():
            plan = Plan.of(recorder.experiment, self._store)
        check_blocks(plan)
        check_same_data(self._store, materials, plan)
        check_seeds(materials, plan.todo)
        with recorder.tracking():
            needed = _is_busy(plan) or find_parent(recorder) is None
        if needed:
            recorder.lock.acquire(wait=self._wait, tell=self._reporter.notice)
            # Another command may have done some of it until now, waited for or not.
            before, plan = plan, self._left_by_others(recorder, plan)
            if plan.run_ids.keys() != before.run_ids.keys():
                check_same_data(self._store, materials, plan)
        check_noise(plan, materials)
        self._reporter.planned(plan)
        if (said := tracking_notice(plan)) is not None:
            self._reporter.notice(said)
        for item in plan.mixed:
            recorder.fail([item], mixed_reason(item))
        if plan.curveless:
            self._reporter.notice(curveless_notice(plan.curveless))
        return plan

    def _left_by_others(self, recorder: Recorder, before: Plan) -> Plan:
        """What is left after another command has run the same; what it failed at counts, and is not tried again."""
        with recorder.tracking():
            plan = Plan.of(recorder.experiment, self._store)
        old = {before.last_runs[key] for key, status in before.states.items() if status == "FAILED"}
        failed = {
            key
            for key, status in plan.states.items()
            if status == "FAILED" and plan.last_runs[key] not in old and key in plan.errors
        }
        for item in recorder.experiment.items:
            if item.key in failed and plan.errors[item.key] != DAMAGED:
                recorder.fail([item], plan.errors[item.key])
        return plan.without(recorder.failed)

    def _carry_out(self, recorder: Recorder, materials: Materials, work: Work, plan: Plan, parent: str) -> None:
        """Does what a plan leaves to do, if the experiment is this command's."""
        recorder.confirm()
        if recorder.lock.held:
            with recorder.tracking():
                end_left(self._store, recorder.experiment_id, but=parent)
                delete_left_states(recorder)
            self._do(recorder, materials, work, plan, parent)
            delete_unneeded(recorder)
        recorder.confirm()

    def _do(self, recorder: Recorder, materials: Materials, work: Work, plan: Plan, parent: str) -> None:
        """Does all that is left; models whose checkpoints are damaged when they are needed are made again.

        Raises:
            DamagedCheckpoint: one was damaged a second time.
        """
        discarded: set[str] = set()
        while True:
            recorder.run_ids = plan.run_ids | recorder.finished
            try:
                graph = Assembly(recorder, materials, work, plan, parent).graph()
                if not graph:
                    return
                self._reporter.assembled(len({node.recording.told for node in graph} - {None}))
                with self._workers.engine(materials) as engine:
                    return engine.run(graph)
            except DamagedCheckpoint as damage:
                with recorder.tracking():
                    run = self._store.get_run(damage.run_id)
                    key = run.data.tags[names.TRIAL_KEY]
                    if key in discarded:
                        raise
                    discarded.add(key)
                    self._reporter.notice(f"{run.info.run_name}: its checkpoint is damaged; it is made again")
                    recorder.discard(damage.run_id, key)
            with recorder.tracking():
                plan = Plan.of(recorder.experiment, self._store).without(recorder.failed)


def _is_busy(plan: Plan) -> bool:
    return bool(plan.todo or plan.todo_unlearnings or plan.todo_probe_runs or plan.measurements or plan.audits)


def _count(items: Iterable[Trial | Unlearning | ProbeRun], keys: Collection[str]) -> int:
    return sum(item.key in keys for item in items)
