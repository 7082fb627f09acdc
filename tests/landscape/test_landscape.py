"""The landscape itself: points, samples, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qlab.corruptions import Corrupted, LabelFlip
from qlab.errors import ConfigError, DataError, QlabError
from qlab.landscape import HessianProbe, InterpolationProbe, Landscape, RougheningProbe, SliceProbe
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.models import checkpoint as checkpoints
from qlab.tasks import Split

SETS = ["train", "retain", "forget_polluted", "forget_clean", "validation"]


@pytest.fixture(scope="module")
def data(toys):
    """Twenty rows, eight of them with flipped labels, and twelve for validation."""
    clean = toys.real_split(20, 4, seed=5)
    corrupted = LabelFlip(ratio=0.4).apply(clean, None, torch.Generator().manual_seed(0))
    assert int(corrupted.mask.sum()) == 8
    return clean, corrupted, toys.real_split(12, 4, seed=6)


@pytest.fixture(scope="module")
def landscape(toys, data):
    clean, corrupted, validation = data
    first, second = (toys.build(toys.Bend(), clean, seed=seed) for seed in (0, 1))
    return Landscape(first, corrupted, validation, points={"oracle": second}, seed=7)


def hand_loss(landscape, x, y):
    kernel, out = landscape.theta[:12].reshape(4, 3), landscape.theta[12:]
    z = torch.tanh(x @ kernel) @ out
    return float((torch.log1p(torch.exp(z)) - y * z).mean())


@pytest.mark.parametrize("samples", SETS)
def test_sample_sets(landscape, data, samples):
    clean, corrupted, validation = data
    mask = corrupted.mask
    x, y = {
        "train": (clean.x, torch.where(mask, 1 - clean.y, clean.y)),
        "retain": (clean.x[~mask], clean.y[~mask]),
        "forget_polluted": (clean.x[mask], 1 - clean.y[mask]),
        "forget_clean": (clean.x[mask], clean.y[mask]),
        "validation": (validation.x, validation.y),
    }[samples]
    moved = landscape.on(samples)
    assert torch.equal(moved.x, x)
    assert torch.equal(moved.y, y.double())
    assert float(moved.loss(moved.theta)) == pytest.approx(hand_loss(landscape, x, y), abs=1e-12)
    assert moved.samples == samples
    assert landscape.samples == "train"
    assert list(landscape.sets) == SETS


def test_the_loss_of_the_whole_is_the_mean_of_its_parts(landscape):
    parts = {name: landscape.on(name) for name in ("train", "retain", "forget_polluted")}
    loss = {name: float(part.loss(part.theta)) for name, part in parts.items()}
    assert loss["train"] == pytest.approx(0.6 * loss["retain"] + 0.4 * loss["forget_polluted"], abs=1e-12)


def rows_of(split, x):
    return [int((split.x == row).all(1).nonzero()) for row in x]


def test_a_subset_is_drawn_with_the_seed(toys, landscape, data):
    clean, corrupted, _ = data
    moved = landscape.on("train", 9)
    rows = rows_of(clean, moved.x)
    assert rows == sorted(set(rows))
    assert len(rows) == 9
    assert torch.equal(moved.y, corrupted.split.y[rows].double())
    assert torch.equal(moved.x, landscape.on("train", 9).x)
    assert torch.equal(moved.on("train", 9).x, moved.x)
    assert set(rows_of(clean, landscape.on("train", 5).x)) <= set(rows)
    drawn = set()
    for seed in range(5):
        other = Landscape(toys.build(toys.Bend(), clean, seed=3), corrupted, seed=seed)
        drawn.add(tuple(rows_of(clean, other.on("train", 9).x)))
    assert len(drawn) == 5
    same = Landscape(toys.build(MLP(hidden=(2,)), clean), corrupted, seed=7)
    assert rows_of(clean, same.on("train", 9).x) == rows  # of the seed alone, not of the model


def test_subsets_take_every_row_equally_often(toys, data):
    clean = data[0]
    model = toys.build(toys.Linear(), clean)
    counts = np.zeros(20)
    for seed in range(200):
        counts[rows_of(clean, Landscape(model, clean, seed=seed).on("train", 5).x)] += 1
    assert counts.sum() == 1000
    assert abs(counts - 50).max() < 5 * np.sqrt(50 * 0.75)


@pytest.mark.parametrize("samples", ["train", "retain", "forget_polluted", "forget_clean", "validation"])
def test_all_samples_by_number_are_all_samples(landscape, samples):
    everything = landscape.on(samples)
    assert torch.equal(landscape.on(samples, len(everything.y)).x, everything.x)


def test_the_two_forget_sets_have_the_same_rows(landscape):
    """A subset of them too, or losses with either label could not be compared."""
    polluted, clean = landscape.on("forget_polluted", 5), landscape.on("forget_clean", 5)
    assert torch.equal(polluted.x, clean.x)
    assert torch.equal(polluted.y, 1 - clean.y)


def test_the_reference_moves_along(toys, data):
    clean, corrupted, validation = data
    models = [toys.build(toys.Bend(), clean, seed=seed) for seed in (0, 1)]
    twin = Landscape(models[1], Corrupted(clean, corrupted.mask, clean.y), validation, seed=7)
    landscape = Landscape(models[0], corrupted, validation, reference=twin, seed=7)
    for samples in SETS:
        moved = landscape.on(samples, 6)
        assert torch.equal(moved.x, moved.reference.x)
    assert twin.samples == "train"
    assert len(twin.y) == 20


def test_a_probe_that_needs_no_reference_does_not_care_what_it_has(toys, data):
    clean, corrupted, validation = data
    models = [toys.build(toys.Bend(), clean, seed=seed) for seed in (0, 1)]
    landscape = Landscape(models[0], corrupted, validation, reference=Landscape(models[1], clean))
    for samples in ("retain", "validation"):
        assert landscape.measure(SliceProbe(samples=samples, resolution=2)).about["samples"] == samples
        assert landscape.measure(HessianProbe(samples=samples)).about["samples"] == samples


def test_points_in_every_form_are_the_same_point(toys, data):
    clean = data[0]
    model, other = (toys.build(MLP(hidden=(3,)), clean, seed=seed) for seed in (0, 1))
    flat = torch.cat([p.detach().flatten() for p in other.parameters()])
    points = {"model": other, "state": other.state_dict(), "named": dict(other.named_parameters()), "flat": flat}
    landscape = Landscape(model, clean, points=points)
    for name in points:
        assert torch.equal(landscape.points[name], flat.double())
        assert torch.equal(landscape.at(name).theta, flat.double())
        assert not landscape.points[name].requires_grad
    assert landscape.centre == "trained"
    assert landscape.at("flat").centre == "flat"


def test_flat_vectors_follow_named_parameters(toys, data):
    model = toys.build(MLP(hidden=(3, 2), dtype="float64"), data[0])
    landscape = Landscape(model, data[0])
    named = landscape.named(landscape.theta)
    assert list(named) == [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        assert torch.equal(named[name], parameter.detach())
    stacked = landscape.named(torch.stack([landscape.theta, 2 * landscape.theta]))
    assert stacked["kernels.0"].shape == (2, 4, 3)
    assert torch.equal(stacked["kernels.0"][1], 2 * model.kernels[0].detach())


@pytest.mark.parametrize("form", ["model", "state", "flat"])
def test_a_landscape_is_a_copy(toys, data, form):
    """Training goes on after the landscape was taken: it stays where it was."""
    clean = data[0]
    model, other = (toys.build(toys.Homogeneous(), clean, seed=seed) for seed in (0, 1))
    flat = other.w.detach().clone()
    given = {"model": other, "state": other.state_dict(), "flat": flat}[form]
    trajectory = torch.stack([flat, model.w.detach()])
    landscape = Landscape(model, clean, points={"other": given}, trajectory=trajectory)
    before = landscape.theta.clone(), landscape.points["other"].clone(), landscape.trajectory.clone()
    loss = float(landscape.loss(landscape.theta))
    with torch.no_grad():
        for tensor in (model.w, other.w, flat, trajectory):
            tensor.fill_(9.0)
    after = landscape.theta, landscape.points["other"], landscape.trajectory
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert float(landscape.loss(landscape.theta)) == loss


def test_a_checkpoint_from_a_file_has_a_landscape(toys, data, tmp_path):
    clean = data[0]
    model = toys.build(MLP(hidden=(3,)), clean)
    checkpoints.save(tmp_path / "model", model, model.state_dict(), "MLP")
    loaded = checkpoints.load(tmp_path / "model")
    expected = Landscape(model, clean).measure(HessianProbe()).scalars
    assert dict(Landscape(loaded, clean).measure(HessianProbe()).scalars) == pytest.approx(dict(expected), abs=1e-12)


def test_evaluate_points(toys, landscape):
    points = torch.stack([landscape.theta, landscape.points["oracle"], 0.0 * landscape.theta])
    loss, accuracy = landscape.evaluate_points(points)
    z = torch.stack([landscape.logits(point) for point in points])
    expected = [float(toys.cross_entropy(row, landscape.y)) for row in z]
    np.testing.assert_allclose(loss.numpy(), expected, atol=1e-12)
    right = ((z > 0) == (landscape.y == 1)).double().mean(1)
    np.testing.assert_allclose(accuracy.numpy(), right.numpy(), atol=1e-12)
    assert loss.dtype == accuracy.dtype == torch.float64


def test_evaluate_takes_any_combinations(landscape):
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(3, 15, generator=generator, dtype=torch.float64)
    coefficients = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    loss, accuracy = landscape.evaluate(basis, coefficients)
    expected = landscape.evaluate_points(coefficients @ basis)
    torch.testing.assert_close((loss, accuracy), expected, atol=1e-12, rtol=0)


def test_taking_a_landscape_leaves_the_model_alone(toys, data):
    clean = data[0]
    model = toys.build(PennyLaneQNN(depth=1, device="default.qubit", dtype="float32"), toys.states(3, 2))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    landscape = Landscape(model, toys.states(3, 2))
    landscape.measure(HessianProbe())
    landscape.measure(SliceProbe(resolution=2))
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.detach(), before[name])
        assert parameter.grad is None
    assert (model.device, model.dtype) == ("default.qubit", torch.float32)
    assert len(clean) == 20


def test_an_unbuilt_model(data):
    with pytest.raises(DataError, match="MLP has no weights yet; build it first"):
        Landscape(MLP(), data[0])


MISFITS = {
    "fewer units": (
        lambda toys, split: toys.build(MLP(hidden=(3,)), split),
        r"kernels\.0 needs shape \[4, 4\], got shape \[4, 3\]",
    ),
    "another model": (lambda toys, split: toys.build(toys.Bend(), split), "it has no parameter kernel"),
    "unbuilt": (lambda toys, split: MLP(hidden=(4,)), "got none"),
    "a state dict of fewer layers": (
        lambda toys, split: {"kernels.0": torch.zeros(4, 4)},
        r"kernels\.1 needs shape \[4, 1\], got none",
    ),
    "a vector too short": (lambda toys, split: torch.zeros(24), r"has shape \[24\]; this MLP takes 25 parameters"),
    "several vectors": (lambda toys, split: torch.zeros(2, 25), r"has shape \[2, 25\]"),
    "more layers": (lambda toys, split: toys.build(MLP(hidden=(4, 1)), split), "does not fit"),
    "a state dict of more layers": (
        lambda toys, split: toys.build(MLP(hidden=(4, 1)), split).state_dict(),
        "does not fit",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_checkpoints_that_do_not_fit(toys, data, name):
    make, message = MISFITS[name]
    model = toys.build(MLP(hidden=(4,)), data[0])
    with pytest.raises(DataError, match=f'the point "oracle".*{message}'):
        Landscape(model, data[0], points={"oracle": make(toys, data[0])})


@pytest.mark.parametrize(
    "steps", [torch.zeros(3, 24), torch.zeros(25), torch.zeros(0, 25)], ids=lambda t: str(list(t.shape))
)
def test_trajectories_that_do_not_fit(toys, data, steps):
    model = toys.build(MLP(hidden=(4,)), data[0])
    with pytest.raises(DataError, match="trajectory"):
        Landscape(model, data[0], trajectory=steps)


def test_data_that_do_not_fit(toys, data):
    model = toys.build(MLP(hidden=(4,)), data[0])
    with pytest.raises(DataError, match="built for 4 real inputs, got 5"):
        Landscape(model, toys.real_split(6, 5))
    with pytest.raises(DataError, match="built for 4 real inputs, got 5"):
        Landscape(model, data[0], toys.real_split(6, 5)).on("validation")


def test_the_trained_point_keeps_its_name(toys, data):
    model = toys.build(toys.Linear(), data[0])
    with pytest.raises(ConfigError, match='"trained" is the model itself'):
        Landscape(model, data[0], points={"trained": model})


@pytest.mark.parametrize("samples", SETS)
def test_more_samples_than_there_are(landscape, samples):
    there = len(landscape.on(samples).y)
    with pytest.raises(
        DataError, match=f"n_samples: got {there + 1}, but there are {there} {samples} samples; 0 takes all"
    ):
        landscape.on(samples, there + 1)
    for probe in (HessianProbe, SliceProbe):
        with pytest.raises(DataError, match=f"but there are {there} {samples} samples"):
            probe(samples=samples, n_samples=1000).measure(landscape)


def test_fewer_samples_than_none(landscape):
    with pytest.raises(QlabError, match="n_samples: got -1"):
        landscape.on("train", -1)


def test_unknown_samples(landscape):
    with pytest.raises(QlabError, match=r'"test".*train, retain, forget_polluted, forget_clean, validation'):
        landscape.on("test")
    with pytest.raises(ConfigError, match='samples: got "forget", accepts one of "train"'):
        SliceProbe(samples="forget")


@pytest.mark.parametrize("samples", ["forget_polluted", "forget_clean"])
def test_an_empty_forget_set(toys, data, samples):
    clean = data[0]
    nothing = LabelFlip(ratio=0.0).apply(clean, None, torch.Generator().manual_seed(0))
    landscape = Landscape(toys.build(toys.Bend(), clean), nothing)
    assert list(landscape.sets) == ["train", "retain"]
    for probe in (HessianProbe(samples=samples), SliceProbe(samples=samples)):
        with pytest.raises(DataError, match=f'no samples "{samples}" here; there are: train, retain'):
            probe.measure(landscape)


def test_an_empty_retain_set(toys, data):
    clean = data[0]
    everything = LabelFlip(ratio=1.0).apply(clean, None, torch.Generator().manual_seed(0))
    landscape = Landscape(toys.build(toys.Bend(), clean), everything)
    with pytest.raises(DataError, match='no samples "retain" here; there are: train, forget_polluted, forget_clean'):
        landscape.on("retain")


def test_a_plain_split_has_no_forget_set(toys, data):
    landscape = Landscape(toys.build(toys.Bend(), data[0]), data[0])
    for samples in ("retain", "forget_polluted", "forget_clean", "validation"):
        with pytest.raises(DataError, match=f'no samples "{samples}" here; there are: train'):
            landscape.on(samples)


def test_no_rows_at_all(toys, data):
    empty = Split(data[0].x[:0], data[0].y[:0])
    with pytest.raises(DataError, match="samples"):
        Landscape(toys.build(toys.Bend(), data[0]), empty)


@pytest.mark.parametrize(
    "probe",
    [HessianProbe(at="orcale"), SliceProbe(at="orcale"), InterpolationProbe(path=("trained", "orcale"))],
    ids=["hessian", "slice", "interpolation"],
)
def test_unknown_points(landscape, probe):
    with pytest.raises(ConfigError, match=r'unknown point "orcale"\. Did you mean "oracle"\? Choices: oracle, trained'):
        probe.measure(landscape)


def test_a_model_whose_inputs_are_partly_left_out(toys):
    """Features that are zero in every sample have no weights: the landscape is that of the others."""
    split = toys.real_split(10, 5)
    split.x[:, 1] = 0.0
    active = torch.tensor([True, False, True, True, True])
    model = MLP(hidden=(3,), dtype="float64").build(Features(5, False, active))
    model.reset_parameters(torch.Generator().manual_seed(0))
    landscape = Landscape(model, split)
    assert landscape.n_parameters == 4 * 3 + 3 + 3 + 1
    logits = toys.mlp_logits([4, 3, 1], split.x[:, active])
    a, b = toys.dense_terms(logits, landscape.theta, split.y)
    scalars = landscape.measure(HessianProbe()).scalars
    assert scalars["hessian_trace"] == pytest.approx(float((a + b).trace()), abs=1e-9)


def test_a_landscape_of_the_xxz_chain(small_task, small_data, toys):
    """From a task to a roughening ratio, as in the README of the paper: nothing but public names."""
    corrupted = LabelFlip(ratio=0.25).apply(small_data.train, small_task, torch.Generator().manual_seed(0))
    features = Features.of(small_data)
    for unbuilt in (PennyLaneQNN(depth=2), MLP(hidden=(4, 2))):
        models = []
        for seed in (0, 1):
            model = unbuilt.build(features)
            model.reset_parameters(torch.Generator().manual_seed(seed))
            models.append(model)
        reference = Landscape(models[1], small_data.train, small_data.validation)
        landscape = Landscape(models[0], corrupted, small_data.validation, reference=reference)
        found = RougheningProbe().measure(landscape).scalars
        dense = [
            float(torch.autograd.functional.hessian(side.loss, side.theta).trace()) for side in (landscape, reference)
        ]
        assert found["lrr"] == pytest.approx(dense[0] / dense[1], abs=1e-8)
        assert landscape.measure(SliceProbe(directions="hessian", samples="validation", resolution=3)).arrays[
            "loss"
        ].shape == (3, 3)
