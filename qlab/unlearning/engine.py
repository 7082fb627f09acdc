"""Applying a method to trained models, all seeds together on the ensemble axis."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab import own_code, seeding
from qlab.errors import DataError
from qlab.losses import Loss
from qlab.models import Model
from qlab.models.drawing import random_shapes
from qlab.models.rows import take_rows
from qlab.training import ensemble
from qlab.training.data import EnsembleData
from qlab.training.drawn import Draws
from qlab.training.loop import EpochObserver
from qlab.training.metrics import CROSS_ENTROPY, evaluate
from qlab.training.optimizers import SGD, Adam, Optimizer
from qlab.training.threads import suited_threads
from qlab.unlearning import draws
from qlab.unlearning.base import Unlearner
from qlab.unlearning.batch import Batch
from qlab.unlearning.budget import Sizes, afforded
from qlab.unlearning.calls import Caller, LossError, not_finite
from qlab.unlearning.changed import Changed, check_method, fresh_parameters
from qlab.unlearning.cost import Cost
from qlab.unlearning.learner import Setting
from qlab.unlearning.rewinding import Rewinder
from qlab.unlearning.samples import Samples

_OPTIMIZERS: dict[str, Callable[[ensemble.Parameters, float], Optimizer]] = {"Adam": Adam, "SGD": SGD}


@dataclasses.dataclass(frozen=True, eq=False)
class Unlearned:
    """Models after unlearning.

    Args:
        parameters: by name, first axis: member.
        history: metrics before the first step and after each, shape ``[members, steps + 1]``, float64.
        failures: for each member whose loss or update was not finite, the first step, counted from 1, at which it was
            not.
        logits: final logits on training, then validation rows, ``[members, N + M]``, float64.
        seconds: wall time, including the evaluation after each step.
        loss_evaluations: gradient evaluations, see :class:`qlab.unlearning.cost.Cost`: for a method with a loss, how
            often it (and its gradient) was evaluated, plus whatever else it asks for.
        gradient_evaluations: the same in gradients of one row, forward passes included.
        measured: what the method measures of its result, by name, ``[members]``, float64.
        trajectory: if asked for, parameters by name at the snapshots, ``[members, snapshots, ...]``, on the CPU.
    """

    parameters: ensemble.Parameters
    history: dict[str, NDArray[np.float64]]
    failures: dict[int, int]
    logits: Tensor
    seconds: float
    loss_evaluations: float
    gradient_evaluations: float
    measured: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    trajectory: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many were taken."""
        return next(iter(self.history.values())).shape[1] - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Partition:
    """Retain and forget rows of every member; all members have as many of each.

    Args:
        retain: positions of the rows that are kept, ``[members, n_retain]``.
        forget: positions of the rows that are to be forgotten: the corrupted ones, or what is told of them and of
            false alarms, ``[members, n_forget]``.
    """

    retain: Tensor
    forget: Tensor

    @classmethod
    def of(cls, forget: Tensor) -> Partition:
        """The partition that masks ``[members, N]`` of the rows to forget make.

        Raises:
            DataError: a set is empty, or members have sets of different sizes.
        """
        sizes = set(forget.sum(1).tolist())
        if len(sizes) != 1:
            raise DataError(
                f"Models are unlearned together only if the same number of their rows is corrupted, got "
                f"{sorted(sizes)}."
            )
        [size] = sizes
        if size == 0:
            raise DataError("There is nothing to forget: no row of the training split is corrupted. Raise the ratio.")
        if size == forget.shape[1]:
            raise DataError(
                "There is nothing to retain: every row of the training split is corrupted. Lower the ratio."
            )
        order = torch.argsort(forget.int(), dim=1, stable=True)
        return cls(order[:, : forget.shape[1] - size], order[:, forget.shape[1] - size :])


def unlearn(
    unlearner: Unlearner,
    model: Model,
    teachers: Mapping[str, Tensor],
    data: EnsembleData,
    seeds: Sequence[int],
    *,
    observer: EpochObserver | None = None,
    trained_loss: Loss = CROSS_ENTROPY,
    weight_decay: float = 0.0,
    unseen: Sequence[Samples] = (),
    curves: bool = True,
    same_rows: bool = False,
    snapshots: Collection[int] = (),
) -> Unlearned:
    """Applies a method to every teacher.

    Args:
        unlearner: the method; if it has a budget, that says how many steps are taken.
        model: the built model; its own parameters are overwritten.
        teachers: trained parameters, first axis: member.
        data: prepared data of the members, see :func:`qlab.training.data.prepare`.
        seeds: one for each member: fresh parameters and mini-batches are drawn with it.
        observer: called with step 0 before the first step and after every step, like a trainer's.
        trained_loss: what the teachers were trained with: ``train_loss`` and its like go on from theirs, and methods
            differentiate it.
        weight_decay: of the L2 penalty that they were trained with.
        unseen: for each member validation rows that were corrupted in the same way, for methods that rewind.
        curves: whether metrics are taken before the first step and after each, or after the last one only.
        same_rows: whether all members have the same rows, and the same of them to forget: they are then held once.
        snapshots: steps after which the parameters are kept for the trajectory; 0 for those before the first.

    Raises:
        DataError: nothing to forget or to retain, or no rows to rewind by.
        ConfigError: the budget does not pay for one step.
        LossError: the method's loss is not a scalar, or does not depend on the student; or its update is no parameters.
        QlabError: the method cannot be applied to the model.
    """
    check_method(unlearner, model, trained_loss, weight_decay)
    with suited_threads(model, len(seeds)):
        return _unlearn(
            unlearner,
            model,
            teachers,
            data,
            seeds,
            observer,
            trained_loss,
            weight_decay,
            unseen,
            curves,
            same_rows,
            snapshots,
        )


def _unlearn(
    unlearner: Unlearner,
    model: Model,
    teachers: Mapping[str, Tensor],
    data: EnsembleData,
    seeds: Sequence[int],
    observer: EpochObserver | None,
    trained_loss: Loss,
    weight_decay: float,
    unseen: Sequence[Samples],
    curves: bool,
    same_rows: bool,
    snapshots: Collection[int],
) -> Unlearned:
    start = time.perf_counter()
    device = data.train_y.device
    partition = Partition.of(data.to_forget)
    if unlearner.budget:
        sizes = Sizes(partition.retain.shape[1], partition.forget.shape[1], max(map(len, unseen), default=0))
        row = data.train_x[:1] if data.shared else data.train_x[0, :1]
        paid = afforded(unlearner, model, sizes, row, loss=trained_loss, weight_decay=weight_decay)
        unlearner = dataclasses.replace(unlearner, steps=paid.steps, budget=0)
    changed = Changed.of(unlearner, model, device)
    teacher = {name: parameter.detach() for name, parameter in teachers.items()}
    drawn = dict(teacher)
    if unlearner.start_fresh:
        # Drawn on the CPU, where the generators are. What is never trained stays: it makes the model what it is.
        fresh = ensemble.initial_parameters(model, seeds, "unlearning")
        drawn |= changed.mixed(drawn, {name: value.to(device) for name, value in fresh.items()})
    model.to(device)
    student = ensemble.trainable(model, {name: parameter.to(device) for name, parameter in drawn.items()})
    optimizer = _OPTIMIZERS[unlearner.optimizer](student, unlearner.learning_rate)
    # In mini-batches every member takes rows of its own.
    at_once = not 0 < unlearner.batch_size < partition.retain.shape[1]
    same = same_rows and data.shared and at_once

    def features(positions: Tensor) -> Tensor:
        return data.train_x[positions[0]] if same else take_rows(data.train_x, positions, data.shared)

    forget = (
        features(partition.forget),
        data.train_y.gather(1, partition.forget),
        data.clean_y.gather(1, partition.forget),
    )
    # A student that drops units differs from its teacher from the start: methods that compare the two have no zero.
    one = {name: value[0] for name, value in student.items()}
    row = data.train_x[:1] if data.shared else data.train_x[0, :1]
    random = bool(random_shapes(model, one, row))
    sampled, rows = Draws.of(model, seeds, student, row, device), data.train_y.shape[1] + len(data.validation_y)
    generators = [seeding.generator(seed, "unlearning-batches") for seed in seeds]
    cost = Cost(data.train_y.shape[1])
    untrained = functools.cache(lambda: fresh_parameters(model, seeds, device))
    caller = Caller(
        unlearner,
        Setting(model, trained_loss, cost, changed.positions),
        [seeding.generator(seed, draws.PURPOSE) for seed in seeds],
        untrained,
        weight_decay,
        training=not random,
    )

    def batch(positions: Tensor, kept: dict[str, Tensor]) -> Batch:
        retain = (features(positions), data.train_y.gather(1, positions))
        return Batch(student, teacher, retain, forget, kept, shared=same)

    history: dict[str, list[NDArray[np.float64]]] = {}

    def record(step: int) -> Tensor:
        drawn = sampled.of_rows(rows, "evaluation of unlearning", step)
        measured, logits = evaluate(model, student, data, trained_loss, drawn)
        values = {name: value.cpu().numpy() for name, value in measured.items()}
        for name, value in values.items():
            value.flags.writeable = False
            history.setdefault(name, []).append(value)
        if observer is not None:
            observer(step, values)
        return logits

    path: list[ensemble.Parameters] = []

    def pass_by(step: int) -> None:
        if step in snapshots:
            path.append({name: parameter.detach().cpu().clone() for name, parameter in student.items()})

    if curves:
        record(0)
    pass_by(0)
    failures: dict[int, int] = {}
    first = batch(partition.retain, {})
    kept = caller.begin(first)
    whole = dataclasses.replace(first, kept=kept) if at_once else None
    del first  # features of all rows, if steps take some at a time
    rewinder = Rewinder(model, (forget[0], forget[1]), unseen, shared=same) if unlearner.rewinds else None
    for step in range(1, unlearner.steps + 1):
        if rewinder is not None:
            rewinder.note(student)
            cost.add_logits(partition.forget.shape[1], differentiated=False)
        if rewinder is not None and step == unlearner.steps:
            rewinder.rewind(student)
            cost.add_logits(max(map(len, unseen)), differentiated=False)
            break
        for positions in _batches(unlearner, partition.retain, generators):
            taken = _update if unlearner.has_update() else _descend
            own = batch(positions, kept) if whole is None else whole
            for index in taken(caller, own, optimizer, changed, step):
                failures.setdefault(index, step)
            ensemble.project(model, student)
            if random:  # teachers may then say something else in every step
                own.said.clear()
        if curves and step < unlearner.steps:
            record(step)
        if step < unlearner.steps:
            pass_by(step)
    pass_by(unlearner.steps)
    logits = record(unlearner.steps)
    measured = caller.measure(whole or batch(partition.retain, kept), unlearner.steps) if curves else {}
    found = {name: np.stack(values, axis=1) for name, values in history.items()}
    model.to("cpu")
    trained = {name: parameter.detach().cpu() for name, parameter in student.items()}
    seconds = time.perf_counter() - start
    said = {name: value.double().cpu() for name, value in measured.items()}
    trajectory = {name: torch.stack([part[name] for part in path], dim=1) for name in path[0]} if path else {}
    return Unlearned(trained, found, failures, logits.cpu(), seconds, cost.spent, cost.evaluations, said, trajectory)


def _descend(caller: Caller, batch: Batch, optimizer: Optimizer, changed: Changed, step: int) -> list[int]:
    """A step of the optimizer; returns members whose loss is not finite."""
    optimizer.zero_grad()
    losses = caller.losses(batch, step)
    if not losses.requires_grad:
        cls = type(caller.unlearner)
        raise LossError(
            f"step {step}: the loss of {cls.__name__} does not depend on the student's parameters"
            f"{own_code.bracketed(cls, 'loss')}: call student(x) in it, without .detach(), .item(), .numpy() or "
            "torch.no_grad()."
        )
    # Members share no parameters: one that is not finite leaves the gradients of the others alone.
    losses.sum().backward()
    changed.clear_gradients(batch.student)
    optimizer.step()
    return not_finite(losses[:, None])


def _update(caller: Caller, batch: Batch, optimizer: Optimizer, changed: Changed, step: int) -> list[int]:
    """New parameters as the method says; returns members for which they are not finite."""
    found = caller.updates(batch, step)
    with torch.no_grad():
        for name, value in found.items():
            batch.student[name].copy_(value)
    return not_finite(torch.cat([value.reshape(len(value), -1) for value in found.values()], dim=1))


def _batches(unlearner: Unlearner, retain: Tensor, generators: Sequence[torch.Generator]) -> list[Tensor]:
    """The retain rows of each mini-batch of a step, ``[members, n]``."""
    if unlearner.batch_size == 0 or unlearner.batch_size >= retain.shape[1]:
        return [retain]
    n = retain.shape[1]
    order = torch.stack([torch.randperm(n, generator=generator) for generator in generators]).to(retain.device)
    return list(retain.gather(1, order).split(unlearner.batch_size, dim=1))
