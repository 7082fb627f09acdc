"""Applying a method to trained models, all seeds together on the ensemble axis."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap

from qlab import own_code, seeding
from qlab.errors import DataError, QlabError
from qlab.losses import Loss
from qlab.models import Model
from qlab.models.base import random_shapes, take_rows
from qlab.training import ensemble
from qlab.training.data import EnsembleData
from qlab.training.drawn import Draws
from qlab.training.loop import EpochObserver
from qlab.training.metrics import CROSS_ENTROPY, evaluate
from qlab.training.optimizers import SGD, Adam, Optimizer
from qlab.training.threads import suited_threads
from qlab.unlearning.base import LogitFunction, Samples, Unlearner, UnlearningData

_OPTIMIZERS: dict[str, Callable[[ensemble.Parameters, float], Optimizer]] = {"Adam": Adam, "SGD": SGD}


class LossError(QlabError):
    """A method whose loss is not a scalar, or does not depend on the student."""


@dataclasses.dataclass(frozen=True, eq=False)
class Unlearned:
    """Models after unlearning.

    Args:
        parameters: by name, first axis: member.
        history: metrics before the first step and after each, shape ``[members, steps + 1]``, float64.
        failures: for each member whose loss was not finite the step, from 1, at which it first was not.
        logits: final logits on training, then validation rows, ``[members, N + M]``, float64.
        seconds: wall time, evaluation after each step included.
        loss_evaluations: how often the loss (and its gradient) was evaluated.
    """

    parameters: ensemble.Parameters
    history: dict[str, NDArray[np.float64]]
    failures: dict[int, int]
    logits: Tensor
    seconds: float
    loss_evaluations: int


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
) -> Unlearned:
    """Applies a method to every teacher.

    Args:
        unlearner: the method.
        model: the built model; its own parameters are overwritten.
        teachers: trained parameters, first axis: member.
        data: prepared data of the members, see :func:`qlab.training.data.prepare`.
        seeds: one for each member: fresh parameters and mini-batches are drawn with it.
        observer: called with step 0 before the first step and after every step, like a trainer's.
        trained_loss: what the teachers were trained with: ``train_loss`` and its like go on from theirs.

    Raises:
        DataError: nothing to forget or to retain.
        LossError: the method's loss is not a scalar, or does not depend on the student.
    """
    with suited_threads(model, len(seeds)):
        return _unlearn(unlearner, model, teachers, data, seeds, observer, trained_loss)


def _unlearn(
    unlearner: Unlearner,
    model: Model,
    teachers: Mapping[str, Tensor],
    data: EnsembleData,
    seeds: Sequence[int],
    observer: EpochObserver | None,
    trained_loss: Loss,
) -> Unlearned:
    start = time.perf_counter()
    device = data.train_y.device
    partition = Partition.of(data.to_forget)
    teacher = {name: parameter.detach() for name, parameter in teachers.items()}
    drawn = dict(teacher)
    if unlearner.start_fresh:
        # Drawn on the CPU, where the generators are. What is never trained stays: it makes the model what it is.
        fresh = ensemble.initial_parameters(model, seeds, "unlearning")
        drawn |= {name: fresh[name] for name, own in model.named_parameters() if own.requires_grad}
    model.to(device)
    student = ensemble.trainable(model, {name: parameter.to(device) for name, parameter in drawn.items()})
    optimizer = _OPTIMIZERS[unlearner.optimizer](student, unlearner.learning_rate)
    forget = (
        take_rows(data.train_x, partition.forget, data.shared),
        data.train_y.gather(1, partition.forget),
        data.clean_y.gather(1, partition.forget),
    )
    # A student that drops units differs from its teacher from the start: methods that compare the two have no zero.
    one = {name: value[0] for name, value in student.items()}
    row = data.train_x[:1] if data.shared else data.train_x[0, :1]
    draws = bool(random_shapes(model, one, row))
    sampled, rows = Draws.of(model, seeds, student, row, device), data.train_y.shape[1] + len(data.validation_y)
    generators = [seeding.generator(seed, "unlearning-batches") for seed in seeds]
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

    logits = record(0)
    failures: dict[int, int] = {}
    evaluations = 0
    for step in range(1, unlearner.steps + 1):
        for positions in _batches(unlearner, partition.retain, generators):
            optimizer.zero_grad()
            retain = (take_rows(data.train_x, positions, data.shared), data.train_y.gather(1, positions))
            losses = _losses(unlearner, model, student, teacher, retain, forget, step, training=not draws)
            if not losses.requires_grad:
                raise LossError(
                    f"step {step}: the loss of {type(unlearner).__name__} does not depend on the student's parameters"
                    f"{_where(unlearner)}: call student(x) in it, without .detach(), .item(), .numpy() or "
                    "torch.no_grad()."
                )
            for index in torch.nonzero(~losses.isfinite()).flatten().tolist():
                failures.setdefault(index, step)
            # Members share no parameters: one that is not finite leaves the gradients of the others alone.
            losses.sum().backward()
            optimizer.step()
            ensemble.project(model, student)
            evaluations += 1
        logits = record(step)
    curves = {name: np.stack(values, axis=1) for name, values in history.items()}
    model.to("cpu")
    trained = {name: parameter.detach().cpu() for name, parameter in student.items()}
    return Unlearned(trained, curves, failures, logits.cpu(), time.perf_counter() - start, evaluations)


def _losses(
    unlearner: Unlearner,
    model: Model,
    student: ensemble.Parameters,
    teacher: ensemble.Parameters,
    retain: tuple[Tensor, Tensor],
    forget: tuple[Tensor, Tensor, Tensor],
    step: int,
    *,
    training: bool,
) -> Tensor:
    """The loss of every member, shape ``[members]``; ``training`` is the student's mode."""

    def logits_with(parameters: ensemble.Parameters, *, training: bool) -> LogitFunction:
        def logits(x: Tensor) -> Tensor:
            model.train(training)
            try:
                value: Tensor = functional_call(model, parameters, (x,))
            finally:
                model.eval()
            return value

        return logits

    def of_member(
        student: ensemble.Parameters,
        teacher: ensemble.Parameters,
        retain: tuple[Tensor, Tensor],
        forget: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        x, polluted, clean = forget
        rows = UnlearningData(Samples(*retain), Samples(x, polluted), Samples(x, clean), step)
        loss = unlearner.loss(logits_with(student, training=training), logits_with(teacher, training=False), rows)
        _check_loss(unlearner, loss, step, model.dtype)
        return loss

    if model.supports_vmap:
        losses: Tensor = vmap(of_member)(student, teacher, retain, forget)
        return losses
    members = range(len(retain[1]))
    return torch.stack(
        [
            of_member(
                {name: parameter[index] for name, parameter in student.items()},
                {name: parameter[index] for name, parameter in teacher.items()},
                (retain[0][index], retain[1][index]),
                (forget[0][index], forget[1][index], forget[2][index]),
            )
            for index in members
        ]
    )


def _check_loss(unlearner: Unlearner, loss: object, step: int, dtype: torch.dtype) -> None:
    """Refuses what is no loss.

    Raises:
        LossError: not a scalar tensor, or not real numbers at least as precise as the student's.
    """
    name = f"step {step}: the loss of {type(unlearner).__name__}"
    if not isinstance(loss, Tensor) or loss.shape != ():
        shape = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        way = ": loss.mean()" if isinstance(loss, Tensor) else ""
        if isinstance(loss, (int, float)):
            way = ": leave out .item() and float(), which cut it off from the student"
        raise LossError(f"{name} must be a scalar tensor, got {shape}{_where(unlearner)}{way}.")
    if not loss.is_floating_point() or loss.dtype.itemsize < dtype.itemsize:
        raise LossError(
            f"{name} must be of the student's {dtype}, got {loss.dtype}{_where(unlearner)}: compute it from the "
            f"logits as they are."
        )


def _where(unlearner: Unlearner) -> str:
    where = own_code.defined(type(unlearner), "loss")
    return f" [{where}]" if where else ""


def _batches(unlearner: Unlearner, retain: Tensor, generators: Sequence[torch.Generator]) -> list[Tensor]:
    """The retain rows of each mini-batch of a step, ``[members, n]``."""
    if unlearner.batch_size == 0 or unlearner.batch_size >= retain.shape[1]:
        return [retain]
    n = retain.shape[1]
    order = torch.stack([torch.randperm(n, generator=generator) for generator in generators]).to(retain.device)
    return list(retain.gather(1, order).split(unlearner.batch_size, dim=1))
