"""Training the trials of an experiment, a run in the store for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qlab import own_code
from qlab.experiment.resumption import Interrupted, StateWriter, interrupted_trials
from qlab.experiment.session import Session
from qlab.experiment.trial import Trial
from qlab.models import Model
from qlab.tracking import names
from qlab.tracking.store import MetricRow
from qlab.tracking.writer import MetricWriter
from qlab.training import Member, TrainedEnsemble
from qlab.training.schedule import snapshot_epochs
from qlab.training.state import Checkpoints, TrainingState

EVERY_EPOCH = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
"""Metrics logged after each epoch. The others are logged after the last one."""


def train_ensemble(
    session: Session,
    parent: str,
    trials: Sequence[Trial],
    model: Model,
    *,
    unfinished: Mapping[str, str],
    trajectories: bool = False,
) -> dict[str, str]:
    """Trains an ensemble and writes its runs; trials that were interrupted go on in their old runs.

    A failure is recorded in the runs and in the session, and does not stop the experiment.

    Args:
        session: what the experiment's parts share.
        parent: the experiment's run.
        trials: of one ensemble.
        model: their model, built.
        unfinished: the last run of trials that were interrupted, by the trial's key.
        trajectories: whether to keep parameters at some epochs.

    Returns:
        The run of each finished trial, by the trial's key.
    """
    if not session.mine(trials):
        return {}
    with session.tracking():
        interrupted = interrupted_trials(session, trials, model, unfinished)
    fresh = [trial for trial in trials if trial.key not in interrupted]
    finished = _train(session, parent, fresh, model, [], trajectories) if fresh else {}
    # A worker may be killed while it writes states: some trials of an ensemble may be an interval behind the others.
    alike: dict[object, list[Trial]] = {}
    for trial in trials:
        if trial.key in interrupted:
            alike.setdefault(interrupted[trial.key].state.together, []).append(trial)
    for group in alike.values():
        saved = [interrupted[trial.key] for trial in group]
        finished |= _train(session, parent, group, model, saved, trajectories)
    return finished


def _train(
    session: Session,
    parent: str,
    trials: Sequence[Trial],
    model: Model,
    saved: Sequence[Interrupted],
    trajectories: bool,
) -> dict[str, str]:
    """Trains trials that have got equally far: from the beginning, or from the states of all."""
    first = trials[0]
    label = f"{first.names['model']} on {first.names['task']}, {first.names['corruption']}"
    if saved:
        label += f", after epoch {saved[0].state.epoch}"
    engine = getattr(model, "engine_name", "")
    session.reporter.ensemble_started(label, engine, len(trials), first.trainer.epochs)
    try:
        members = [session.member(trial) for trial in trials]
    except Exception as error:  # a user's corruption may raise anything
        _fail(session, parent, trials, engine, own_code.described(error))
        return {}
    with session.tracking():
        if saved:
            run_ids = _reopen_runs(session, parent, trials, saved, engine)
            known = session.store.last_steps(run_ids, sorted({name for item in saved for name in item.metrics}))
        else:
            run_ids, known = _create_runs(session, parent, trials, members, engine), []
    writer = MetricWriter(session.store, run_ids, known)
    states = StateWriter(session, trials, run_ids, writer.flush, [item.entry for item in saved] or [None] * len(trials))
    last = first.trainer.epochs

    def observe(epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        session.confirm(trials)
        with session.tracking():
            writer.log(epoch, {name: metrics[name] for name in EVERY_EPOCH} if epoch < last else metrics)
        session.reporter.epoch(epoch, metrics)

    unfinished = dict(zip(run_ids, trials, strict=True))
    finished: dict[str, str] = {}
    with session.running(unfinished, writer):
        validation = session.dataset(first.task).validation
        trained = first.trainer.fit(
            model,
            members,
            validation,
            observer=observe,
            device=session.device,
            snapshots=snapshot_epochs(last) if trajectories else (),
            evaluate_every=session.experiment.evaluate_every,
            resume=TrainingState.stack([item.state for item in saved]) if saved else None,
            checkpoint=Checkpoints(states, session.experiment.checkpoint_seconds),
        )
        session.confirm(trials)
        with session.tracking():
            for index, run_id in enumerate(run_ids):
                _finish_run(session, run_id, trials[index], trained, index, writer.take(index))
                finished[unfinished.pop(run_id).key] = run_id
                states.remove(index)
        session.reporter.ensemble_finished(trained.seconds, trained.health)
    return finished


def _fail(session: Session, parent: str, trials: Sequence[Trial], engine: str, message: str) -> None:
    """Writes runs of trials that failed before there were data to train on."""
    with session.tracking():
        run_ids = _create_runs(session, parent, trials, (), engine)
        session.end(run_ids, "FAILED", message)
    session.fail(trials, message)
    session.reporter.ensemble_failed(message)


def _reopen_runs(
    session: Session, parent: str, trials: Sequence[Trial], saved: Sequence[Interrupted], engine: str
) -> list[str]:
    with session.starting() as run_ids:
        for trial, item in zip(trials, saved, strict=True):
            run_ids.append(item.run_id)
            tags = session.tags(names.TRIAL, trial.key, parent, trial.seed, engine) | trial.group_tags
            session.store.set_tags(item.run_id, tags)
            session.store.delete_tag(item.run_id, names.ERROR)
            session.store.finish(item.run_id, "RUNNING")
    return run_ids


def _create_runs(
    session: Session, parent: str, trials: Sequence[Trial], members: Sequence[Member], engine: str
) -> list[str]:
    with session.starting() as run_ids:
        for index, trial in enumerate(trials):
            run_ids.append(
                session.store.create_run(
                    session.experiment_id,
                    trial.label,
                    params=trial.params,
                    tags={
                        **session.tags(names.TRIAL, trial.key, parent, trial.seed, engine),
                        **trial.group_tags,
                        **_data_tag(session, trial),
                    },
                    datasets=session.dataset_records(trial, members[index]) if members else (),
                )
            )
    return run_ids


def _data_tag(session: Session, trial: Trial) -> dict[str, str]:
    """What tells a task's data from others, see :mod:`qlab.experiment.same_data`."""
    digest = session.data_digest(trial.task)
    return {} if digest is None else {names.DATA: digest}


def _finish_run(
    session: Session, run_id: str, trial: Trial, trained: TrainedEnsemble, index: int, metrics: Sequence[MetricRow]
) -> None:
    tags = {names.HEALTH: trained.health[index]}
    session.save_checkpoint(run_id, trained.model, trained.state_of(index), trial.names["model"], tags, metrics)
    if trained.trajectory:
        path = {name: points[index] for name, points in trained.trajectory.items()}
        session.save_tensors(run_id, path, names.TRAJECTORY)
    session.store.finish(run_id)
