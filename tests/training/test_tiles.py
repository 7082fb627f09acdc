"""Tiles of an ensemble side by side: in several threads the same numbers as in one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.models import CNOTQNN, MLP, Features, PennyLaneQNN
from qlab.training import Member, Trainer, threads, tiles

SETTINGS = Trainer(epochs=3, batch_size=5, learning_rate=0.05)

MODELS = [
    pytest.param(MLP(hidden=(6, 3), dtype="float64"), id="MLP"),
    pytest.param(MLP(hidden=(6, 3)), id="MLP float32"),
    pytest.param(PennyLaneQNN(depth=2), id="chain"),
    pytest.param(CNOTQNN(depth=1), id="statevector"),
]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads for PyTorch, and no ensemble too small for them."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "SMALL_WORK", 0)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_each(monkeypatch):
    """Every member is a tile."""
    monkeypatch.setattr(tiles, "TILE_BYTES", 1)


def fit(task, data, model, *, seeds=range(5), corruption=None, **options):
    corruption = corruption or LabelFlip(ratio=0.5)
    members = [Member.of(task, data, corruption, seed) for seed in seeds]
    return SETTINGS.fit(model.build(Features.of(data, corruption)), members, data.validation, **options)


def watch(monkeypatch, act=None):
    """Names of the threads that an epoch of a tile ran in; ``act`` is called in each."""
    seen = []
    plain = tiles.Tile.epoch

    def epoch(tile, *given):
        seen.append((threading.current_thread() is threading.main_thread(), torch.get_num_threads()))
        if act is not None:
            act(tile)
        plain(tile, *given)

    monkeypatch.setattr(tiles.Tile, "epoch", epoch)
    return seen


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)], ids=["flips", "random"])
def test_tiles_side_by_side_are_tiles_one_after_another(
    small_task, small_data, monkeypatch, one_each, model, corruption
):
    """Bit by bit: each tile works with one thread in either case."""
    options = {"corruption": corruption, "snapshots": (0, 2), "evaluate_every": 2}
    torch.set_num_threads(1)
    expected = fit(small_task, small_data, model, **options)
    torch.set_num_threads(3)
    seen = watch(monkeypatch)
    found = fit(small_task, small_data, model, **options)
    assert seen == [(False, 1)] * (5 * SETTINGS.epochs)
    assert torch.get_num_threads() == 3
    assert torch.equal(found.logits, expected.logits)
    for name, part in expected.parameters.items():
        assert torch.equal(found.parameters[name], part)
        assert torch.equal(found.trajectory[name], expected.trajectory[name])
    for name, values in expected.history.items():
        np.testing.assert_array_equal(found.history[name], values)
    assert (found.epochs, found.health, found.seeds) == (expected.epochs, expected.health, expected.seeds)


def test_tiles_side_by_side_are_one_ensemble_without_tiles(small_task, small_data, monkeypatch):
    model = MLP(hidden=(6, 3), dtype="float64")
    whole = fit(small_task, small_data, model)
    monkeypatch.setattr(tiles, "TILE_BYTES", 2 * 8 * whole.model.n_parameters())
    seen = watch(monkeypatch)
    tiled = fit(small_task, small_data, model)
    assert len(seen) == 3 * SETTINGS.epochs
    assert not any(main for main, _ in seen)
    torch.testing.assert_close(tiled.logits, whole.logits, atol=1e-9, rtol=0)


def test_two_tiles_are_worked_on_at_the_same_time(small_task, small_data, monkeypatch, one_each):
    """Each waits for the other before it goes on."""
    both = threading.Barrier(2, timeout=20)
    watch(monkeypatch, lambda tile: both.wait())
    found = fit(small_task, small_data, MLP(hidden=(3,)), seeds=range(4))
    assert len(found) == 4


def test_the_next_epoch_begins_when_every_tile_is_done(small_task, small_data, monkeypatch, one_each):
    counts, seen = {}, []

    def act(tile):
        counts[id(tile)] = counts.get(id(tile), 0) + 1
        seen.append(counts[id(tile)])

    watch(monkeypatch, act)
    observed = []
    fit(small_task, small_data, MLP(hidden=(3,)), observer=lambda epoch, values: observed.append((epoch, len(seen))))
    assert seen == [1] * 5 + [2] * 5 + [3] * 5
    assert observed == [(1, 5), (2, 10), (3, 15)]


def test_the_observer_is_called_in_the_main_thread(small_task, small_data, one_each):
    seen = []
    fit(
        small_task,
        small_data,
        MLP(hidden=(3,)),
        observer=lambda epoch, values: seen.append(threading.current_thread() is threading.main_thread()),
    )
    assert seen == [True] * 3


@pytest.mark.parametrize(
    ("model", "number", "seeds"),
    [
        pytest.param(MLP(hidden=(3,)), 1, 5, id="one thread"),
        pytest.param(MLP(hidden=(3,)), 3, 2, id="fewer tiles than threads"),
        pytest.param(PennyLaneQNN(depth=1, device="default.qubit"), 2, 2, id="a model without vmap"),
    ],
)
def test_otherwise_tiles_are_worked_on_in_the_main_thread(
    small_task, small_data, monkeypatch, one_each, model, number, seeds
):
    torch.set_num_threads(number)
    seen = watch(monkeypatch)
    fit(small_task, small_data, model, seeds=range(seeds))
    assert seen == [(True, number)] * (seeds * SETTINGS.epochs)
    assert torch.get_num_threads() == number


def test_small_ensembles_use_one_thread(small_task, small_data, monkeypatch, one_each):
    monkeypatch.setattr(threads, "SMALL_WORK", 10**9)
    seen = watch(monkeypatch)
    fit(small_task, small_data, MLP(hidden=(3,)))
    assert set(seen) == {(True, 1)}
    assert torch.get_num_threads() == 2


class Spilt(Exception):
    """What happens to one tile."""


@pytest.mark.parametrize("error", [Spilt("no milk left"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("unlucky", [0, 2, 4])
@pytest.mark.parametrize("evaluate_every", [1, 100])
def test_an_error_in_a_tile_is_raised_as_it_is(
    small_task, small_data, monkeypatch, one_each, error, unlucky, evaluate_every
):
    order = []

    def act(tile):
        if tile not in order:
            order.append(tile)
        if len(order) > unlucky and tile is order[unlucky]:
            raise error

    watch(monkeypatch, act)
    before = threading.active_count()
    with pytest.raises(type(error)) as caught:
        fit(small_task, small_data, MLP(hidden=(3,)), evaluate_every=evaluate_every)
    assert caught.value is error
    assert torch.get_num_threads() == 2
    assert threading.active_count() == before


def test_an_error_of_the_model_is_raised_as_it_is(small_task, small_data, one_each):
    class Breaks(MLP):
        """Cannot be evaluated."""

        def forward(self, prepared):
            if prepared.shape[-2] > 4:  # not on the few rows that a model is tried on
                raise Spilt("over the floor")
            return super().forward(prepared)

    with pytest.raises(Spilt, match="over the floor"):
        fit(small_task, small_data, Breaks(hidden=(3,)))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("error", [Spilt("enough"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_error_of_the_observer_ends_all_threads(small_task, small_data, one_each, error):
    def stop(epoch, values):
        raise error

    before = threading.active_count()
    with pytest.raises(type(error)):
        fit(small_task, small_data, MLP(hidden=(3,)), observer=stop)
    assert threading.active_count() == before
    assert torch.get_num_threads() == 2


def test_threads_are_gone_afterwards_and_operations_have_theirs_back(small_task, small_data, one_each):
    before = threading.active_count()
    for _ in range(2):
        fit(small_task, small_data, MLP(hidden=(3,)))
    assert threading.active_count() == before
    assert torch.get_num_threads() == 2


def test_training_is_repeatable_and_leaves_global_randomness_alone(small_task, small_data, one_each):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    runs = [fit(small_task, small_data, PennyLaneQNN(depth=1), seeds=range(6)) for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), before)
    for again in runs[1:]:
        assert torch.equal(again.logits, runs[0].logits)


def test_the_model_is_not_changed_by_its_tiles(small_task, small_data, one_each):
    corruption = LabelFlip(ratio=0.5)
    model = MLP(hidden=(3,)).build(Features.of(small_data, corruption))
    members = [Member.of(small_task, small_data, corruption, seed) for seed in range(5)]
    first = SETTINGS.fit(model, members, small_data.validation)
    assert dict(model.named_parameters()).keys() == first.parameters.keys()
    assert not any(parameter.grad is not None for parameter in model.parameters())
    again = SETTINGS.fit(model, members, small_data.validation)
    assert torch.equal(first.logits, again.logits)
    x = torch.cat([small_data.train.x, small_data.validation.x])
    for index in (0, 4):
        single = first.model_of(index)
        with torch.no_grad():
            torch.testing.assert_close(single(single.prepare(x)).double(), first.logits[index], atol=1e-5, rtol=0)
