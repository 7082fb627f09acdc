"""Losses of methods that are none are refused with the step, the place, and what to do."""

from __future__ import annotations

import pytest
import torch

from qlab.corruptions import LabelFlip
from qlab.models import MLP
from qlab.training import Member, Trainer
from qlab.training.data import prepare
from qlab.unlearning import Unlearner
from qlab.unlearning.engine import LossError, unlearn


class Looped(MLP):
    """An MLP that is not run under vmap."""

    supports_vmap = False


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

    corruption = LabelFlip(ratio=0.5)
    model = kind(hidden=(3,), dtype="float64")
    trained = Trainer(epochs=1, batch_size=8).train(model, small_task, corruption, seeds=(0, 1))
    members = [Member.of(small_task, small_data, corruption, seed) for seed in (0, 1)]
    data = prepare(trained.model, members, small_data.validation, torch.device("cpu"))
    with pytest.raises(LossError, match=rf"step 1: the loss of Wrong .*{message}"):
        unlearn(Wrong(), trained.model, trained.parameters, data, (0, 1))
