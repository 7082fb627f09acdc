"""Metrics of an ensemble, from logits; double precision whatever the model's dtype."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from qlab.losses import CrossEntropy, Loss
from qlab.models.base import Model
from qlab.training.data import EnsembleData
from qlab.training.ensemble import Parameters, logits
from qlab.training.memory import EVALUATION_BYTES, held_per_row

Metrics = dict[str, Tensor]
"""Values by name, each of shape ``[members]``, float64."""

CROSS_ENTROPY = CrossEntropy()


def mean_loss(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """The mean of a loss over the last axis."""
    return loss(z, y.expand_as(z)).mean(-1)


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """The mean binary cross-entropy over the last axis."""
    return mean_loss(CROSS_ENTROPY, z, y)


def accuracy(z: Tensor, y: Tensor, where: Tensor | None = None) -> Tensor:
    """The fraction of rows with (z > 0) = y, over the last axis or where a mask is True; NaN where no row is.

    Rows whose logit is NaN count as wrong.
    """
    correct = torch.where(z > 0, 1.0, 0.0).eq(y) & ~z.isnan()
    if where is None:
        return correct.double().mean(-1)
    return (correct & where).sum(-1).double() / where.sum(-1).double()


def _mean_where(loss: Loss, z: Tensor, y: Tensor, where: Tensor) -> Tensor:
    """The mean of a loss over the rows where a mask is True; NaN where no row is."""
    return torch.where(where, loss(z, y), 0.0).sum(-1) / where.sum(-1)


def _logits_of_parts(
    model: Model, parameters: Parameters, x: Tensor, some: int, drawn: Sequence[Tensor] = (), *, shared: bool
) -> Tensor:
    """Logits of all rows, so many at a time: they take memory for each row and member."""
    found, start = [], 0
    for part in x.split(some, dim=0 if shared else 1):
        stop = start + part.shape[0 if shared else 1]
        with _handing(model, [numbers[:, start:stop] for numbers in drawn]):
            found.append(logits(model, parameters, part, shared=shared))
        start = stop
    return torch.cat(found, dim=1)


@contextmanager
def _handing(model: Model, drawn: Sequence[Tensor]) -> Iterator[None]:
    """Hands random numbers to a model for a while, if there are any."""
    model.handed = tuple(drawn)
    try:
        yield
    finally:
        model.handed = ()


@torch.no_grad()
def logits_of_rows(
    model: Model, parameters: Parameters, x: Tensor, rows: Tensor, drawn: Sequence[Tensor], *, shared: bool
) -> Tensor:
    """Logits of every member on rows of its own, ``[members, n]``, float64.

    Args:
        model: the built model.
        parameters: of the members, first axis: member.
        x: prepared features, ``[N, ...]`` if ``shared``, else ``[members, N, ...]``.
        rows: which, ``[members, n]``.
        drawn: random numbers for them, if the model asks for any.
        shared: whether all members see the same features.
    """
    with _handing(model, drawn):
        return logits(model, parameters, x, shared=shared, rows=rows).double()


@torch.no_grad()
def logits_of(model: Model, parameters: Parameters, x: Tensor, drawn: Sequence[Tensor] = ()) -> Tensor:
    """Logits of every member on rows that all of them see, ``[members, M]``, float64.

    Args:
        model: the built model.
        parameters: of the members, first axis: member.
        x: prepared features ``[M, ...]``.
        drawn: random numbers for them, if metrics are sampled, see :mod:`qlab.training.drawn`.
    """
    members = len(next(iter(parameters.values())))
    some = max(1, EVALUATION_BYTES // (members * held_per_row(model) * model.dtype.itemsize))
    return _logits_of_parts(model, parameters, x, some, drawn, shared=True).double()


@torch.no_grad()
def evaluate_split(
    model: Model,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    name: str,
    loss: Loss = CROSS_ENTROPY,
    drawn: Sequence[Tensor] = (),
) -> Metrics:
    """Metrics of every member on rows that none was trained on: ``<name>_loss`` and ``<name>_accuracy``.

    Args:
        model: the built model.
        parameters: of the members, first axis: member.
        x: prepared features ``[M, ...]``.
        y: labels ``[M]``.
        name: of the split.
        loss: the trained one.
        drawn: random numbers for the rows, if metrics are sampled.
    """
    z, y = logits_of(model, parameters, x, drawn), y.double()
    return {f"{name}_loss": mean_loss(loss, z, y), f"{name}_accuracy": accuracy(z, y)}


@torch.no_grad()
def evaluate(
    model: Model,
    parameters: Parameters,
    data: EnsembleData,
    loss: Loss = CROSS_ENTROPY,
    drawn: Sequence[Tensor] = (),
) -> tuple[Metrics, Tensor]:
    """Metrics of every member, and its logits on training and validation rows, shape ``[members, N + M]``.

    ``train_*`` use the labels that were trained on, ``retain_*`` the clean rows, ``forget_accuracy_polluted``
    and ``forget_accuracy_clean`` the corrupted rows with either label (NaN where nothing is corrupted). ``train_loss``,
    ``retain_loss`` and ``validation_loss`` are means of the loss that is trained. Where methods are told other rows
    than the corrupted ones, see :func:`of_told`, too. Of a model whose metrics are sampled ``drawn`` are random numbers
    for all of these rows, ``[members, N + M, ...]`` each.
    """
    members, n = data.train_y.shape
    n_rows = n + len(data.validation_y)
    some = max(1, EVALUATION_BYTES // (members * held_per_row(model) * model.dtype.itemsize))
    if data.shared and n_rows <= some and data.train_x.nbytes + data.validation_x.nbytes <= EVALUATION_BYTES:
        rows = torch.cat([data.train_x, data.validation_x])
        with _handing(model, drawn):
            z = logits(model, parameters, rows, shared=True).double()
    else:
        parts = [[numbers[:, :n] for numbers in drawn], [numbers[:, n:] for numbers in drawn]]
        train = _logits_of_parts(model, parameters, data.train_x, some, parts[0], shared=data.shared)
        validation = _logits_of_parts(model, parameters, data.validation_x, some, parts[1], shared=True)
        z = torch.cat([train, validation], dim=1).double()
    found = of_logits(z, data.train_y, data.clean_y, data.forget, data.validation_y, loss)
    if data.told is not None:
        found |= of_told(z, data.train_y, data.clean_y, data.forget, data.told)
    return found, z


def of_logits(
    z: Tensor, train_y: Tensor, clean_y: Tensor, forget: Tensor, validation_y: Tensor, loss: Loss = CROSS_ENTROPY
) -> Metrics:
    """Metrics of every member from its logits on training and validation rows, ``[members, N + M]``, float64.

    Args:
        z: the logits.
        train_y: labels as trained on, ``[members, N]``.
        clean_y: labels before corruption, ``[members, N]``.
        forget: which rows are corrupted, ``[members, N]``.
        validation_y: ``[M]``.
        loss: of which the means are.
    """
    n = train_y.shape[1]
    train_z, validation_z = z[:, :n], z[:, n:]
    train_y, validation_y = train_y.double(), validation_y.double()
    return {
        "train_loss": mean_loss(loss, train_z, train_y),
        "train_accuracy": accuracy(train_z, train_y),
        "validation_loss": mean_loss(loss, validation_z, validation_y),
        "validation_accuracy": accuracy(validation_z, validation_y),
        "retain_loss": _mean_where(loss, train_z, train_y, ~forget),
        "retain_accuracy": accuracy(train_z, train_y, ~forget),
        "forget_accuracy_polluted": accuracy(train_z, train_y, forget),
        "forget_accuracy_clean": accuracy(train_z, clean_y.double(), forget),
    }


def of_told(z: Tensor, train_y: Tensor, clean_y: Tensor, forget: Tensor, told: Tensor) -> Metrics:
    """Metrics of known and hidden rows apart, of every member.

    ``known_accuracy_polluted`` and ``known_accuracy_clean`` are of the corrupted rows that unlearning is told to
    forget, ``hidden_accuracy_polluted`` and ``hidden_accuracy_clean`` of the others, ``false_alarm_accuracy`` of the
    clean rows that it is told to forget; the last three only where there are such rows.

    Args:
        z: logits on training rows, and others behind them, ``[members, N + M]``, float64.
        train_y: labels as trained on, ``[members, N]``.
        clean_y: labels before corruption, ``[members, N]``.
        forget: which rows are corrupted, ``[members, N]``.
        told: which rows unlearning is told to forget, ``[members, N]``.
    """
    train_z, train_y, clean_y = z[:, : train_y.shape[1]], train_y.double(), clean_y.double()
    parts = {"known": forget & told, "hidden": forget & ~told}
    found = {
        f"{name}_accuracy_{kind}": accuracy(train_z, y, rows)
        for name, rows in parts.items()
        if rows.any()
        for kind, y in (("polluted", train_y), ("clean", clean_y))
    }
    alarms = told & ~forget
    return found | ({"false_alarm_accuracy": accuracy(train_z, train_y, alarms)} if alarms.any() else {})
