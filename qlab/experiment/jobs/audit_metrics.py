"""What audits measure: one function for each metric, from models of one trial to numbers, arrays and curves."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

from qlab import audits
from qlab.corruptions import GaussianPoison
from qlab.errors import DataError
from qlab.experiment.jobs.audit_case import (
    Case,
    Floats,
    Found,
    compared,
    enough,
    forget_margins,
    forget_positions,
    margins_of,
    masks_of,
    rows_described,
)
from qlab.experiment.jobs.audited import Group, Subject
from qlab.experiment.jobs.corrective import corrective_accuracy
from qlab.tasks.features import dense_rows
from qlab.tracking import audit_names as asked
from qlab.training.metrics import accuracy


def klom(case: Case) -> Found:
    """KLoM of forget, hidden, retain and validation rows: mean, quantiles, and what to compare them with."""
    subject, bins = case.subject, case.subject.table.bins
    enough(case.unlearned, bins, "unlearned models")
    enough(subject.oracles, bins, "oracles")
    own, others, before = (margins_of(subject, group) for group in (case.unlearned, subject.oracles, subject.shadows))
    by_row = {
        "": audits.klom(own, others, bins),
        "_floor": audits.klom_floor(others, bins),
        "_excess": audits.klom_excess(own, others, bins),
        "_teacher": audits.klom(before, others, bins),
    }
    values = {"klom_models": float(len(own)), "klom_oracles": float(len(others))}
    for rows, mask in masks_of(subject).items():
        for name, found in by_row.items():
            values[f"klom_{rows}{name}"] = float(found[mask].mean())
        values[f"klom_{rows}_median"] = float(np.median(by_row[""][mask]))
        values[f"klom_{rows}_q95"] = float(np.quantile(by_row[""][mask], 0.95))
    arrays = {f"klom{name}": found for name, found in by_row.items()} | rows_described(subject)
    arrays |= {"margins_unlearned": own.astype("f4"), "margins_oracles": others.astype("f4")}
    return Found(values, arrays=arrays | {"margins_teachers": before.astype("f4")})


def epsilon(case: Case) -> Found:
    """Epsilon of each forget row, with its interval; estimates count as the ceiling at most."""
    subject, delta = case.subject, case.subject.table.delta
    own, others = forget_margins(case.unlearned, subject), forget_margins(subject.oracles, subject)
    found = audits.epsilon_of_rows(own, others, delta)
    half = len(others) // 2
    floor = audits.epsilon_of_rows(others[:half], others[half:], delta) if half >= 4 else None
    ceiling = audits.epsilon_ceiling(len(own), len(others), delta)
    values = {
        "epsilon_low": float(found.low.mean()),
        "epsilon_low_max": float(found.low.max()),
        "epsilon_median": float(np.median(np.minimum(found.estimate, ceiling))),
        "epsilon_unbounded": float(np.isinf(found.estimate).mean()),
        "epsilon_ceiling": ceiling,
    }
    if floor is not None:
        values["epsilon_low_floor"] = float(floor.low.mean())
    return Found(
        values, arrays={"low": found.low, "high": found.high, "estimate": found.estimate, **forget_positions(case)}
    )


def membership(case: Case) -> Found:
    """Likelihood-ratio attacks on forget rows: as on a trained model, and as on an unlearned one."""
    subject = case.subject
    own, others, before = (
        forget_margins(group, subject) for group in (case.unlearned, subject.oracles, subject.shadows)
    )
    known, tested = others[0::2], others[1::2]

    def attacked(inside: Floats, target: Floats) -> audits.Attack:
        return audits.attack(
            audits.log_likelihood_ratio(target, inside, known), audits.log_likelihood_ratio(tested, inside, known)
        )

    lira, teacher = attacked(before[0::2], own[1::2]), attacked(before[0::2], before[1::2])
    u_lira = attacked(own[0::2], own[1::2])
    return Found(
        {
            "lira_auc": lira.auc,
            "lira_tpr": lira.tpr,
            "lira_auc_teacher": teacher.auc,
            "lira_tpr_teacher": teacher.tpr,
            "u_lira_auc": u_lira.auc,
            "u_lira_tpr": u_lira.tpr,
        },
        arrays={"ratios": audits.log_likelihood_ratio(own[1::2], before[0::2], known), **forget_positions(case)},
    )


def gaussian_unlearning_score(case: Case) -> Found:
    """Whether the model still knows the noise of its poisoned rows; the trained model and its oracles beside."""
    subject, trial = case.subject, case.subject.trial
    corruption = trial.corruption
    assert isinstance(corruption, GaussianPoison)  # asked for no others
    clean, corrupted = case.materials.dataset(trial.task).train, case.materials.member(trial).corrupted
    x = dense_rows(clean.x[corrupted.mask])
    noise, y = dense_rows(corrupted.split.x[corrupted.mask]) - x, corrupted.split.y[corrupted.mask]
    std = corruption.std(clean.x)

    def scores(group: Group) -> Floats:
        loss = trial.trainer.loss
        gradients = audits.input_gradients(subject.model, group.parameters, x, y, loss)
        return audits.poison_scores(gradients.numpy(), noise.numpy(), std)

    own, teacher, oracles = (
        subject.once(asked.GAUSSIAN, group, functools.partial(scores, group))
        for group in (case.student, subject.teacher, subject.oracles)
    )
    own, teacher = own[0], teacher[0]
    name = asked.GAUSSIAN
    values = {
        name: float(own.mean()),
        f"{name}_error": 1.0 / math.sqrt(len(own)),
        f"{name}_teacher": float(teacher.mean()),
        f"{name}_oracle": float(oracles.mean()),
        "gaussian_poison_tpr": float(audits.detected(own)),
    }
    row = torch.nonzero(corrupted.mask).flatten().numpy()
    return Found(values, arrays={"scores": own, "scores_teacher": teacher, "scores_oracles": oracles, "row": row})


def tug_of_war(case: Case) -> Found:
    """Accuracies on forget, retain and validation rows against means over oracles."""
    own, teacher, oracles = (_accuracies(case.subject, group) for group in compared(case))
    mean = oracles.mean(0)
    others = (oracles.sum(0) - oracles) / max(len(oracles) - 1, 1)
    return Found(
        {
            "tug_of_war": float(audits.tug_of_war(own, mean)[0]),
            "tug_of_war_teacher": float(audits.tug_of_war(teacher, mean)[0]),
            "tug_of_war_floor": float(audits.tug_of_war(oracles, others).mean()),
        },
        arrays={"accuracies": own[0], "accuracies_teacher": teacher[0], "accuracies_oracles": oracles},
    )


def distance(case: Case) -> Found:
    """Mean distances to oracles of the student, the trained model and other oracles, and mean overlaps."""
    subject, groups = case.subject, compared(case)
    validation = masks_of(subject)["validation"]
    flat = [np.concatenate([part.flatten(1).double().numpy() for part in g.parameters.values()], 1) for g in groups]
    observables = [
        subject.once("observables", group, functools.partial(_observables, subject, group)) for group in groups
    ]
    logits = [group.z.numpy()[:, validation] / math.sqrt(validation.sum()) for group in groups]
    values = {}
    for name, parts, measure in (
        ("parameter_distance", flat, audits.parameter_distance),
        ("logit_distance", logits, audits.parameter_distance),
        ("observable_overlap", observables, audits.observable_overlap),
    ):
        own, teacher, oracles = parts
        if own is None or teacher is None or oracles is None:
            continue
        values[name] = float(measure(own, oracles).mean())
        values[f"{name}_teacher"] = float(measure(teacher, oracles).mean())
        if len(oracles) > 1:
            between = measure(oracles, oracles)
            values[f"{name}_floor"] = float(between[~np.eye(len(oracles), dtype=bool)].mean())
    return Found(values)


def relearning(case: Case) -> Found:
    """Polluted labels of known and hidden rows while the known ones are learned anew."""
    subject, table = case.subject, case.subject.table
    n = subject.data.train_y.shape[1]
    x, y = subject.data.train_x.cpu(), subject.y[:n]
    parts = {"known": subject.rows["forget"][:n]} | (
        {"hidden": subject.rows["hidden"][:n]} if "hidden" in subject.rows else {}
    )
    rows = {name: (x[mask], y[mask]) for name, mask in parts.items()}
    values: dict[str, float] = {}
    curves: dict[str, Floats] = {}
    steps, rate = table.relearn_steps, subject.trial.trainer.learning_rate
    for group, who in zip(compared(case), ("", "_teacher", "_oracle"), strict=True):
        learn = functools.partial(
            audits.relearning_curves, subject.model, group.parameters, rows["known"], rows, steps, rate
        )
        for name, curve in subject.once(asked.RELEARNING, group, learn).items():
            mean = curve.mean(0).numpy()
            curves[f"relearning_{name}{who}"] = mean
            values[f"relearned_{name}{who}"] = float(mean.mean())
    return Found(values, curves=curves, arrays=dict(curves))


def corrective(case: Case) -> Found:
    """True labels on corrupted or triggered rows, over unlearned models, trained ones and oracles."""
    subject = case.subject
    if not len(subject.corrective_y):
        raise DataError("there are no rows to measure corrective accuracy on.")
    enough(case.unlearned, 2, "unlearned models")
    own, teacher, oracles = (
        corrective_accuracy(group.corrective, subject.corrective_y).numpy()
        for group in (case.unlearned, subject.shadows, subject.oracles)
    )
    name = f"audited_{asked.CORRECTIVE}"
    values = {name: own.mean(), f"{name}_std": own.std(ddof=1)}
    values |= {f"{name}_teacher": teacher.mean(), f"{name}_oracle": oracles.mean()}
    return Found({key: float(value) for key, value in values.items()}, arrays={"unlearned": own, "oracles": oracles})


MEASURES: Final[Mapping[str, Callable[[Case], Found]]] = {
    asked.KLOM: klom,
    asked.EPSILON: epsilon,
    asked.MEMBERSHIP: membership,
    asked.GAUSSIAN: gaussian_unlearning_score,
    asked.TUG_OF_WAR: tug_of_war,
    asked.DISTANCE: distance,
    asked.RELEARNING: relearning,
    asked.CORRECTIVE: corrective,
}
"""What each metric of an audit is measured by."""


def _accuracies(subject: Subject, group: Group) -> Floats:
    """On forget, retain and validation rows, ``[models, 3]``."""
    y = subject.y.double()
    found = [accuracy(group.z[:, mask], y[mask]) for mask in (subject.rows[name] for name in _THREE)]
    stacked: Floats = torch.stack(found, 1).numpy()
    return stacked


_THREE = ("forget", "retain", "validation")


@torch.no_grad()
def _observables(subject: Subject, group: Group) -> Floats | None:
    """Pauli coefficients of what every model measures, ``[models, 4^k]``; None if they have none."""
    model = subject.model
    if model.evolved_observable() is None:
        return None
    found: list[Tensor] = []
    for index in range(len(group)):
        for name, own in model.named_parameters():
            own.copy_(group.parameters[name][index])
        if (one := model.evolved_observable()) is not None:
            found.append(one.double().clone())
    stacked: Floats = torch.stack(found).numpy()
    return stacked
