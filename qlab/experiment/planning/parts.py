"""Experiments in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qlab.experiment.asking.trial import Trial, Unlearning
from qlab.experiment.jobs.materials import Materials
from qlab.models import Model
from qlab.models.rows import prepare_features
from qlab.training.memory import Need, training_need, unlearning_need
from qlab.training.schedule import snapshot_epochs


def training_parts(
    materials: Materials, budget: int, trials: Sequence[Trial], model: Model, *, trajectories: bool = False
) -> list[Sequence[Trial]]:
    """Trials of one ensemble in parts that fit into memory.

    Results do not depend on it: a trial gives the same, to rounding, in an ensemble of any size.

    Args:
        materials: the trials' data.
        budget: bytes that models may take which train together.
        trials: of one ensemble.
        model: their model, built.
        trajectories: whether parameters are kept at some epochs.

    Raises:
        DataError: a single trial does not fit.
    """
    need = _need(materials, trials, model, trajectories=trajectories)
    return need.parts(trials, budget, trials[0].setting)


def training_cost(materials: Materials, trials: Sequence[Trial], model: Model) -> float:
    """What training takes beside other trainings, in no unit: steps times the memory that each goes through.

    Args:
        materials: the trials' data.
        trials: those that train together.
        model: their model, built.
    """
    trainer = trials[0].trainer
    steps = trainer.epochs * -(-len(materials.dataset(trials[0].task).train) // trainer.batch_size)
    return float(steps * _need(materials, trials, model).total(len(trials)))


def oracle_parts(
    materials: Materials, budget: int, model: Model, wanted: Sequence[tuple[Trial, int]]
) -> list[Sequence[tuple[Trial, int]]]:
    """Oracles that are to be trained in parts that fit into memory.

    Args:
        materials: the trials' data.
        budget: bytes that models may take which train together.
        model: their model, built.
        wanted: of each its teacher and number.
    """
    trial = wanted[0][0]
    need = _need(materials, [trial], model, shared=False)
    return need.parts(wanted, budget, f"an oracle of {trial.setting}")


def unlearning_parts(
    materials: Materials, budget: int, group: Sequence[Unlearning], model: Model
) -> list[list[Unlearning]]:
    """Unlearning runs, whose teachers differ in seed only, in parts that fit into memory.

    Args:
        materials: the teachers' data.
        budget: bytes that models may take which are unlearned together.
        group: the unlearning runs.
        model: the teachers' model, built.

    Raises:
        DataError: a single one does not fit.
    """
    trial = group[0].teacher
    shared, own_bytes = _features(materials, [item.teacher for item in group])
    need = unlearning_need(model, *_sizes(materials, trial, model), shared=shared, own_bytes=own_bytes)
    together = list(dict.fromkeys((item.teacher.key, item.repeat) for item in group))
    parts = need.parts(together, budget, f"unlearning {trial.setting}")
    return [[item for item in group if (item.teacher.key, item.repeat) in part] for part in map(set, parts)]


def audited_at_once(materials: Materials, budget: int, item: Unlearning, models: int, model: Model) -> int:
    """How many of so many models of one trial may be unlearned together.

    Args:
        materials: the trial's data.
        budget: bytes that models may take which are unlearned together.
        item: the unlearning.
        models: how many there are.
        model: theirs, built.

    Raises:
        DataError: a single one does not fit.
    """
    trial = item.teacher
    need = unlearning_need(model, *_sizes(materials, trial, model), shared=True)
    return max(map(len, need.parts(range(models), budget, f"auditing {trial.setting}")))


def _need(
    materials: Materials, trials: Sequence[Trial], model: Model, *, shared: bool = True, trajectories: bool = False
) -> Need:
    first = trials[0]
    same, own_bytes = _features(materials, trials)
    return training_need(
        model,
        *_sizes(materials, first, model),
        batch_size=first.trainer.batch_size,
        shared=shared and same,
        own_bytes=own_bytes,
        moments=first.trainer.rule.moments + bool(first.trainer.early_stopping or first.trainer.stop_at),
        snapshots=len(snapshot_epochs(first.trainer.epochs)) if trajectories else 0,
    )


def _sizes(materials: Materials, trial: Trial, model: Model) -> tuple[int, int, int]:
    """Rows for training, and for validation and test, and the elements of a prepared row."""
    dataset = materials.dataset(trial.task)
    rows = {name: len(split) for name, split in dataset.splits.items()}
    n = rows.pop("train")
    return n, sum(rows.values()), prepare_features(model, dataset.train.x[:1]).numel()


def _features(materials: Materials, trials: Sequence[Trial]) -> tuple[bool, int]:
    """Whether the trials are trained on the same features, and if not how many bytes of them each of them holds."""
    most = max(trials, key=lambda trial: trial.corruption.ratio)
    x = materials.member(most).corrupted.split.x
    if x is materials.dataset(most.task).train.x:
        return True, 0
    return False, x.nbytes if isinstance(x, torch.Tensor) else 0
