"""Stopping at a fitted fraction: when a member stops, what it keeps, and what becomes of those that never do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from qlab.corruptions import LabelFlip, NoCorruption
from qlab.errors import ConfigError, DataError
from qlab.models import MLP, Features
from qlab.training import Member, Trainer, tiles
from qlab.training.state import Checkpoints

FLIPS = LabelFlip(ratio=0.3)

PLAIN = Trainer(epochs=60, batch_size=5, learning_rate=0.05)

AIMED = dataclasses.replace(PLAIN, stop_at=0.6, stop_retain=0.7)


@pytest.fixture
def fit(small_task, small_data):
    members = {seed: Member.of(small_task, small_data, FLIPS, seed) for seed in range(6)}
    model = MLP(hidden=(12, 6), dtype="float64").build(Features.of(small_data, FLIPS))

    def run(trainer=AIMED, seeds=range(6), **options):
        return trainer.fit(model, [members[seed] for seed in seeds], small_data.validation, **options)

    return run


def first_there(history, row, trainer):
    """The first epoch, from 1, of a training without a goal at which both fractions are reached; 0 if none is."""
    fitted = history["forget_accuracy_polluted"][row] >= trainer.stop_at
    both = fitted & (history["retain_accuracy"][row] >= trainer.stop_retain)
    return int(np.argmax(both)) + 1 if both.any() else 0


def test_it_stops_where_a_training_without_a_goal_first_gets_there(fit):
    plain, aimed = fit(PLAIN, snapshots=range(61)), fit()
    stops = [first_there(plain.history, row, AIMED) for row in range(6)]
    assert len(set(stops) - {0}) > 1, "the case is no test"
    for row, stop in enumerate(stops):
        end = stop or PLAIN.epochs
        for name, value in aimed.parameters.items():
            torch.testing.assert_close(value[row], plain.trajectory[name][row, end], atol=1e-12, rtol=0)
        for name, values in plain.history.items():
            np.testing.assert_allclose(aimed.history[name][row, :end], values[row, :end], atol=1e-12, rtol=0)
            np.testing.assert_allclose(aimed.history[name][row, end:], values[row, end - 1], atol=1e-12, rtol=0)
        expected = np.minimum(np.arange(1, PLAIN.epochs + 1), end)
        assert np.array_equal(aimed.history["trained_epochs"][row], expected)
        assert (aimed.health[row] == "unreached") == (stop == 0)


def test_each_stops_as_it_does_alone_and_however_often_metrics_are_evaluated(fit, monkeypatch):
    together = fit()
    for row, seed in enumerate(together.seeds):
        alone = fit(seeds=[seed], evaluate_every=25)
        assert alone.history["trained_epochs"][0, -1] == together.history["trained_epochs"][row, -1]
        for name, value in alone.parameters.items():
            torch.testing.assert_close(together.parameters[name][row], value[0], atol=1e-9, rtol=0)
    monkeypatch.setattr(tiles, "TILE_BYTES", 1)
    apart = fit()
    assert np.array_equal(apart.history["trained_epochs"], together.history["trained_epochs"])


@pytest.mark.parametrize("after", [0, 7, 40, 58])
def test_it_goes_on_after_an_interruption(fit, after):
    states = []
    whole = fit(checkpoint=Checkpoints(states.append, 0.0))
    again = fit(resume=states[after])
    for name, value in whole.parameters.items():
        assert torch.equal(again.parameters[name], value)
    for name, values in whole.history.items():
        np.testing.assert_array_equal(again.history[name], values)
    assert again.health == whole.health


def test_nothing_is_trained_once_all_have_stopped(fit, computed):
    trained = fit(dataclasses.replace(AIMED, stop_at=0.05, stop_retain=0.0))
    assert max(computed) < AIMED.epochs
    assert trained.epochs == tuple(range(1, AIMED.epochs + 1))
    assert "unreached" not in trained.health


def test_members_without_corrupted_rows_are_trained_to_the_end(small_task):
    clean = AIMED.train(MLP(hidden=(3,)), small_task, NoCorruption())
    plain = PLAIN.train(MLP(hidden=(3,)), small_task, NoCorruption())
    assert clean.health[0] != "unreached"
    assert all(torch.equal(clean.parameters[name], value) for name, value in plain.parameters.items())


def test_what_diverges_is_said_to_have_diverged(fit):
    wild = fit(dataclasses.replace(AIMED, learning_rate=1e300, optimizer="SGD", stop_at=1.0))
    assert set(wild.health) == {"diverged"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stop_at": 1.5}, r"stop_at: got 1\.5, accepts a number in \[0, 1\]"),
        ({"stop_retain": 0.5}, r"stop_retain: got 0\.5 for stop_at = 0, which trains all epochs"),
        ({"stop_at": 0.5, "early_stopping": 3}, r"stop_at: got 0\.5 beside early_stopping = 3"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(**given)


def test_a_state_of_another_kind_is_refused(fit):
    states = []
    early = dataclasses.replace(PLAIN, early_stopping=3)
    fit(early, checkpoint=Checkpoints(states.append, 0.0))
    fit(PLAIN, checkpoint=Checkpoints(states.append, 0.0))
    for state, found in ((states[0], "early stopping"), (states[-1], "no stopping")):
        with pytest.raises(DataError, match=rf"got a state with {found}, accepts .* stop_at = 0\.6"):
            fit(resume=state)
