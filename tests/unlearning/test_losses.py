"""Losses of methods that are none are refused with the step, the place, and what to do."""

from __future__ import annotations

import pytest
import torch
from support.models import Looped
from support.unlearned import Polluted

from qlab.models import MLP
from qlab.unlearning import Unlearner
from qlab.unlearning.engine import LossError


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda z: z, r"must be a scalar tensor, got shape \[\d+\] \[test_losses.py, line \d+\]: loss\.mean\(\)"),
        (lambda z: 1.0, r"got float .*leave out \.item\(\)"),
        (lambda z: None, "got NoneType"),
        (lambda z: z.sum().to(torch.complex128), "student's torch.float64, got torch.complex128"),
        (lambda z: z.sum().float(), "got torch.float32"),
    ],
)
@pytest.mark.parametrize("kind", [MLP, Looped])
def test_a_loss_that_is_none_is_told_what_it_should_be(small_task, small_data, kind, made, message):
    class Wrong(Unlearner):
        """Returns something else."""

        def loss(self, student, teacher, data):
            return made(student(data.retain.x))

    case = Polluted(kind(hidden=(3,), dtype="float64"), small_task, small_data, epochs=1)
    with pytest.raises(LossError, match=rf"step 1: the loss of Wrong .*{message}"):
        case.unlearn(Wrong())
