"""The Hessian probe: what it reports, against dense Hessians of losses written out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from qlab.errors import ConfigError
from qlab.landscape import HessianProbe, Landscape
from qlab.models import MLP, PennyLaneQNN

SCALARS = {
    "hessian_trace",
    "hessian_trace_a",
    "hessian_trace_b",
    "hessian_trace_error",
    "hessian_eigenvalue_max",
    "hessian_eigenvalue_min",
    "landscape_loss",
    "gradient_norm",
}


@pytest.fixture(scope="module")
def mlp(toys):
    split = toys.real_split(15, 6, seed=4)
    model = toys.build(MLP(hidden=(5, 3), dtype="float64"), split, seed=1)
    landscape = Landscape(model, split)
    return landscape, toys.mlp_logits([6, 5, 3, 1], split.x)


@pytest.fixture(scope="module")
def ring(toys):
    split = toys.states(6, 4)
    landscape = Landscape(toys.build(PennyLaneQNN(depth=2, entangler="ring"), split), split)
    return landscape, landscape.logits


@pytest.fixture(scope="module")
def bend(toys):
    """Smooth, and with just enough parameters for estimates of its trace."""
    split = toys.real_split(10, 20, seed=4)
    landscape = Landscape(toys.build(toys.Bend(), split, spread=0.5), split, seed=4)
    return landscape, lambda flat: (torch.tanh(split.x @ flat[:60].reshape(20, 3)) * flat[60:]).sum(1)


@pytest.mark.parametrize("name", ["mlp", "ring", "bend"])
@pytest.mark.parametrize("full_below", [2_000, 0], ids=["whole matrix", "by products"])
def test_scalars_are_those_of_the_dense_hessian(request, toys, name, full_below):
    landscape, logits = request.getfixturevalue(name)
    a, b = toys.dense_terms(logits, landscape.theta, landscape.y)
    values = torch.linalg.eigvalsh(a + b)
    theta = landscape.theta.clone().requires_grad_()
    loss = toys.cross_entropy(logits(theta), landscape.y)
    [gradient] = torch.autograd.grad(loss, theta)
    found = HessianProbe(full_below=full_below).measure(landscape)
    assert set(found.scalars) == SCALARS
    expected = {
        "hessian_trace": values.sum(),
        "hessian_trace_a": a.trace(),
        "hessian_trace_b": b.trace(),
        "hessian_trace_error": 0.0,
        "hessian_eigenvalue_max": values[-1],
        "hessian_eigenvalue_min": values[0],
        "landscape_loss": loss.detach(),
        "gradient_norm": gradient.norm(),
    }
    assert dict(found.scalars) == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-8)
    assert found.scalars["hessian_trace"] == pytest.approx(
        found.scalars["hessian_trace_a"] + found.scalars["hessian_trace_b"], abs=1e-12
    )


@pytest.mark.parametrize("name", ["mlp", "ring", "bend"])
def test_the_whole_spectrum_of_a_small_model(request, toys, name):
    landscape, logits = request.getfixturevalue(name)
    a, b = toys.dense_terms(logits, landscape.theta, landscape.y)
    found = HessianProbe().measure(landscape).arrays
    np.testing.assert_allclose(found["eigenvalues"], torch.linalg.eigvalsh(a + b).numpy(), atol=1e-9)
    assert "eigenvalues_lowest" not in found


def test_the_lowest_and_the_largest_of_a_large_model(toys, bend):
    landscape, logits = bend
    a, b = toys.dense_terms(logits, landscape.theta, landscape.y)
    values = torch.linalg.eigvalsh(a + b).numpy()
    found = HessianProbe(full_below=62, eigenvalues=4).measure(landscape).arrays  # 63 parameters
    np.testing.assert_allclose(found["eigenvalues_lowest"], values[:4], atol=1e-8)
    np.testing.assert_allclose(found["eigenvalues_largest"], values[-4:], atol=1e-8)
    assert "eigenvalues" not in found
    assert "eigenvalues" in HessianProbe(full_below=63).measure(landscape).arrays


def test_eigenvalues_can_be_left_out(bend):
    found = HessianProbe(full_below=0, eigenvalues=0).measure(bend[0])
    assert set(found.scalars) == SCALARS - {"hessian_eigenvalue_max", "hessian_eigenvalue_min"}
    assert not any("eigenvalues" in name for name in found.arrays)


def test_more_eigenvalues_than_there_are(toys):
    """Four parameters, five of the lowest and of the largest asked for: all there are."""
    split = toys.real_split(12, 3)
    landscape = Landscape(toys.build(toys.Linear(), split), split)
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(landscape.loss, landscape.theta))
    found = HessianProbe(full_below=0).measure(landscape)
    assert found.scalars["hessian_eigenvalue_max"] == pytest.approx(float(values[-1]), abs=1e-9)
    assert found.scalars["hessian_eigenvalue_min"] == pytest.approx(float(values[0]), abs=1e-9)


@pytest.mark.parametrize("name", ["mlp", "ring", "bend"])
@pytest.mark.parametrize("full_below", [2_000, 0], ids=["whole matrix", "by products"])
def test_traces_by_layer(request, toys, name, full_below):
    landscape, logits = request.getfixturevalue(name)
    a, b = (matrix.diagonal() for matrix in toys.dense_terms(logits, landscape.theta, landscape.y))
    found = HessianProbe(full_below=full_below).measure(landscape)
    layers = {
        # kernels 30 + 15 + 3, then biases 5 + 3 + 1
        "mlp": {
            "layer 1": [*range(30), *range(48, 53)],
            "layer 2": [*range(30, 45), *range(53, 56)],
            "layer 3": [*range(45, 48), 56],
        },
        # rotations [2, 3, 4], couplings [2, 4]
        "ring": {"row 1": [*range(12), *range(24, 28)], "row 2": [*range(12, 24), *range(28, 32)]},
        "bend": {"kernel": list(range(60)), "out": [60, 61, 62]},
    }[name]
    assert found.about["layers"] == list(layers)
    np.testing.assert_allclose(found.arrays["layer_trace_a"], [a[rows].sum() for rows in layers.values()], atol=1e-9)
    np.testing.assert_allclose(found.arrays["layer_trace_b"], [b[rows].sum() for rows in layers.values()], atol=1e-9)
    assert found.arrays["layer_trace_a"].sum() == pytest.approx(found.scalars["hessian_trace_a"], abs=1e-10)


@pytest.mark.parametrize("estimator", ["hutchinson", "hutch++"])
def test_above_the_limit_the_trace_is_estimated_with_an_error(toys, bend, estimator):
    landscape, logits = bend
    a, b = toys.dense_terms(logits, landscape.theta, landscape.y)
    found = HessianProbe(full_below=0, exact_below=62, estimator=estimator, matvecs=50).measure(landscape)
    scalars, error = found.scalars, found.scalars["hessian_trace_error"]
    assert error > 0.0
    assert abs(scalars["hessian_trace"] - float((a + b).trace())) < 3.0 * error
    assert scalars["hessian_trace_a"] == pytest.approx(float(a.trace()), abs=1e-10)  # this term is exact anyway
    assert scalars["hessian_trace_b"] == pytest.approx(scalars["hessian_trace"] - scalars["hessian_trace_a"])
    assert estimator in found.about["trace"]
    assert "layer_trace_b" not in found.arrays
    assert HessianProbe(full_below=0, exact_below=63).measure(landscape).scalars["hessian_trace_error"] == 0.0


def test_a_relu_network_is_exact_above_any_limit(toys, mlp):
    landscape, logits = mlp
    a, _ = toys.dense_terms(logits, landscape.theta, landscape.y)
    found = HessianProbe(full_below=0, exact_below=0).measure(landscape)
    assert found.scalars["hessian_trace_error"] == 0.0
    assert found.scalars["hessian_trace_b"] == 0.0
    assert found.scalars["hessian_trace"] == pytest.approx(float(a.trace()), abs=1e-10)
    assert "exact" in found.about["trace"]


def test_estimates_of_a_model_smaller_than_the_number_of_products(toys):
    """Twenty parameters and 300 products: there are fewer vectors than products."""
    split = toys.real_split(8, 6)
    landscape = Landscape(toys.build(toys.Bend(), split), split)
    exact = torch.autograd.functional.hessian(landscape.loss, landscape.theta).trace()
    for estimator in ("hutchinson", "hutch++"):
        scalars = (
            HessianProbe(full_below=0, exact_below=0, estimator=estimator, eigenvalues=0).measure(landscape).scalars
        )
        assert abs(scalars["hessian_trace"] - float(exact)) <= 3.0 * scalars["hessian_trace_error"] + 1e-9


@pytest.mark.parametrize("bias", [0.0, 1.3])
@pytest.mark.parametrize("full_below", [2_000, 0], ids=["whole matrix", "by products"])
def test_a_dead_relu_network_has_the_trace_of_its_output_bias(toys, bias, full_below):
    split = toys.real_split(12, 10)
    landscape = Landscape(toys.dead_mlp(split, bias), split)
    found = HessianProbe(full_below=full_below).measure(landscape)
    p = 1.0 / (1.0 + np.exp(-bias))
    assert found.scalars["hessian_trace"] == pytest.approx(p * (1.0 - p), abs=1e-15)
    assert found.scalars["hessian_trace_b"] == 0.0
    assert found.scalars["hessian_eigenvalue_max"] == pytest.approx(p * (1.0 - p), abs=1e-12)
    assert found.scalars["hessian_eigenvalue_min"] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.arrays["layer_trace_a"], [0.0, 0.0, p * (1.0 - p)], atol=1e-15)


@pytest.mark.parametrize("full_below", [2_000, 0], ids=["whole matrix", "by products"])
def test_a_flat_landscape(toys, full_below):
    """Features that are all zero and no bias: the loss is log 2 everywhere."""
    split = toys.real_split(6, 5)
    split.x.zero_()
    landscape = Landscape(toys.build(toys.Homogeneous(), split), split)
    scalars = HessianProbe(full_below=full_below, eigenvalues=1).measure(landscape).scalars
    assert scalars["landscape_loss"] == pytest.approx(np.log(2.0))
    for name in SCALARS - {"landscape_loss"}:
        assert scalars[name] == 0.0


@pytest.mark.parametrize("full_below", [2_000, 0], ids=["whole matrix", "by products"])
def test_a_diverged_model_gives_nan_and_no_traceback(toys, full_below):
    split = toys.real_split(12, 10)
    model = toys.build(MLP(hidden=(4, 3), dtype="float64"), split)
    with torch.no_grad():
        model.kernels[0][0, 0] = float("nan")
    scalars = HessianProbe(full_below=full_below).measure(Landscape(model, split)).scalars
    for name in ("hessian_trace", "hessian_trace_a", "landscape_loss", "gradient_norm", "hessian_eigenvalue_max"):
        assert np.isnan(scalars[name])


def test_the_density_is_added_on_demand(bend):
    probe = HessianProbe(full_below=0, density=True)
    found = probe.measure(bend[0]).arrays
    assert np.trapezoid(found["density"], found["density_grid"]) == pytest.approx(1.0, abs=0.02)
    assert "density" not in HessianProbe(full_below=0).measure(bend[0]).arrays


def test_the_loss_is_that_of_the_samples_as_a_whole(toys):
    """Not a mean over batches: the trace on a set is the mean of those of its rows."""
    split = toys.real_split(7, 4)
    model = toys.build(toys.Linear(), split)
    whole = HessianProbe().measure(Landscape(model, split)).scalars["hessian_trace"]
    rows = []
    for row in range(7):
        one = type(split)(split.x[row : row + 1], split.y[row : row + 1])
        rows.append(HessianProbe().measure(Landscape(model, one)).scalars["hessian_trace"])
    assert whole == pytest.approx(np.mean(rows), abs=1e-12)


def test_at_another_point_and_on_other_samples(toys):
    split, validation = toys.real_split(9, 4), toys.real_split(6, 4, seed=2)
    first, second = (toys.build(toys.Bend(), split, seed=seed) for seed in (0, 1))
    landscape = Landscape(first, split, validation, points={"oracle": second}, seed=3)
    found = HessianProbe(at="oracle", samples="validation", n_samples=6).measure(landscape)
    expected = HessianProbe().measure(Landscape(second, validation))
    assert dict(found.scalars) == pytest.approx(dict(expected.scalars), abs=1e-12)
    assert HessianProbe(at="oracle").needed_points == ("oracle",)
    assert HessianProbe().needed_points == ()


def test_results_say_where_they_are_from(mlp):
    probe = HessianProbe(n_samples=10)
    found = probe.measure(mlp[0])
    assert found.probe == "HessianProbe"
    assert found.config == probe.config()
    assert found.about["samples"] == "train"
    assert found.about["rows"] == 10
    assert found.about["seed"] == 0
    assert found.about["parameters"] == 57
    assert found.about["centre"] == "trained"
    assert found.about["model"]["type"] == "MLP"
    assert found.about["model"]["hidden"] == [5, 3]
    json.dumps([dict(found.about), dict(found.config), dict(found.scalars)])


def test_the_method_of_the_landscape_is_the_probe(mlp):
    assert mlp[0].measure(HessianProbe(n_samples=5)).scalars == HessianProbe(n_samples=5).measure(mlp[0]).scalars


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"estimator": "hutch"}, 'estimator: got "hutch", accepts one of "hutchinson", "hutch\\+\\+"'),
        ({"matvecs": 0}, "matvecs: got 0"),
        ({"exact_below": -1}, "exact_below: got -1"),
        ({"n_samples": -1}, "n_samples: got -1"),
        ({"samples": "test"}, 'samples: got "test", accepts one of "train", "retain"'),
        ({"eigenvalue": 3}, 'unknown field "eigenvalue"|unexpected keyword argument .eigenvalue.'),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises((ConfigError, TypeError), match=message):
        HessianProbe(**fields)
