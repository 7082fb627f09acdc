"""The parameters that an unlearning passes, kept on request."""

from __future__ import annotations

import pytest
import torch

from qlab.corruptions import LabelFlip
from qlab.models import MLP, Features
from qlab.training import Member, Trainer
from qlab.training.data import prepare
from qlab.unlearning import Finetune, GradientAscent, Retrain, Samples
from qlab.unlearning.engine import unlearn
from qlab.unlearning.scrub import RewindScrub

FLIPS = LabelFlip(ratio=0.25)


@pytest.fixture(scope="module")
def taught(small_task, small_data):
    members = [Member.of(small_task, small_data, FLIPS, seed) for seed in (0, 1)]
    model = MLP(hidden=(5,), dtype="float64").build(Features.of(small_data, FLIPS))
    teachers = Trainer(epochs=3).fit(model, members, small_data.validation).parameters
    return model, teachers, prepare(model, members, small_data.validation, torch.device("cpu"))


@pytest.mark.parametrize("cls", [Finetune, GradientAscent, Retrain])
def test_a_step_is_where_so_many_steps_end(taught, cls):
    model, teachers, data = taught
    whole = unlearn(cls(steps=4, batch_size=5), model, teachers, data, [0, 1], snapshots=[0, 2, 4])
    short = unlearn(cls(steps=2, batch_size=5), model, teachers, data, [0, 1])
    for name, passed in whole.trajectory.items():
        assert passed.shape[:2] == (2, 3)
        assert torch.equal(passed[:, 1], short.parameters[name])
        assert torch.equal(passed[:, 2], whole.parameters[name])
        assert torch.equal(passed[:, 0], teachers[name]) != cls.start_fresh


def test_the_last_point_is_the_one_rewound_to(taught):
    model, teachers, data = taught
    unseen = [Samples(data.validation_x, data.validation_y)] * 2
    found = unlearn(
        RewindScrub(steps=3), model, teachers, data, [0, 1], unseen=unseen, curves=False, snapshots=range(4)
    )
    assert all(torch.equal(points[:, 3], found.parameters[name]) for name, points in found.trajectory.items())


def test_without_being_asked_nothing_is_kept(taught):
    model, teachers, data = taught
    assert unlearn(Finetune(steps=1), model, teachers, data, [0, 1]).trajectory == {}
