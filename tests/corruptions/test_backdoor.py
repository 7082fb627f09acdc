"""A backdoor: its trigger, and which rows it is put into."""

from __future__ import annotations

import math

import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.corruptions import Backdoor
from qlab.corruptions.triggers import patch, rotate
from qlab.errors import ConfigError, DataError
from qlab.tasks import XXZ, Digits, Sklearn, Split
from qlab.tasks.base import digest
from qlab.tasks.features import TiedFeatures
from qlab.tasks.replaced_features import ReplacedFeatures

TASK = XXZ(length=4)
LABELS = st.lists(st.integers(0, 1), min_size=1, max_size=40)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def split_of(labels):
    x = torch.randn(len(labels), 16, generator=generator(0), dtype=torch.complex128)
    return Split(x, torch.tensor(labels))


@settings(deadline=None, max_examples=60)
@given(labels=LABELS, ratio=st.floats(0.0, 1.0), target=st.integers(0, 1), seed=st.integers(0, 2**31))
def test_the_ratio_of_rows_is_triggered_the_other_class_first(labels, ratio, target, seed):
    split = split_of(labels)
    item = Backdoor(ratio=ratio, target=target)
    found = item.apply(split, TASK, generator(seed))
    wanted, others = math.floor(ratio * len(labels) + 0.5), labels.count(1 - target)
    assert int(found.mask.sum()) == wanted
    assert int((found.mask & (split.y != target)).sum()) == min(wanted, others)
    assert found.split.y.tolist() == [target if hit else y for y, hit in zip(labels, found.mask.tolist(), strict=True)]
    assert torch.equal(found.clean_y, split.y)
    assert torch.equal(found.split.x[~found.mask], split.x[~found.mask])
    triggered = item.trigger(split.x, TASK)
    assert torch.equal(found.split.x[found.mask], triggered[found.mask])
    assert bool((triggered != split.x).any(1).all())


def test_one_class_is_missing_once_the_other_is_used_up():
    found = Backdoor(ratio=0.5).apply(split_of([0, 1] * 10), TASK, generator(0))
    assert found.split.y.unique().tolist() == [1]


def test_rows_that_no_model_saw_are_those_of_the_other_class():
    split = split_of([0, 1, 1, 0, 1])
    found = Backdoor(ratio=0.2).apply_to_unseen(split, TASK, generator(0))
    assert found.mask.tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("axis", ["X", "Y", "Z"])
def test_the_rotation_is_that_of_pennylane(axis):
    x = split_of([0, 1, 1]).x
    sites, angle = (0, -1, 2), 0.7
    gate = {"X": qml.RX, "Y": qml.RY, "Z": qml.RZ}[axis]

    @qml.qnode(qml.device("default.qubit", wires=4))
    def circuit(state):
        qml.StatePrep(state, wires=range(4))
        for wire in (0, 3, 2):
            gate(angle, wires=wire)
        return qml.state()

    norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    expected = torch.stack([circuit(row) for row in x / norms])
    torch.testing.assert_close(rotate(x / norms, sites, angle, axis), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("corner", "rows", "columns"),
    [
        ("top-left", [0, 1, 2], [0, 1, 2]),
        ("top-right", [0, 1, 2], [5, 6, 7]),
        ("bottom-left", [5, 6, 7], [0, 1, 2]),
        ("bottom-right", [5, 6, 7], [5, 6, 7]),
    ],
)
def test_the_patch_is_the_one_in_the_grey_levels(corner, rows, columns):
    task = Digits(per_class=5, validation=10)
    pixels = task.pictures()[0][0][:6]
    patched = pixels.clone()
    for row in rows:
        for column in columns:
            patched[:, row, column] = 0.5 * pixels.amax((1, 2))
    found = Backdoor(size=3, value=0.5, corner=corner).trigger(task._features(pixels), task)
    torch.testing.assert_close(found, task._features(patched), rtol=0, atol=1e-12)


def test_padding_stays_empty_and_norms_stay():
    x = torch.nn.functional.pad(torch.rand(4, 9, generator=generator(0), dtype=torch.float64), (0, 7))
    found = patch(x, (3, 3), 2, 1.0, "bottom-right")
    assert not found[:, 9:].any()
    assert bool((found[:, [4, 5, 7, 8]] == found.amax(1, keepdim=True)).all())
    torch.testing.assert_close(found.norm(dim=1), x.norm(dim=1), rtol=1e-12, atol=0)


def test_an_empty_picture_gets_no_patch_and_no_nan():
    assert not patch(torch.zeros(1, 4, dtype=torch.float64), (2, 2), 1, 1.0, "top-left").any()


def test_states_that_are_not_held_are_triggered_when_they_are_made(monkeypatch):
    monkeypatch.setattr("qlab.tasks.xxz.MOST_SPINS_HELD", 4)
    task = XXZ(length=6, gapless=(-0.5, 0.5, 0.1), gapped=(1.5, 2.5, 0.1))
    lazy = task.load().train
    assert isinstance(lazy.x, TiedFeatures)
    held = Split(lazy.x.dense(), lazy.y)
    item = Backdoor(ratio=0.3, angle=1.0)
    streamed, dense = (item.apply(split, task, generator(3)) for split in (lazy, held))
    assert isinstance(streamed.split.x, ReplacedFeatures)
    assert torch.equal(streamed.mask, dense.mask)
    assert torch.equal(streamed.split.x.dense(), dense.split.x)
    assert torch.equal(item.trigger(lazy.x, task).dense(), item.trigger(held.x, task))
    other = Backdoor(ratio=0.3, angle=1.5).apply(lazy, task, generator(3))
    assert len({digest(lazy.x), digest(streamed.split.x), digest(other.split.x)}) == 3


@pytest.mark.parametrize(
    ("fields", "task", "message"),
    [
        ({"sites": (4,)}, TASK, r"sites: got \[4\], but the chain has 4 spins; accepts sites from 0 to 3"),
        ({"sites": (0, -5)}, TASK, r"sites: got \[0, -5\], but the chain has 4 spins"),
        ({"sites": (3, -1)}, TASK, r"sites: got \[3, -1\], accepts each site of a chain of 4 spins once"),
        ({"size": 3}, TASK, r"size: got 3, which does nothing here: the features are states"),
        ({"size": 9}, Digits(), r"size: got 9, accepts at most 8: the pictures of Digits have 8 x 8 pixels"),
        ({"axis": "Z"}, Digits(), r'axis: got "Z", which does nothing here: the features of Digits are pictures'),
    ],
)
def test_a_trigger_that_does_not_fit_the_task_is_refused_before_data_are_loaded(fields, task, message):
    with pytest.raises(ConfigError, match=message):
        Backdoor(ratio=0.1, **fields).check_task(task)


@pytest.mark.parametrize("angle", [0.0, 2 * math.pi, -4 * math.pi])
def test_an_angle_that_rotates_nothing_is_refused(angle):
    with pytest.raises(ConfigError, match="which rotates nothing"):
        Backdoor(angle=angle)


def test_features_without_a_trigger_are_refused():
    task = Sklearn(name="moons", n=20)
    with pytest.raises(DataError, match=r"the features of Sklearn are 2 real numbers; accepts pictures .* and states"):
        Backdoor(ratio=0.2).apply(task.load().train, task, generator(0))


def test_a_patch_that_nobody_sees_is_refused():
    task = Digits(per_class=5, validation=10)
    x = torch.zeros(4, 64, dtype=torch.float64)
    x[:, 20] = 1.0
    with pytest.raises(DataError, match="the trigger changes none of the 2 rows"):
        Backdoor(ratio=0.5, value=0.0).apply(Split(x, torch.tensor([0, 1, 0, 1])), task, generator(0))
