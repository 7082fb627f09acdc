"""Going back to the step at which enough was forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from qlab.errors import DataError
from qlab.models import Model
from qlab.training import ensemble
from qlab.training.metrics import accuracy
from qlab.unlearning.samples import Samples


@dataclasses.dataclass(eq=False)
class Rewinder:
    """Keeps the student of every step, and finds the one whose error on the forget set is that of rows it never saw.

    Args:
        model: the built model.
        forget: prepared features ``[members, n, ...]``, ``[n, ...]`` if shared, and polluted labels ``[members, n]`` of
            the forget sets.
        unseen: for each member rows that were corrupted in the same way, and that no model was trained on.
        shared: whether all members have the same features.

    Raises:
        DataError: there are no such rows.
    """

    model: Model
    forget: tuple[Tensor, Tensor]
    unseen: Sequence[Samples]
    shared: bool = False

    def __post_init__(self) -> None:
        if len(self.unseen) != len(self.forget[1]) or not all(len(rows) for rows in self.unseen):
            raise DataError(
                "Rewinding compares the error on the forget set with that on rows which were corrupted in the same way "
                "and never trained on, and there are none: give `unseen`, or a task with validation rows that the "
                "corruption reaches. Or use AlternatingScrub, which does not rewind."
            )
        self._students: list[ensemble.Parameters] = []
        self._errors: list[Tensor] = []

    @torch.no_grad()
    def note(self, student: ensemble.Parameters) -> None:
        """Keeps the students of a step."""
        self._students.append({name: value.detach().clone() for name, value in student.items()})
        z = ensemble.logits(self.model, student, self.forget[0], shared=self.shared)
        self._errors.append(1.0 - accuracy(z.double(), self.forget[1].double()))

    @torch.no_grad()
    def rewind(self, student: ensemble.Parameters) -> None:
        """Sets each student to the first of those noted whose error is nearest to the last one's on unseen rows."""
        errors = torch.stack(self._errors)
        reference = torch.stack([self._reference(student, index) for index in range(len(self.unseen))])
        distance = (errors - reference.to(errors)).abs().nan_to_num(torch.inf)
        for member, step in enumerate(distance.argmin(0).tolist()):
            for name, value in student.items():
                value[member] = self._students[step][name][member]

    def _reference(self, student: ensemble.Parameters, index: int) -> Tensor:
        own, rows = {name: value[index : index + 1] for name, value in student.items()}, self.unseen[index]
        z = ensemble.logits(self.model, own, rows.x.to(self.forget[0].device), shared=True)
        return 1.0 - accuracy(z.double(), rows.y.to(z.device).double())[0]
