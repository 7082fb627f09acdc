"""One method on one trained model, as audits see it, and what they find of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qlab import audits
from qlab.errors import DataError
from qlab.experiment.jobs.audited import Group, Subject
from qlab.experiment.jobs.materials import Materials

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What one metric of one unlearning run came to.

    Args:
        values: numbers by name, logged at the last unlearning step.
        curves: values for each step of relearning, from 0, by name.
        arrays: by name, for people who look closer.
    """

    values: Mapping[str, float]
    curves: Mapping[str, Floats] = dataclasses.field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.generic]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One method on one trained model.

    Args:
        subject: the trained model and what it is compared with.
        student: the model of the unlearning run.
        unlearned: the shadow models after the same method; empty if no audit needs them.
        materials: the data.
    """

    subject: Subject
    student: Group
    unlearned: Group
    materials: Materials


def enough(group: Group, fewest: int, what: str) -> None:
    """Refuses distributions of few models.

    Raises:
        DataError: too many are left out, see :attr:`qlab.experiment.jobs.audited.Group.lost`.
    """
    if len(group) < fewest:
        why = f" ({group.reasons})" if group.lost else ""
        raise DataError(f"it takes {fewest} {what}, and only {len(group)} of {group.asked} can be compared{why}.")


def compared(case: Case) -> tuple[Group, Group, Group]:
    """The unlearned model, the one that it was made from, and oracles; the first two did not diverge."""
    for group, what in ((case.student, "unlearned model"), (case.subject.teacher, "trained model")):
        enough(group, 1, what)
    return case.student, case.subject.teacher, case.subject.oracles


def margins_of(subject: Subject, group: Group) -> Floats:
    """Margins on all rows, ``[models, N + M]``; see :func:`qlab.audits.margins`."""
    return audits.margins(group.z.numpy(), subject.y.numpy())


def forget_margins(group: Group, subject: Subject) -> Floats:
    """Margins on the rows that methods are told to forget, ``[models, n]``.

    Raises:
        DataError: there are too few models for two halves of an attack.
    """
    enough(group, 4, "models")
    return margins_of(subject, group)[:, masks_of(subject)["forget"]]


def masks_of(subject: Subject) -> dict[str, NDArray[np.bool_]]:
    """Which rows are of each kind, ``[N + M]``; see :class:`Subject`."""
    return {name: mask.numpy() for name, mask in subject.rows.items()}


def rows_described(subject: Subject) -> dict[str, NDArray[np.generic]]:
    """Of each row: what it is, and its label."""
    kinds = np.full(len(subject.y), "", dtype="U10")
    for name, mask in masks_of(subject).items():
        kinds[mask] = name
    return {"rows": kinds, "label": subject.y.numpy()}


def forget_positions(case: Case) -> dict[str, NDArray[np.generic]]:
    """The positions of the forget rows in the training split."""
    return {"row": np.flatnonzero(masks_of(case.subject)["forget"])}
