"""Oracles: models retrained on the retain set alone, what unlearning should reach, and how far from it a model is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab.corruptions import Corrupted
from qlab.models import Model
from qlab.tasks import Split
from qlab.training import Member, ensemble
from qlab.training.metrics import accuracy
from qlab.training.optimizers import Adam
from qlab.unlearning.divergences import kl_divergence

FIRST_SEED = 1_000_000
"""Oracles take seeds from here on, see :func:`seed_of`."""

FIRST_SHADOW_SEED = 1_000_000_000
"""Shadow models take seeds from here on, see :func:`shadow_seed_of`."""

RELEARN_TARGET = 0.9
"""Relearning is over when this fraction of the forget rows has its polluted label again."""

RELEARN_LIMIT = 200
"""Steps after which relearning is given up."""


def seed_of(teacher: int, number: int) -> int:
    """The seed of a teacher's oracle: its own, so that an unlucky draw is one oracle's and not one of every teacher.

    Args:
        teacher: the teacher's seed.
        number: of the oracle, from 0.
    """
    return FIRST_SEED * (number + 1) + teacher


def shadow_seed_of(teacher: int, number: int) -> int:
    """The seed of a shadow model: of one trained on a teacher's rows, the corrupted ones included.

    Args:
        teacher: the teacher's seed.
        number: of the shadow model, from 0.
    """
    return FIRST_SHADOW_SEED + FIRST_SEED * number + teacher


def retain_only(corrupted: Corrupted, seed: int, told: Tensor | None = None) -> Member:
    """What an oracle is trained on: the clean rows of a corrupted split.

    Args:
        corrupted: the split.
        seed: of the oracle.
        told: the rows that a method is told to forget, ``[N]``: the oracle is then trained on all others, corrupted
            ones that are hidden among them.
    """
    keep = ~corrupted.mask if told is None else ~told
    about = {name: values[keep] for name, values in corrupted.split.about.items()}
    split = Split(corrupted.split.x[keep], corrupted.split.y[keep], about)
    if told is None:
        return Member(seed, Corrupted(split, torch.zeros(len(split), dtype=torch.bool), split.y))
    return Member(seed, Corrupted(split, corrupted.mask[keep], corrupted.clean_y[keep]))


@dataclasses.dataclass(frozen=True, eq=False)
class ComparedRows:
    """The rows on which a model is compared with its oracles; all prepared.

    Args:
        validation_x: ``[M, ...]``.
        validation_y: ``[M]``.
        forget_x: the corrupted training rows, ``[n, ...]``.
        forget_y: their polluted labels, ``[n]``.
        unseen_x: validation rows corrupted in the same way, which no model was trained on, ``[m, ...]``.
        unseen_y: their polluted labels, ``[m]``.
    """

    validation_x: Tensor
    validation_y: Tensor
    forget_x: Tensor
    forget_y: Tensor
    unseen_x: Tensor
    unseen_y: Tensor


@torch.no_grad()
def oracle_distance(
    model: Model, student: ensemble.Parameters, oracles: ensemble.Parameters, rows: ComparedRows
) -> dict[str, float]:
    """How far one model is from its oracles, and the oracles from each other.

    - ``oracle_accuracy``: mean validation accuracy of the oracles, ``oracle_accuracy_std`` their deviation (n - 1).
    - ``oracle_gap``: the model's validation accuracy minus that.
    - ``oracle_kl``: mean over oracles and validation rows of KL(oracle || model), in nats.
    - ``oracle_kl_floor``: the same between pairs of oracles: below it, being equal to an oracle has no meaning.
    - ``membership_auc``: how well the loss tells corrupted training rows from equally corrupted unseen ones (the
      probability that a trained row has the lower loss); 0.5 when it cannot. ``membership_auc_oracle``: of the oracles,
      which never saw the rows: the value to compare with.

    Oracles that diverged are left out; if all did, only ``membership_auc`` remains. Without unseen rows there is no
    membership to infer.

    Args:
        model: a built model.
        student: parameters, first axis of length 1.
        oracles: parameters, first axis: oracle.
        rows: see :class:`ComparedRows`.
    """
    inferred = len(rows.unseen_y) > 0
    found = {"membership_auc": membership_auc(model, student, rows)[0]} if inferred else {}
    own = ensemble.logits(model, student, rows.validation_x, shared=True).double()
    others = ensemble.logits(model, oracles, rows.validation_x, shared=True).double()
    finite = others.isfinite().all(1)
    if not finite.any():
        return found
    others = others[finite]
    oracles = {name: parameter[finite.to(parameter.device)] for name, parameter in oracles.items()}
    accuracies = accuracy(others, rows.validation_y.double())
    found |= {
        "oracle_accuracy": float(accuracies.mean()),
        "oracle_gap": float(accuracy(own, rows.validation_y.double())[0] - accuracies.mean()),
        "oracle_kl": float(np.mean([kl_divergence(own[0], other) for other in others])),
    }
    if inferred:
        found["membership_auc_oracle"] = float(np.mean(membership_auc(model, oracles, rows)))
    if len(others) > 1:
        pairs = [(a, b) for a in range(len(others)) for b in range(len(others)) if a != b]
        found["oracle_kl_floor"] = float(np.mean([kl_divergence(others[a], others[b]) for a, b in pairs]))
        found["oracle_accuracy_std"] = float(accuracies.std())
    return found


def of_reachable(found: Mapping[str, float]) -> dict[str, float]:
    """What :func:`oracle_distance` finds, renamed where the oracles are those trained without the known rows only.

    ``reachable_accuracy``, ``reachable_gap`` and so on; ``membership_auc_reachable``. What does not depend on oracles
    is left out.
    """
    return {name.replace("oracle", "reachable"): value for name, value in found.items() if "oracle" in name}


@torch.no_grad()
def membership_auc(model: Model, parameters: ensemble.Parameters, rows: ComparedRows) -> list[float]:
    """For each member the area under the curve of a loss threshold attack on the forget rows (ties count half)."""
    from scipy.stats import rankdata

    seen = _losses(model, parameters, rows.forget_x, rows.forget_y)
    unseen = _losses(model, parameters, rows.unseen_x, rows.unseen_y)
    n, m = seen.shape[1], unseen.shape[1]
    areas = []
    for inside, outside in zip(seen, unseen, strict=True):
        ranks = rankdata(-torch.cat([inside, outside]).numpy())
        areas.append(float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m)))
    return areas


def relearn_steps(
    model: Model, parameters: ensemble.Parameters, x: Tensor, y: Tensor, learning_rate: float
) -> list[int | None]:
    """For each member how many steps on the polluted forget set alone bring its labels back.

    Full-batch Adam on the cross-entropy; done when :data:`RELEARN_TARGET` of the rows have their polluted label,
    0 if they have it to begin with, None if :data:`RELEARN_LIMIT` steps do not suffice.

    Args:
        model: a built model.
        parameters: first axis: member.
        x: prepared forget rows, ``[members, n, ...]``.
        y: polluted labels, ``[members, n]``.
        learning_rate: Adam's.
    """
    model.to(x.device)
    learner = ensemble.trainable(model, parameters)
    optimizer = Adam(learner, learning_rate)
    found: list[int | None] = [None] * len(y)
    for step in range(RELEARN_LIMIT + 1):
        z = ensemble.logits(model, learner, x, shared=False)
        reached = accuracy(z.detach().double(), y.double()) >= RELEARN_TARGET
        for index in torch.nonzero(reached).flatten().tolist():
            if found[index] is None:
                found[index] = step
        if None not in found:
            break
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(z, y, reduction="none").mean(1).sum().backward()
        optimizer.step()
        ensemble.project(model, learner)
    model.to("cpu")
    return found


def _losses(model: Model, parameters: ensemble.Parameters, x: Tensor, y: Tensor) -> Tensor:
    z = ensemble.logits(model, parameters, x, shared=True).double()
    return binary_cross_entropy_with_logits(z, y.double().expand_as(z), reduction="none")
