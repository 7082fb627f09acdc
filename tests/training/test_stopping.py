"""Early stopping: when a member stops, what it keeps, and that others do not matter to it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from qlab import seeding
from qlab.corruptions import LabelFlip
from qlab.errors import ConfigError, DataError
from qlab.models import MLP, Features
from qlab.training import Member, Trainer, tiles
from qlab.training.metrics import CROSS_ENTROPY, mean_loss
from qlab.training.stopping import Patience, Watch

FLIPS = LabelFlip(ratio=0.3)

EAGER = Trainer(epochs=30, batch_size=5, learning_rate=0.05, early_stopping=3, holdout=0.3)


@pytest.fixture
def fit(small_task, small_data):
    members = {seed: Member.of(small_task, small_data, FLIPS, seed) for seed in range(6)}
    model = MLP(hidden=(6, 3), dtype="float64").build(Features.of(small_data, FLIPS))

    def run(trainer=EAGER, seeds=range(6), **options):
        return trainer.fit(model, [members[seed] for seed in seeds], small_data.validation, **options), members

    return run


def test_it_stops_where_a_loop_written_out_stops(fit):
    """One epoch at a time by a trainer without early stopping would train on other rows: hence by Patience's split."""
    trained, members = fit()
    curves = trained.history
    for row, seed in enumerate(trained.seeds):
        holdout, best = curves["holdout_loss"][row], int(curves["best_epoch"][row, -1])
        lowest, waited, stop = np.inf, 0, len(holdout)
        for epoch, value in enumerate(holdout, start=1):
            lowest, waited = (value, 0) if value < lowest else (lowest, waited + 1)
            if waited == EAGER.early_stopping:
                stop = epoch
                break
        # From the epoch at which it stops the loss is that of the parameters it keeps, so the loop waits one less.
        assert holdout[stop - 1] == lowest == holdout[best - 1] == holdout.min()
        assert best <= stop - EAGER.early_stopping or stop == EAGER.epochs
        for name in ("train_loss", "validation_accuracy", "holdout_loss", "best_epoch"):
            assert len(set(curves[name][row, stop - 1 :])) == 1
        x = trained.model.prepare(members[seed].corrupted.split.x)
        y = members[seed].corrupted.split.y.double()
        _, held = EAGER_PATIENCE.split(len(y), [seed])
        z = trained.model_of(row)(x[held[0]]).detach().double()
        assert float(mean_loss(CROSS_ENTROPY, z, y[held[0]])) == pytest.approx(lowest, abs=1e-12)
    assert curves["train_loss"].shape == (6, EAGER.epochs)
    assert len(set(curves["best_epoch"][:, -1])) > 1


EAGER_PATIENCE = Patience(EAGER.early_stopping, EAGER.holdout)


def test_each_stops_as_it_does_alone(fit, monkeypatch):
    together, _ = fit()
    for row, seed in enumerate(together.seeds):
        alone, _ = fit(seeds=[seed])
        for name, values in alone.history.items():
            np.testing.assert_allclose(together.history[name][row], values[0], atol=1e-9, rtol=0, err_msg=name)
        for name, value in alone.parameters.items():
            torch.testing.assert_close(together.parameters[name][row], value[0], atol=1e-9, rtol=0)
    monkeypatch.setattr(tiles, "TILE_BYTES", 1)
    apart, _ = fit()
    np.testing.assert_allclose(apart.history["holdout_loss"], together.history["holdout_loss"], atol=1e-9, rtol=0)


def test_parameters_are_those_of_the_best_epoch(fit):
    """Also of members that never stop."""
    for trainer in (EAGER, dataclasses.replace(EAGER, early_stopping=1000)):
        trained, _ = fit(trainer, snapshots=range(31))
        for row in range(len(trained)):
            best = int(trained.history["best_epoch"][row, -1])
            for name, value in trained.parameters.items():
                assert torch.equal(value[row], trained.trajectory[name][row, best])


def test_held_out_rows_are_the_seeds_and_are_not_trained_on(small_task, small_data):
    trained, held = Patience(1, 0.25).split(16, [3, 4])
    assert (trained.shape, held.shape) == ((2, 12), (2, 4))
    for row, seed in enumerate((3, 4)):
        assert sorted([*trained[row].tolist(), *held[row].tolist()]) == list(range(16))
        expected = torch.randperm(16, generator=seeding.generator(seed, "holdout"))
        assert torch.equal(held[row], expected[:4])
    member = Member.of(small_task, small_data, FLIPS, 0)
    _, [positions] = EAGER_PATIENCE.split(len(member.corrupted.split), [0])
    y = member.corrupted.split.y.clone()
    y[positions] = 1 - y[positions]
    other = dataclasses.replace(
        member, corrupted=dataclasses.replace(member.corrupted, split=dataclasses.replace(member.corrupted.split, y=y))
    )
    model = MLP(hidden=(3,), dtype="float64").build(Features.of(small_data, FLIPS))
    one = dataclasses.replace(EAGER, epochs=1)
    first, second = (one.fit(model, [item], small_data.validation).parameters for item in (member, other))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("rows", "share", "expected"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 2), (3, 0.5, 2), (100, 0.1, 10)]
)
def test_at_least_a_row_is_on_either_side(rows, share, expected):
    assert Patience(1, share).split(rows, [0])[1].shape == (1, expected)


def test_validation_plays_no_part(small_task, small_data, fit):
    expected, members = fit()
    flipped = dataclasses.replace(small_data.validation, y=1 - small_data.validation.y)
    found = EAGER.fit(expected.model, list(members.values()), flipped)
    for name, value in expected.parameters.items():
        assert torch.equal(found.parameters[name], value)


def test_a_member_that_diverges_is_not_taken_for_a_sound_one(fit):
    wild = dataclasses.replace(EAGER, learning_rate=1e300, optimizer="SGD")
    trained, _ = fit(wild)
    assert set(trained.health) == {"diverged"}
    assert np.isnan(trained.history["holdout_loss"][:, -1]).any() or np.isnan(trained.history["train_loss"]).any()


def test_nothing_is_computed_once_all_have_stopped(fit, computed):
    trained, _ = fit(dataclasses.replace(EAGER, epochs=400, early_stopping=1))
    assert max(computed) < 400
    assert trained.epochs == tuple(range(1, 401))


def test_the_best_of_equal_losses_is_the_first():
    watch = Watch(Patience(2), torch.zeros(1, 1, dtype=torch.int64), {"a": torch.zeros(1)})
    for epoch, loss in enumerate([3.0, 1.0, 1.0, 1.0], start=1):
        parameters = {"a": torch.full((1,), float(epoch))}
        watch.note(torch.tensor([loss], dtype=torch.float64), parameters, epoch, last=False)
    assert watch.is_over
    assert float(parameters["a"]) == 2.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"early_stopping": -1}, "early_stopping: got -1, accepts an integer of at least 0"),
        ({"early_stopping": 2.5}, r"early_stopping: got 2\.5, accepts an integer"),
        ({"early_stopping": 2, "holdout": 0.0}, r"holdout: got 0\.0, accepts a number in \(0, 1\)"),
        ({"early_stopping": 2, "holdout": 1.0}, r"holdout: got 1\.0, accepts a number in \(0, 1\)"),
        ({"holdout": 0.2}, r"holdout: got 0\.2 for early_stopping = 0, which holds nothing out"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(**given)


def test_a_single_row_and_a_state_of_another_kind_are_refused(fit):
    with pytest.raises(DataError, match="early_stopping: got a training split of 1 row"):
        EAGER_PATIENCE.split(1, [0])
    states = []
    from qlab.training.state import Checkpoints

    fit(checkpoint=Checkpoints(states.append, 0.0))
    with pytest.raises(DataError, match=r"got a state with early stopping, accepts .* early_stopping = 0"):
        fit(Trainer(epochs=30), resume=states[0])
