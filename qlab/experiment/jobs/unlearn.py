"""Applying an unlearning method to trained models, and comparing what comes of it with their oracles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.corruptions import Knowledge
from qlab.experiment.asking.trial import ALL_KNOWN, Trial, Unlearning
from qlab.experiment.jobs.base import Inputs, Job, Report, Result
from qlab.experiment.jobs.corrective import corrective_accuracy, corrective_rows
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.jobs.measured_rows import unseen_validation
from qlab.models import Model
from qlab.models.rows import prepare_features, take_rows
from qlab.tasks import Task
from qlab.training import Member, ensemble
from qlab.training.data import EnsembleData, prepare
from qlab.training.drawn import Draws
from qlab.training.health import Health, health_of
from qlab.training.metrics import accuracy, evaluate_split, logits_of
from qlab.training.threads import suited_threads
from qlab.unlearning import Samples, oracle
from qlab.unlearning.engine import Partition, Unlearned, unlearn

STEPS_TO_ORACLE = 0.95
"""``steps_to_oracle`` is the first step with this fraction of the oracles' validation accuracy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Taught:
    """Trained models that are unlearned together: they differ in seed only.

    Args:
        trials: their trials.
        model: their model, built.
        data: their data, prepared.
        parameters: their trained parameters, stacked.
        compared: for each the rows on which it is compared with its oracles.
        corrective: for each prepared features and true labels of the rows of its corrective accuracy.
        test: prepared features and labels of the test split, if there is one.
    """

    trials: tuple[Trial, ...]
    model: Model
    data: EnsembleData
    parameters: ensemble.Parameters
    compared: tuple[oracle.ComparedRows, ...]
    corrective: tuple[tuple[Tensor, Tensor], ...]
    test: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, materials: Materials, trials: tuple[Trial, ...], inputs: Inputs) -> Taught:
        """Prepares teachers whose trained models are among the inputs."""
        model = materials.build(trials[0])
        members = [materials.member(trial) for trial in trials]
        dataset = materials.dataset(trials[0].task)
        data, test = prepare(model, members, dataset.validation, materials.device), dataset.test
        stacked = ensemble.stack([dict(inputs.states[trial.key]) for trial in trials], model)
        compared = [
            _compared_rows(materials, trial, member, model, data) for trial, member in zip(trials, members, strict=True)
        ]
        return cls(
            trials,
            model,
            data,
            {name: value.to(materials.device) for name, value in stacked.items()},
            tuple(compared),
            tuple(_corrective_rows(materials, trial, rows) for trial, rows in zip(trials, compared, strict=True)),
            None if test is None else (prepare_features(model, test.x), test.y.to(model.dtype)),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Ended:
    """How one model was unlearned.

    Args:
        health: of what came of it.
        failed_at: the step at which its loss was not finite; then nothing is measured.
        metrics: what is measured at the end.
    """

    health: Health
    failed_at: int | None
    metrics: Mapping[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Forgotten(Result):
    """Models after unlearning.

    Args:
        history: metrics before the first step and after each, ``[members, steps + 1]``.
        ended: how each went, by the unlearning's key, in the order of the members.
    """

    history: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    ended: Mapping[str, Ended] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Unlearn(Job):
    """Applies one method to teachers that differ in seed only; those that failed to train are left out.

    Args:
        unlearnings: of the method, told the same of the corrupted rows.
        teachers: of these and of the other methods that are applied to the same models, prepared together.
        planned: how many steps a budget pays for, for people; None without one.
    """

    unlearnings: tuple[Unlearning, ...]
    teachers: tuple[Trial, ...]
    planned: int | None = None

    @property
    def label(self) -> str:
        """See the base class."""
        first = self.unlearnings[0]
        return ", ".join(filter(None, (f"{first.method} of {first.teacher.model_name}", first.knowledge.label)))

    @property
    def task(self) -> Task:
        """See the base class."""
        return self.teachers[0].task

    @property
    def steps(self) -> int:
        """How many the method takes."""
        return self.unlearnings[0].unlearner.steps if self.planned is None else self.planned

    def able(self, keys: Mapping[str, object]) -> list[Unlearning]:
        """Those whose teachers were trained, by the keys of what was."""
        return [item for item in self.unlearnings if item.teacher.key in keys]

    def is_needed(self, inputs: Inputs) -> bool:
        """Whether a teacher was trained."""
        return bool(self.able(inputs.states))

    def run(self, materials: Materials, inputs: Inputs, report: Report) -> Forgotten:
        """See the base class."""
        trials = tuple(trial for trial in self.teachers if trial.key in inputs.states)
        taught = materials.latest(
            "teachers", tuple(trial.key for trial in trials), lambda: Taught.of(materials, trials, inputs)
        )
        able = self.able(inputs.states)
        first = able[0]
        positions = [[trial.key for trial in trials].index(item.teacher.key) for item in able]
        rows = torch.tensor(positions)
        parameters = {name: value[rows] for name, value in taught.parameters.items()}
        data = dataclasses.replace(taught.data.members(rows.to(materials.device)), told=told_in(materials, able))
        seeds = [item.seed for item in able]
        trainer = first.teacher.trainer
        result = unlearn(
            first.unlearner,
            taught.model,
            parameters,
            data,
            seeds,
            observer=report.epoch,
            trained_loss=trainer.loss,
            weight_decay=trainer.l2_penalty,
            unseen=[_unseen(taught, position) for position in positions],
        )
        relearned = _relearn(taught.model, result, data, first)
        ended = {
            item.key: _ended(taught, item, positions[index], result, index, relearned[index], inputs)
            for index, item in enumerate(able)
        }
        for index, item in enumerate(able):
            if (found := ended[item.key]).failed_at is None:
                given = _as_given(data, result.logits, index)
                ended[item.key] = dataclasses.replace(found, metrics={**found.metrics, **given})
        buffers = taught.model.state_dict()
        states = {
            item.key: {**buffers, **ensemble.member(result.parameters, index)}
            for index, item in enumerate(able)
            if ended[item.key].failed_at is None
        }
        return Forgotten(seconds=result.seconds, states=states, history=result.history, ended=ended)


def told_in(materials: Materials, items: Sequence[Unlearning]) -> Tensor | None:
    """Which rows methods are told to forget, ``[members, N]``; None if these are the corrupted ones."""
    if items[0].knowledge.is_complete:
        return None
    return torch.stack([materials.told(item.teacher, item.knowledge) for item in items]).to(materials.device)


def _unseen(taught: Taught, position: int) -> Samples:
    """Validation rows of a teacher that were corrupted as its training rows were."""
    rows = taught.compared[position]
    return Samples(rows.unseen_x, rows.unseen_y.to(taught.model.dtype))


def _ended(
    taught: Taught,
    item: Unlearning,
    position: int,
    result: Unlearned,
    index: int,
    relearned: int | None,
    inputs: Inputs,
) -> Ended:
    """What is measured of one model at the end."""
    if index in result.failures:
        return Ended("diverged", result.failures[index], {})
    student = {name: parameter[index : index + 1] for name, parameter in result.parameters.items()}
    teacher = {name: parameter[position : position + 1].cpu() for name, parameter in taught.parameters.items()}
    oracles = _stacked(taught, item, ALL_KNOWN, inputs)
    reachable = None if item.knowledge.is_complete else _stacked(taught, item, item.knowledge, inputs)
    compared = {"": student, "_teacher": teacher, "_oracle": oracles}
    with suited_threads(taught.model, item.oracles):
        final = oracle.oracle_distance(taught.model, student, oracles, taught.compared[position])
        if reachable is not None:
            compared["_reachable"] = reachable
            found = oracle.oracle_distance(taught.model, student, reachable, taught.compared[position])
            final |= oracle.of_reachable(found)
        for name, parameters in compared.items():
            final |= _corrected(taught, parameters, position, f"corrective_accuracy{name}")
        loss = item.teacher.trainer.loss
        tested = {}
        if taught.test is not None:
            x, y = taught.test
            draws = Draws.of(taught.model, [item.seed], student, x[:1], x.device)
            drawn = draws.of_rows(len(y), "test of unlearning", result.steps)
            tested = evaluate_split(taught.model, student, x, y, "test", loss, drawn)
    final |= {name: float(value) for name, value in tested.items()}
    if "oracle_accuracy" in final:
        target = STEPS_TO_ORACLE * final["oracle_accuracy"]
        reached = np.flatnonzero(result.history["validation_accuracy"][index] >= target)
        if len(reached):
            final["steps_to_oracle"] = float(reached[0])
    if relearned is not None:
        final["relearn_steps"] = float(relearned)
    final |= {name: float(values[index]) for name, values in result.measured.items()}
    final |= {"unlearning_seconds": result.seconds, "loss_evaluations": float(result.loss_evaluations)}
    final["gradient_evaluations"] = float(result.gradient_evaluations)
    return Ended(health_of(result.history["train_loss"][index][-1:], result.logits[index]), None, final)


def _as_given(data: EnsembleData, logits: Tensor, index: int) -> dict[str, float]:
    """Accuracy with the labels that rows have: what one who does not know the hidden rows can compute."""
    y, told = data.train_y.cpu()[index : index + 1].double(), data.to_forget.cpu()[index : index + 1]
    z = logits[index : index + 1, : y.shape[1]]
    rows = {"given_accuracy_forget": told, "given_accuracy_retain": ~told}
    return {name: float(accuracy(z, y, own)[0]) for name, own in rows.items()}


def _stacked(taught: Taught, item: Unlearning, knowledge: Knowledge, inputs: Inputs) -> ensemble.Parameters:
    """The oracles of a teacher that were trained without the rows which are known."""
    keys = [item.teacher.oracle_key(number, knowledge) for number in range(item.oracles)]
    return ensemble.stack([dict(inputs.states[key]) for key in keys], taught.model)


def _corrected(taught: Taught, parameters: ensemble.Parameters, position: int, name: str) -> dict[str, float]:
    """Corrective accuracy, the mean over models that did not diverge; nothing without rows to measure it on."""
    x, y = taught.corrective[position]
    z = logits_of(taught.model, parameters, x) if len(y) else torch.empty(0, 0)
    finite = z.isfinite().all(1) if len(y) else torch.zeros(0, dtype=torch.bool)
    return {name: float(corrective_accuracy(z[finite], y).mean())} if finite.any() else {}


def _relearn(model: Model, result: Unlearned, data: EnsembleData, first: Unlearning) -> Sequence[int | None]:
    """Steps until the forgotten labels are back, at the learning rate of the teachers' training."""
    forget = Partition.of(data.forget).forget
    parameters = {name: value.to(data.train_y.device) for name, value in result.parameters.items()}
    with suited_threads(model, len(forget)):
        return oracle.relearn_steps(
            model,
            parameters,
            take_rows(data.train_x, forget, data.shared),
            data.train_y.gather(1, forget),
            first.teacher.trainer.learning_rate,
        )


def _compared_rows(
    materials: Materials, trial: Trial, member: Member, model: Model, data: EnsembleData
) -> oracle.ComparedRows:
    dataset = materials.dataset(trial.task)
    validation = dataset.validation
    unseen = unseen_validation(materials, trial)
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


def _corrective_rows(materials: Materials, trial: Trial, rows: oracle.ComparedRows) -> tuple[Tensor, Tensor]:
    """Their features are those of compared rows, which are prepared already and need not be held twice."""
    _, y = corrective_rows(materials, trial)
    return rows.unseen_x if trial.corruption.has_trigger else rows.forget_x, y
