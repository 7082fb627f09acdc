"""A training that is interrupted and taken up again gives what it would have given undisturbed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import DataError
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.training import Member, Trainer, tiles
from qlab.training.state import Checkpoints, TrainingState

EPOCHS = 5

SHORT = Trainer(epochs=EPOCHS, batch_size=5, learning_rate=0.05)

MODELS = [
    pytest.param(MLP(hidden=(6, 3)), id="MLP float32"),
    pytest.param(MLP(hidden=(6, 3), dtype="float64"), id="MLP float64"),
    pytest.param(PennyLaneQNN(depth=2), id="circuit"),
]

MODELS += [
    pytest.param(MLP(hidden=(6, 3), dropout=0.3, activation="tanh"), id="dropout"),
    pytest.param(MLP(hidden=(6, 3), dropout=0.3, dtype="float64"), id="dropout float64"),
]

OPTIONS = [
    pytest.param({}, id="plain"),
    pytest.param({"snapshots": (0, 1, 3, 5)}, id="snapshots"),
    pytest.param({"evaluate_every": 3}, id="evaluated rarely"),
]


class Setting:
    """Three members of one ensemble, and how to train them."""

    def __init__(self, task, data, model, corruption=None, trainer=SHORT, **options):
        self.trainer = trainer
        self.corruption = corruption or LabelFlip(ratio=0.5)
        self.members = [Member.of(task, data, self.corruption, seed) for seed in (3, 0, 7)]
        self.data = data
        self.model = model.build(Features.of(data, self.corruption))
        self.options = options

    def fit(self, rows=slice(None), **more):
        return self.trainer.fit(self.model, self.members[rows], self.data.validation, **self.options, **more)

    def states(self):
        """The undisturbed training and its state after each epoch but the last."""
        found = {}
        trained = self.fit(checkpoint=Checkpoints(lambda state: found.update({state.epoch: state}), 0.0))
        assert list(found) == list(range(1, EPOCHS))
        return trained, found


def assert_same(found, expected):
    assert found.seeds == expected.seeds
    assert found.epochs == expected.epochs
    assert found.health == expected.health
    for part in ("parameters", "trajectory"):
        assert getattr(found, part).keys() == getattr(expected, part).keys()
        for name, values in getattr(expected, part).items():
            assert torch.equal(getattr(found, part)[name], values), (part, name)
    assert found.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        np.testing.assert_array_equal(found.history[name], values, err_msg=name)
    assert torch.equal(found.logits, expected.logits)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("options", OPTIONS)
def test_resumed_after_any_epoch_it_is_bitwise_the_same(small_task, small_data, model, options, tmp_path):
    setting = Setting(small_task, small_data, model, **options)
    expected, states = setting.states()
    for epoch, state in states.items():
        state.save(tmp_path / "state.safetensors")
        loaded = TrainingState.load(tmp_path / "state.safetensors")
        assert loaded.epoch == epoch
        assert_same(setting.fit(resume=loaded), expected)


TRAINERS = [
    pytest.param({"early_stopping": 1, "holdout": 0.3, "learning_rate": 0.5}, id="early stopping"),
    pytest.param({"early_stopping": 2, "holdout": 0.2}, id="early stopping, patient"),
    pytest.param({"optimizer": "SGD", "momentum": 0.9, "schedule": "cosine"}, id="momentum, cosine"),
    pytest.param({"optimizer": "SGD"}, id="SGD"),
    pytest.param({"optimizer": "AdamW", "weight_decay": 0.1, "schedule": "step", "step_epochs": 2}, id="AdamW, step"),
]


@pytest.mark.parametrize("choice", TRAINERS)
def test_resumed_with_any_trainer_it_is_bitwise_the_same(small_task, small_data, choice, tmp_path):
    trainer = dataclasses.replace(SHORT, **choice)
    setting = Setting(small_task, small_data, MLP(hidden=(6, 3)), trainer=trainer)
    expected, states = setting.states()
    for state in states.values():
        parts = [state.members(slice(row, row + 1)) for row in range(3)]
        TrainingState.stack(parts).save(tmp_path / "state.safetensors")
        assert_same(setting.fit(resume=TrainingState.load(tmp_path / "state.safetensors")), expected)


def test_a_state_of_format_1_is_read(small_task, small_data, tmp_path):
    """As written before there was a choice of optimizers: the same tensors under the same names."""
    setting = Setting(small_task, small_data, MLP(hidden=(6, 3)), snapshots=(0, 2))
    expected, states = setting.states()
    states[3].save(tmp_path / "new.safetensors")
    with safetensors.safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()["qlab"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    old = {key: about[key] for key in ("epoch", "steps", "evaluated", "snapshots")} | {"format": 1}
    parts = ("parameters/", "first_moments/", "second_moments/", "trajectory/", "history/", "orders")
    assert all(name.startswith(parts) for name in tensors)
    safetensors.torch.save_file(tensors, tmp_path / "old.safetensors", {"qlab": json.dumps(old)})
    assert_same(setting.fit(resume=TrainingState.load(tmp_path / "old.safetensors")), expected)


@pytest.mark.parametrize("model", MODELS)
def test_writing_states_changes_nothing(small_task, small_data, model):
    setting = Setting(small_task, small_data, model, snapshots=(0, 2))
    assert_same(setting.states()[0], setting.fit())


def test_resumed_twice_with_features_of_their_own_and_in_tiles(small_task, small_data, monkeypatch):
    setting = Setting(small_task, small_data, MLP(hidden=(6, 3)), FeatureRandomization(ratio=0.5))
    monkeypatch.setattr(tiles, "TILE_BYTES", 1)
    expected, states = setting.states()
    again = {}
    setting.fit(resume=states[1], checkpoint=Checkpoints(lambda state: again.update({state.epoch: state}), 0.0))
    assert list(again) == [2, 3, 4]
    assert_same(setting.fit(resume=again[3]), expected)


def test_members_go_on_in_other_company(small_task, small_data):
    """Each alone, and all together from the states of each."""
    setting = Setting(small_task, small_data, MLP(hidden=(6, 3), dtype="float64"), snapshots=(0, 2))
    expected, states = setting.states()
    parts = [states[2].members(slice(row, row + 1)) for row in range(3)]
    for row, part in enumerate(parts):
        alone = setting.fit(slice(row, row + 1), resume=part)
        for name, values in expected.history.items():
            np.testing.assert_allclose(alone.history[name][0], values[row], atol=1e-9, rtol=0, err_msg=name)
        for name, values in expected.parameters.items():
            torch.testing.assert_close(alone.parameters[name][0], values[row], atol=1e-7, rtol=0)
    assert_same(setting.fit(resume=TrainingState.stack(parts)), expected)


def test_a_trajectory_without_its_beginning_is_left_out(small_task, small_data):
    setting = Setting(small_task, small_data, MLP(hidden=(3,)))
    expected, states = setting.states()
    setting.options = {"snapshots": (0, 2, 5)}
    found = setting.fit(resume=states[3])
    assert found.trajectory == {}
    assert_same(found, expected)


def test_a_metric_that_is_asked_for_on_resumption_is_nan_before(small_task, small_data):
    setting = Setting(small_task, small_data, MLP(hidden=(3,)))
    _, states = setting.states()
    found = setting.fit(resume=states[3], more=lambda z: {"mean_logit": z.mean(dim=1).double().numpy()})
    assert {values.shape for values in found.history.values()} == {(3, EPOCHS)}
    curve = found.history["mean_logit"]
    assert np.isnan(curve[:, :3]).all()
    assert np.isfinite(curve[:, 3:]).all()
    np.testing.assert_allclose(curve[:, -1], found.logits.mean(dim=1), rtol=1e-6)


def test_a_state_after_the_last_epoch_only_needs_evaluating(small_task, small_data):
    setting = Setting(small_task, small_data, MLP(hidden=(3,)))
    _, states = setting.states()
    shorter = dataclasses.replace(SHORT, epochs=4)
    undisturbed = shorter.fit(setting.model, setting.members, small_data.validation)
    assert_same(shorter.fit(setting.model, setting.members, small_data.validation, resume=states[4]), undisturbed)


def test_a_state_of_another_training_is_refused(small_task, small_data):
    setting = Setting(small_task, small_data, MLP(hidden=(3,)))
    _, states = setting.states()
    with pytest.raises(DataError, match=r"the state of 2 members .* accepts one of 3 members of MLP"):
        setting.fit(resume=states[1].members(slice(0, 2)))
    with pytest.raises(DataError, match="accepts one of 3 members of MLP after at most 5 epochs"):
        Setting(small_task, small_data, MLP(hidden=(4,))).fit(resume=states[1])
    with pytest.raises(DataError, match=r"after 4 epochs, accepts .* at most 2 epochs"):
        dataclasses.replace(SHORT, epochs=2).fit(
            setting.model, setting.members, small_data.validation, resume=states[4]
        )


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: b"", lambda text: b"no tensors"])
def test_a_file_that_is_no_state_is_named(small_task, small_data, tmp_path, damage):
    setting = Setting(small_task, small_data, MLP(hidden=(3,)))
    path = tmp_path / "state.safetensors"
    setting.states()[1][1].save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"state\.safetensors is not a training state"):
        TrainingState.load(path)


def test_states_are_written_no_more_often_than_asked_for():
    written = []
    rare = Checkpoints(written.append, 3600.0)
    for _ in range(3):
        rare.offer(lambda: "state")
    assert written == []


def test_states_that_take_long_to_write_are_written_rarely(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("qlab.training.state.time.monotonic", lambda: clock[0])
    written = []

    def slow(state):
        written.append(clock[0])
        clock[0] += 2.0

    checkpoints = Checkpoints(slow, 10.0)
    while clock[0] < 220.0:
        checkpoints.offer(lambda: "state")
        clock[0] += 1.0
    assert written == [10.0, 112.0, 214.0]  # 2 seconds of writing, 100 seconds of training
