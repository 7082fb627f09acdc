"""The trainer: an ensemble trains each member as if it were alone, and as plain PyTorch would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.models import HalfFrozen

from qlab import seeding
from qlab.corruptions import Corrupted, FeatureRandomization, LabelFlip, NoCorruption
from qlab.errors import ConfigError, DataError
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.tasks import Dataset, Split
from qlab.training import Member, Trainer, tiles
from qlab.training.data import prepare
from qlab.training.ensemble import initial_parameters

METRICS = {
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "retain_loss",
    "retain_accuracy",
    "forget_accuracy_polluted",
    "forget_accuracy_clean",
}

SHORT = Trainer(epochs=4, batch_size=5, learning_rate=0.05)

MODELS = [
    pytest.param(MLP(hidden=(6, 3), dtype="float64"), 1e-9, id="MLP float64"),
    pytest.param(MLP(hidden=(6, 3)), 2e-4, id="MLP float32"),
    pytest.param(PennyLaneQNN(depth=2), 1e-9, id="chain"),
    pytest.param(PennyLaneQNN(depth=2, entangler="ring"), 1e-9, id="ring"),
    pytest.param(PennyLaneQNN(depth=6), 1e-9, id="statevector"),
]

CORRUPTIONS = [
    pytest.param([LabelFlip(ratio=ratio) for ratio in (0.0, 0.5, 1.0)], id="label flips"),
    pytest.param([FeatureRandomization(ratio=ratio) for ratio in (0.0, 0.5, 1.0)], id="random features"),
]


WEIGHTS = 1e-6
"""Adam divides by the size of the gradient, so weights with gradients near its eps of 1e-8 amplify rounding; losses
hardly feel them."""


def assert_same(found, row, expected, row_expected, tolerance):
    for name in ("train_loss", "validation_loss"):
        np.testing.assert_allclose(
            found.history[name][row], expected.history[name][row_expected], atol=tolerance, rtol=0, err_msg=name
        )
    for name, values in found.parameters.items():
        difference = (values[row] - expected.parameters[name][row_expected]).abs()
        assert float(difference.max()) <= max(tolerance, WEIGHTS), name
    if tolerance < 1e-6:
        for name, values in found.history.items():
            np.testing.assert_array_equal(values[row].round(6), expected.history[name][row_expected].round(6), name)


@pytest.mark.parametrize(("model", "tolerance"), MODELS)
@pytest.mark.parametrize("corruptions", CORRUPTIONS)
def test_a_trial_is_the_same_alone_and_in_ensembles_of_any_size_and_order(small_task, model, tolerance, corruptions):
    seeds = (3, 0, 7)
    together = SHORT.train(model, small_task, corruptions, seeds=seeds)
    backwards = SHORT.train(model, small_task, corruptions[::-1], seeds=seeds[::-1])
    assert len(together) == 9
    assert together.seeds == seeds * 3
    for row in (0, 4, 8):
        alone = SHORT.train(model, small_task, corruptions[row // 3], seeds=[seeds[row % 3]])
        assert len(alone) == 1
        assert_same(together, row, alone, 0, tolerance)
        assert_same(backwards, 8 - row, alone, 0, tolerance)


@pytest.mark.parametrize("per_tile", [1, 2])
def test_members_trained_in_tiles_are_the_same(small_task, monkeypatch, per_tile):
    model = MLP(hidden=(6, 3), dtype="float64")
    for corruptions in ([LabelFlip(ratio=0.5)], [FeatureRandomization(ratio=0.5)]):
        whole = SHORT.train(model, small_task, corruptions, seeds=range(5))
        built = model.build(Features.of(small_task.load(), corruptions[0]))
        with monkeypatch.context() as patch:
            patch.setattr(tiles, "TILE_BYTES", per_tile * 8 * built.n_parameters())
            tiled = SHORT.train(model, small_task, corruptions, seeds=range(5))
        for row in range(5):
            assert_same(tiled, row, whole, row, 1e-9)
        torch.testing.assert_close(tiled.logits, whole.logits, atol=1e-9, rtol=0)


def plain_training(model, member, validation, settings):
    """One model, one optimizer, one loop; returns losses after each epoch."""
    model.reset_parameters(seeding.generator(member.seed, "initialization"))
    x, y = model.prepare(member.corrupted.split.x), member.corrupted.split.y.to(model.dtype)
    validation_x, validation_y = model.prepare(validation.x), validation.y.to(model.dtype)

    def cross_entropy(logits, labels):
        p = torch.sigmoid(logits)
        return -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()

    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.999), eps=1e-8)
    batches = seeding.generator(member.seed, "batches")
    train, held_out = [], []
    for _ in range(settings.epochs):
        order = torch.randperm(len(y), generator=batches)
        for start in range(0, len(y), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            optimizer.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            train.append(float(cross_entropy(model(x), y)))
            held_out.append(float(cross_entropy(model(validation_x), validation_y)))
    return train, held_out


def assert_trained_as_in_a_plain_loop(task, dataset, model, corruption, settings):
    """Losses and weights of two seeds; returns the ensemble."""
    trained = settings.train(model, task, corruption, seeds=(1, 2))
    built = model.build(Features.of(dataset, corruption))
    for row, seed in enumerate((1, 2)):
        member = Member.of(task, dataset, corruption, seed)
        train, held_out = plain_training(built, member, dataset.validation, settings)
        np.testing.assert_allclose(trained.history["train_loss"][row], train, atol=1e-9)
        np.testing.assert_allclose(trained.history["validation_loss"][row], held_out, atol=1e-9)
        for name, parameter in built.named_parameters():
            torch.testing.assert_close(trained.parameters[name][row], parameter.detach(), atol=WEIGHTS, rtol=0)
    return trained


@pytest.mark.parametrize(
    "corruption", [LabelFlip(ratio=0.3), FeatureRandomization(ratio=0.3)], ids=lambda c: type(c).__name__
)
@pytest.mark.parametrize("batch_size", [1, 5, 16, 100])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(MLP(hidden=(6, 3), dtype="float64"), id="MLP"),
        pytest.param(PennyLaneQNN(depth=2), id="chain"),
        pytest.param(PennyLaneQNN(depth=6), id="statevector"),
    ],
)
def test_a_member_equals_a_plain_loop_with_adam(small_task, small_data, model, corruption, batch_size):
    settings = Trainer(epochs=3, batch_size=batch_size, learning_rate=0.05)
    assert_trained_as_in_a_plain_loop(small_task, small_data, model, corruption, settings)


@pytest.mark.parametrize(
    "corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)], ids=lambda c: type(c).__name__
)
@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_a_model_that_cannot_be_vmapped_trains_to_the_same_history(small_task, device, corruption):
    settings = Trainer(epochs=2, batch_size=8, learning_rate=0.05)
    expected = settings.train(PennyLaneQNN(depth=2), small_task, corruption, seeds=(0, 1))
    found = settings.train(PennyLaneQNN(depth=2, device=device), small_task, corruption, seeds=(0, 1))
    for row in range(2):
        assert_same(found, row, expected, row, 1e-9)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_the_same_model_can_be_trained_twice(small_task, small_data, device):
    settings = Trainer(epochs=1, batch_size=16)
    model = PennyLaneQNN(depth=1, device=device).build(Features.of(small_data))
    members = [Member.of(small_task, small_data, NoCorruption(), 0)]
    first = settings.fit(model, members, small_data.validation)
    again = settings.fit(model, members, small_data.validation)
    assert torch.equal(first.logits, again.logits)


@pytest.mark.parametrize(("model", "tolerance"), MODELS)
def test_history_and_logits_have_the_documented_shapes(small_task, model, tolerance):
    trained = SHORT.train(model, small_task, LabelFlip(ratio=0.5), seeds=(0, 1))
    assert set(trained.history) == METRICS
    assert {values.shape for values in trained.history.values()} == {(2, 4)}
    assert {values.dtype for values in trained.history.values()} == {np.dtype("float64")}
    assert (trained.logits.shape, trained.logits.dtype) == ((2, 28), torch.float64)
    assert len(trained.health) == 2
    assert trained.seconds > 0
    assert not any(values.requires_grad for values in trained.parameters.values())


@pytest.mark.parametrize(("model", "tolerance"), MODELS)
def test_model_of_reproduces_the_final_logits(small_task, small_data, model, tolerance):
    trained = SHORT.train(model, small_task, LabelFlip(ratio=0.5), seeds=(0, 1, 2))
    x = torch.cat([small_data.train.x, small_data.validation.x])
    members = [trained.model_of(row) for row in range(3)]
    for row, member in enumerate(members):
        with torch.no_grad():
            logits = member(member.prepare(x)).double()
        torch.testing.assert_close(logits, trained.logits[row], atol=max(tolerance, 1e-9), rtol=0)
        assert set(member.state_dict()) == set(trained.state_of(row))


def test_changing_a_member_does_not_change_the_ensemble(small_task):
    trained = SHORT.train(MLP(hidden=(3,)), small_task, seeds=(0, 1))
    before = trained.parameters["biases.0"].clone()
    with torch.no_grad():
        for parameter in trained.model_of(0).parameters():
            parameter.fill_(7.0)
    for tensor in trained.state_of(1).values():
        tensor.fill_(1)
    assert torch.equal(trained.parameters["biases.0"], before)


def test_last_epoch_of_the_history_is_that_of_the_final_logits(small_task, small_data):
    trained = SHORT.train(PennyLaneQNN(depth=2), small_task, seeds=(0,))
    correct = (trained.logits[0, 16:] > 0) == (small_data.validation.y == 1)
    assert trained.history["validation_accuracy"][0, -1] == float(correct.double().mean())


def test_ratio_one_leaves_no_row_to_retain_and_ratio_zero_none_to_forget(small_task):
    corruptions = [LabelFlip(ratio=0.0), LabelFlip(ratio=1.0)]
    history = SHORT.train(MLP(hidden=(3,)), small_task, corruptions).history
    assert np.isnan(history["forget_accuracy_polluted"][0]).all()
    assert np.isnan(history["forget_accuracy_clean"][0]).all()
    assert np.isnan(history["retain_accuracy"][1]).all()
    np.testing.assert_array_equal(history["retain_accuracy"][0], history["train_accuracy"][0])
    np.testing.assert_array_equal(history["forget_accuracy_polluted"][1], history["train_accuracy"][1])
    np.testing.assert_allclose(history["forget_accuracy_clean"][1], 1.0 - history["train_accuracy"][1])


def test_observer_is_called_after_each_epoch_with_its_metrics(small_task):
    seen = []
    trained = SHORT.train(
        MLP(hidden=(3,)),
        small_task,
        LabelFlip(ratio=0.5),
        seeds=(0, 1),
        observer=lambda epoch, values: seen.append((epoch, {name: value.copy() for name, value in values.items()})),
    )
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    for epoch, values in seen:
        assert set(values) == METRICS
        for name, value in values.items():
            np.testing.assert_array_equal(value, trained.history[name][:, epoch - 1])


def test_an_observer_does_not_change_the_training(small_task):
    quiet = SHORT.train(MLP(hidden=(3,)), small_task, seeds=(0,))
    observed = SHORT.train(MLP(hidden=(3,)), small_task, seeds=(0,), observer=lambda epoch, values: torch.rand(10))
    assert torch.equal(quiet.logits, observed.logits)
    np.testing.assert_array_equal(quiet.history["train_loss"], observed.history["train_loss"])


SNAPSHOTS = (0, 2, 3, 4)


def by_plain_loop(model, member, settings, epochs):
    """Parameters of one model before training and after each epoch of a plain loop, at some epochs."""
    model.reset_parameters(seeding.generator(member.seed, "initialization"))
    x, y = model.prepare(member.corrupted.split.x), member.corrupted.split.y.to(model.dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    batches = seeding.generator(member.seed, "batches")
    states = {}
    for epoch in range(max(epochs) + 1):
        if epoch:
            for rows in torch.randperm(len(y), generator=batches).split(settings.batch_size):
                optimizer.zero_grad()
                torch.nn.functional.binary_cross_entropy_with_logits(model(x[rows]), y[rows]).backward()
                optimizer.step()
        if epoch in epochs:
            states[epoch] = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    return states


def fitted(task, data, model, seeds=(3, 0, 7), settings=SHORT, corruption=None, **options):
    corruption = corruption or LabelFlip(ratio=0.5)
    members = [Member.of(task, data, corruption, seed) for seed in seeds]
    return settings.fit(model.build(Features.of(data, corruption)), members, data.validation, **options)


@pytest.mark.parametrize(
    "model",
    [MLP(hidden=(6, 3), dtype="float64"), PennyLaneQNN(depth=2), PennyLaneQNN(depth=2, device="default.qubit")],
    ids=["MLP", "chain", "default.qubit"],
)
def test_the_trajectory_leads_from_initial_to_trained_parameters(small_task, small_data, model):
    settings = Trainer(epochs=2, batch_size=8, learning_rate=0.05)
    trained = fitted(small_task, small_data, model, (3, 0), settings, snapshots=[0, 1, 2])
    initial = initial_parameters(trained.model, [3, 0])
    assert trained.trajectory.keys() == trained.parameters.keys()
    for name, path in trained.trajectory.items():
        assert path.shape == (2, 3, *trained.parameters[name].shape[1:])
        assert not path.requires_grad
        assert torch.equal(path[:, 0], initial[name].cpu())
        assert torch.equal(path[:, -1], trained.parameters[name])
        assert not torch.equal(path[:, 1], path[:, 0])
        assert not torch.equal(path[:, 1], path[:, 2])


def test_snapshots_are_those_of_a_plain_loop_member_by_member(small_task, small_data):
    model = MLP(hidden=(6, 3), dtype="float64")
    trained = fitted(small_task, small_data, model, snapshots=SNAPSHOTS)
    for row, seed in enumerate((3, 0, 7)):
        member = Member.of(small_task, small_data, LabelFlip(ratio=0.5), seed)
        plain = by_plain_loop(model.build(Features.of(small_data)), member, SHORT, SNAPSHOTS)
        for position, epoch in enumerate(SNAPSHOTS):
            for name, parameter in plain[epoch].items():
                torch.testing.assert_close(trained.trajectory[name][row, position], parameter, atol=WEIGHTS, rtol=0)


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)], ids=["flips", "random"])
@pytest.mark.parametrize("per_tile", [1, 2])
def test_members_of_all_tiles_are_in_the_trajectory_in_order(small_task, small_data, monkeypatch, per_tile, corruption):
    model = MLP(hidden=(6, 3), dtype="float64")
    options = {"seeds": range(5), "corruption": corruption, "snapshots": SNAPSHOTS}
    whole = fitted(small_task, small_data, model, **options)
    size = 8 * whole.model.n_parameters()
    monkeypatch.setattr(tiles, "TILE_BYTES", per_tile * size)
    tiled = fitted(small_task, small_data, model, **options)
    for name, path in whole.trajectory.items():
        assert path.shape[:2] == (5, 4)
        torch.testing.assert_close(tiled.trajectory[name], path, atol=WEIGHTS, rtol=0)


@pytest.mark.parametrize("model", [MLP(hidden=(6, 3)), PennyLaneQNN(depth=2)], ids=["MLP", "chain"])
def test_asking_for_a_trajectory_does_not_change_the_training(small_task, small_data, model):
    quiet = fitted(small_task, small_data, model)
    followed = fitted(small_task, small_data, model, snapshots=SNAPSHOTS)
    assert quiet.trajectory == {}
    assert torch.equal(quiet.logits, followed.logits)
    for name, parameter in quiet.parameters.items():
        assert torch.equal(parameter, followed.parameters[name])
    for name, values in quiet.history.items():
        np.testing.assert_array_equal(values, followed.history[name])
    assert quiet.health == followed.health


def test_snapshots_are_kept_in_the_order_of_the_epochs_whatever_is_evaluated(small_task, small_data):
    expected = fitted(small_task, small_data, MLP(hidden=(3,)), snapshots=SNAPSHOTS)
    for snapshots, options in (([4, 3, 0, 2, 3, 99], {}), (set(SNAPSHOTS), {"evaluate_every": 3})):
        found = fitted(small_task, small_data, MLP(hidden=(3,)), snapshots=snapshots, **options)
        for name, path in expected.trajectory.items():
            assert torch.equal(found.trajectory[name], path)


@pytest.mark.parametrize(
    ("epochs", "every", "evaluated"),
    [
        (6, 1, (1, 2, 3, 4, 5, 6)),
        (6, 2, (2, 4, 6)),
        (7, 3, (3, 6, 7)),
        (6, 5, (5, 6)),
        (6, 6, (6,)),
        (6, 100, (6,)),
        (1, 2, (1,)),
    ],
)
def test_metrics_are_evaluated_every_so_many_epochs_and_after_the_last(
    small_task, small_data, epochs, every, evaluated
):
    settings = Trainer(epochs=epochs, batch_size=5, learning_rate=0.05)
    seen = []
    full = fitted(small_task, small_data, MLP(hidden=(3,)), settings=settings)
    found = fitted(
        small_task,
        small_data,
        MLP(hidden=(3,)),
        settings=settings,
        evaluate_every=every,
        observer=lambda epoch, values: seen.append((epoch, values)),
    )
    assert full.epochs == tuple(range(1, epochs + 1))
    assert found.epochs == evaluated
    assert tuple(epoch for epoch, _ in seen) == evaluated
    assert set(found.history) == METRICS
    for name, values in found.history.items():
        assert values.shape == (3, len(evaluated))
        np.testing.assert_array_equal(values, full.history[name][:, [epoch - 1 for epoch in evaluated]])
        for column, (_, observed) in enumerate(seen):
            np.testing.assert_array_equal(observed[name], values[:, column])


@pytest.mark.parametrize("model", [MLP(hidden=(6, 3)), PennyLaneQNN(depth=2)], ids=["MLP", "chain"])
@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)], ids=["flips", "random"])
@pytest.mark.parametrize("tile_bytes", [1, tiles.TILE_BYTES], ids=["tiles", "one tile"])
def test_evaluating_less_often_trains_the_same_bit_by_bit(
    small_task, small_data, monkeypatch, model, corruption, tile_bytes
):
    monkeypatch.setattr(tiles, "TILE_BYTES", tile_bytes)
    full = fitted(small_task, small_data, model, corruption=corruption)
    for every in (3, 100):
        found = fitted(small_task, small_data, model, corruption=corruption, evaluate_every=every)
        assert torch.equal(found.logits, full.logits)
        for name, parameter in full.parameters.items():
            assert torch.equal(found.parameters[name], parameter)


STILL_FALLING = Trainer(epochs=60, batch_size=8, learning_rate=0.003)


@pytest.mark.parametrize("every", [1, 2, 4, 5, 10, 60])
def test_health_does_not_depend_on_how_often_metrics_are_evaluated(small_task, small_data, every):
    """A training loss that is still falling is found to be, however seldom it is measured."""
    options = {"settings": STILL_FALLING, "corruption": NoCorruption()}
    full = fitted(small_task, small_data, MLP(hidden=(8,)), **options)
    losses = full.history["train_loss"]
    assert bool((losses[:, -12:-6].mean(1) - losses[:, -6:].mean(1) > 0.015).all())
    assert full.health == ("unconverged",) * 3
    assert fitted(small_task, small_data, MLP(hidden=(8,)), evaluate_every=every, **options).health == full.health


@pytest.mark.parametrize("every", [1, 3, 100])
def test_models_that_diverged_or_collapsed_are_found_however_seldom_metrics_are_evaluated(
    small_task, small_data, every
):
    class Dead(MLP):
        """Every unit of the last hidden layer is dead."""

        @torch.no_grad()
        def reset_parameters(self, generator):
            super().reset_parameters(generator)
            self.biases[-2].fill_(-100.0)

    wild = Trainer(epochs=4, batch_size=5, learning_rate=1e30)
    assert fitted(small_task, small_data, MLP(hidden=(3,)), settings=wild, evaluate_every=every).health == (
        ("diverged",) * 3
    )
    assert fitted(small_task, small_data, Dead(hidden=(3,)), evaluate_every=every).health == ("collapsed",) * 3


def test_changing_a_trajectory_does_not_change_the_model(small_task, small_data):
    trained = fitted(small_task, small_data, MLP(hidden=(3,)), snapshots=[4])
    before = {name: parameter.clone() for name, parameter in trained.parameters.items()}
    for path in trained.trajectory.values():
        path.fill_(7.0)
    assert all(torch.equal(parameter, before[name]) for name, parameter in trained.parameters.items())


def test_training_does_not_depend_on_global_randomness_nor_change_it(small_task):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = SHORT.train(MLP(hidden=(3,)), small_task, FeatureRandomization(ratio=0.5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    again = SHORT.train(MLP(hidden=(3,)), small_task, FeatureRandomization(ratio=0.5))
    assert torch.equal(first.logits, again.logits)


def test_trials_of_one_seed_are_paired_across_ratios(small_task, small_data):
    """Same initial weights, same batches, nested forget sets."""
    members = [Member.of(small_task, small_data, LabelFlip(ratio=ratio), 5) for ratio in (0.25, 0.5, 0.75)]
    small, middle, large = (member.corrupted.mask for member in members)
    assert bool((small <= middle).all())
    assert bool((middle <= large).all())
    model = PennyLaneQNN(depth=1).build(Features.of(small_data))
    parameters = initial_parameters(model, [5, 5])
    for values in parameters.values():
        assert torch.equal(values[0], values[1])


def test_features_shared_by_all_members_are_kept_once(small_task, small_data):
    model = MLP(hidden=(3,)).build(Features.of(small_data, FeatureRandomization()))
    flips = [Member.of(small_task, small_data, LabelFlip(ratio=0.5), seed) for seed in range(3)]
    randomized = [Member.of(small_task, small_data, FeatureRandomization(ratio=0.5), seed) for seed in range(3)]
    shared, own = (
        prepare(model, members, small_data.validation, torch.device("cpu")) for members in (flips, randomized)
    )
    assert (shared.shared, tuple(shared.train_x.shape)) == (True, (16, 33))  # a column marks rows outside the core
    assert (own.shared, tuple(own.train_x.shape)) == (False, (3, 16, 33))


def test_training_learns_the_phases(small_task):
    """A sanity check of the whole chain: both models separate the phases of clean states."""
    for model in (MLP(hidden=(16,)), PennyLaneQNN(depth=3)):
        trained = Trainer(epochs=150, batch_size=8, learning_rate=0.03).train(model, small_task)
        assert trained.history["train_accuracy"][0, -1] >= 0.9
        assert trained.history["train_loss"][0, -1] < 0.7 * trained.history["train_loss"][0, 0]


def corrupted_rows(n):
    x = torch.zeros(n, 4, dtype=torch.float64)
    return Corrupted(
        Split(x, torch.zeros(n, dtype=torch.long)), torch.zeros(n, dtype=torch.bool), torch.zeros(n).long()
    )


@pytest.mark.parametrize(
    ("sizes", "validation", "message"),
    [
        pytest.param((3, 4), 2, r"got sizes \[3, 4\] and 2 validation rows", id="different sizes"),
        pytest.param((0, 0), 2, r"got sizes \[0\]", id="empty splits"),
        pytest.param((3, 3), 0, "0 validation rows", id="no validation rows"),
        pytest.param((), 2, r"got sizes \[\]", id="no members"),
    ],
)
def test_members_that_do_not_fit_together_are_refused(sizes, validation, message):
    rows = Split(torch.zeros(validation, 4, dtype=torch.float64), torch.zeros(validation, dtype=torch.long))
    model = PennyLaneQNN(depth=1).build(Features.of(Dataset(corrupted_rows(1).split, rows)))
    with pytest.raises(DataError, match=message):
        SHORT.fit(model, [Member(0, corrupted_rows(n)) for n in sizes], rows)


def test_corruptions_of_two_classes_are_refused(small_task):
    with pytest.raises(
        ConfigError, match=r"got \['FeatureRandomization', 'LabelFlip'\], accepts corruptions of one class"
    ):
        SHORT.train(MLP(), small_task, [LabelFlip(ratio=0.1), FeatureRandomization(ratio=0.1)])


def test_no_corruptions_at_all_are_refused(small_task):
    with pytest.raises(ConfigError, match="got none"):
        SHORT.train(MLP(), small_task, [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "Trainer: epochs: got 0, accepts an integer of at least 1"),
        ({"epochs": 2.0}, r"epochs: got 2\.0"),
        ({"batch_size": -1}, "batch_size: got -1"),
        ({"learning_rate": 0.0}, r"learning_rate: got 0\.0, accepts a number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate: got inf"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(**fields)


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)])
def test_frozen_parameters_stay_as_they_are_and_the_others_train_as_in_a_plain_loop(small_task, small_data, corruption):
    model = HalfFrozen(hidden=(6, 3), dtype="float64")
    trained = assert_trained_as_in_a_plain_loop(small_task, small_data, model, corruption, SHORT)
    built = model.build(Features.of(small_data, corruption))
    for row, seed in enumerate((1, 2)):
        built.reset_parameters(seeding.generator(seed, "initialization"))
        for name, parameter in built.named_parameters():
            same = torch.equal(trained.parameters[name][row], parameter.detach())
            assert same is not parameter.requires_grad
