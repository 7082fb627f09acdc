"""Applying unlearning methods to trained models, a run below its teacher's for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from qlab import seeding
from qlab.experiment.oracle_runs import oracles_of
from qlab.experiment.session import Session
from qlab.experiment.trial import Trial, Unlearning
from qlab.models import Model
from qlab.models.base import prepare_features, take_rows
from qlab.tracking import names
from qlab.tracking.store import MetricRow, now_ms
from qlab.tracking.writer import MetricWriter
from qlab.training import Member, ensemble
from qlab.training.data import EnsembleData, prepare
from qlab.training.health import health_of
from qlab.training.threads import suited_threads
from qlab.unlearning import oracle
from qlab.unlearning.engine import Partition, Unlearned, unlearn

STEPS_TO_ORACLE = 0.95
"""``steps_to_oracle`` is the first step with this fraction of the oracles' validation accuracy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Teachers:
    """Trained models that are unlearned together: they differ in seed only.

    Args:
        trials: their trials.
        run_ids: their runs.
        model: their model, built.
        data: their data, prepared.
        parameters: their trained parameters, stacked.
        oracles: for each the parameters of its oracles, stacked.
        compared: for each the rows on which it is compared with its oracles.
    """

    trials: tuple[Trial, ...]
    run_ids: tuple[str, ...]
    model: Model
    data: EnsembleData
    parameters: ensemble.Parameters
    oracles: tuple[ensemble.Parameters, ...]
    compared: tuple[oracle.ComparedRows, ...]


def load_teachers(session: Session, unlearnings: Sequence[Unlearning], run_ids: Mapping[str, str]) -> Teachers:
    """Fetches teachers from the store, and their oracles; those that are missing are trained.

    Args:
        session: what the experiment's parts share.
        unlearnings: whose teachers differ in seed only.
        run_ids: the run of every finished trial, by the trial's key.
    """
    trials = tuple({item.teacher.key: item.teacher for item in unlearnings}.values())
    model = session.build(trials[0])
    members = [session.member(trial) for trial in trials]
    validation = session.dataset(trials[0].task).validation
    data = prepare(model, members, validation, session.device)
    runs = tuple(run_ids[trial.key] for trial in trials)
    with session.tracking():
        states = [session.load_state(run_id, session.experiment.folder) for run_id in runs]
    parameters = {name: value.to(session.device) for name, value in ensemble.stack(states, model).items()}
    oracles = oracles_of(session, trials, runs, members, model, unlearnings[0].oracles)
    compared = tuple(
        _compared_rows(session, trial, member, model, data) for trial, member in zip(trials, members, strict=True)
    )
    return Teachers(trials, runs, model, data, parameters, oracles, compared)


def apply_method(session: Session, teachers: Teachers, unlearnings: Sequence[Unlearning]) -> dict[str, str]:
    """Applies one method to teachers and writes its runs, children of the teachers' runs.

    A failure is recorded in the run of the member it happened to, and in the session.

    Args:
        session: what the experiment's parts share.
        teachers: see :func:`load_teachers`.
        unlearnings: of one method, on some or all of the teachers.

    Returns:
        The run of each finished unlearning, by its key.
    """
    first = unlearnings[0]
    if not session.mine(unlearnings):
        return {}
    positions = [[trial.key for trial in teachers.trials].index(item.teacher.key) for item in unlearnings]
    rows = torch.tensor(positions)
    parameters = {name: value[rows] for name, value in teachers.parameters.items()}
    data = teachers.data.members(rows.to(session.device))
    label = f"{first.name} of {first.teacher.names['model']}"
    session.reporter.ensemble_started(label, "", len(unlearnings), first.unlearner.steps)
    with session.tracking():
        run_ids = _create_runs(session, teachers, unlearnings, positions)
    writer = MetricWriter(session.store, run_ids)

    def observe(step: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        session.confirm(unlearnings)
        with session.tracking():
            writer.log(step, metrics)
        session.reporter.epoch(step, metrics)

    unfinished = dict(zip(run_ids, unlearnings, strict=True))
    with session.running(unfinished, writer):
        seeds = [item.seed for item in unlearnings]
        result = unlearn(first.unlearner, teachers.model, parameters, data, seeds, observer=observe)
        relearned = _relearn(teachers, result, data, first)
        session.confirm(unlearnings)
        health = []
        for index, (item, run_id) in enumerate(zip(unlearnings, run_ids, strict=True)):
            ended = _finish_run(
                session, teachers, item, positions[index], result, index, relearned[index], run_id, writer.take(index)
            )
            health.append(ended)
            del unfinished[run_id]
        session.reporter.ensemble_finished(result.seconds, health)
    runs = {item.key: run_id for item, run_id in zip(unlearnings, run_ids, strict=True)}
    return {key: run_id for key, run_id in runs.items() if key not in session.failed and run_id not in unfinished}


def _create_runs(
    session: Session, teachers: Teachers, unlearnings: Sequence[Unlearning], positions: Sequence[int]
) -> list[str]:
    with session.starting() as run_ids:
        for item, position in zip(unlearnings, positions, strict=True):
            tags = session.tags(names.UNLEARNING, item.key, teachers.run_ids[position], item.teacher.seed, "")
            tags |= {names.TEACHER: item.teacher.key, **item.group_tags}
            run_ids.append(session.store.create_run(session.experiment_id, item.label, params=item.params, tags=tags))
    return run_ids


def _finish_run(
    session: Session,
    teachers: Teachers,
    item: Unlearning,
    position: int,
    result: Unlearned,
    index: int,
    relearned: int | None,
    run_id: str,
    metrics: list[MetricRow],
) -> str:
    """Logs what is measured at the end, and metrics that are left; returns the health of the unlearned model."""
    if index in result.failures:
        message = f"the loss was not finite at step {result.failures[index]} (seed {item.teacher.seed})"
        with session.tracking():
            session.store.log(run_id, metrics=metrics, tags={names.HEALTH: "diverged"})
            session.end([run_id], "FAILED", message)
        session.fail([item], message)
        return "diverged"
    student = {name: parameter[index : index + 1] for name, parameter in result.parameters.items()}
    with suited_threads(teachers.model, len(next(iter(teachers.oracles[position].values())))):
        final = oracle.oracle_distance(teachers.model, student, teachers.oracles[position], teachers.compared[position])
    if "oracle_accuracy" in final:
        target = STEPS_TO_ORACLE * final["oracle_accuracy"]
        reached = np.flatnonzero(result.history["validation_accuracy"][index] >= target)
        if len(reached):
            final["steps_to_oracle"] = float(reached[0])
    if relearned is not None:
        final["relearn_steps"] = float(relearned)
    final |= {"unlearning_seconds": result.seconds, "loss_evaluations": float(result.loss_evaluations)}
    health = health_of(result.history["train_loss"][index][-1:], result.logits[index])
    with session.tracking():
        now = now_ms()
        metrics += [(name, value, item.unlearner.steps, now) for name, value in final.items()]
        state = {**teachers.model.state_dict(), **ensemble.member(result.parameters, index)}
        tags = {names.HEALTH: health}
        session.save_checkpoint(run_id, teachers.model, state, item.teacher.names["model"], tags, metrics)
        session.store.finish(run_id)
    return health


def _relearn(teachers: Teachers, result: Unlearned, data: EnsembleData, first: Unlearning) -> list[int | None]:
    """Steps until the forgotten labels are back, at the learning rate of the teachers' training."""
    forget = Partition.of(data.forget).forget
    parameters = {name: value.to(data.train_y.device) for name, value in result.parameters.items()}
    with suited_threads(teachers.model, len(forget)):
        return oracle.relearn_steps(
            teachers.model,
            parameters,
            take_rows(data.train_x, forget, data.shared),
            data.train_y.gather(1, forget),
            first.teacher.trainer.learning_rate,
        )


def _compared_rows(
    session: Session, trial: Trial, member: Member, model: Model, data: EnsembleData
) -> oracle.ComparedRows:
    validation = session.dataset(trial.task).validation
    everything = dataclasses.replace(trial.corruption, ratio=1.0)
    unseen = everything.apply(validation, trial.task, seeding.generator(trial.seed, "unseen"))
    corrupted = member.corrupted
    return oracle.ComparedRows(
        validation_x=data.validation_x.cpu(),
        validation_y=validation.y,
        forget_x=prepare_features(model, corrupted.split.x[corrupted.mask]),
        forget_y=corrupted.split.y[corrupted.mask],
        # Not every corruption takes every row at ratio 1.
        unseen_x=prepare_features(model, unseen.split.x[unseen.mask]),
        unseen_y=unseen.split.y[unseen.mask],
    )
