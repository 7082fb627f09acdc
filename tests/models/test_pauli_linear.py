"""The linear model on Pauli expectation values: its bound, that it stays within it, and the circuits it can be."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab import XXZ, FeatureRandomization, Features, LabelFlip, Member, PauliLinear, PennyLaneQNN, RandomQNN, Trainer
from qlab.errors import ConfigError, DataError
from qlab.landscape import HessianProbe, Landscape
from qlab.models.spectral_norm import project_to_norm
from qlab.noise import AmplitudeDamping, DepolarizingChannel, ReadoutError
from qlab.training import ensemble
from qlab.training.data import prepare
from qlab.unlearning import GradientAscent, Retrain, Scrub
from qlab.unlearning.engine import unlearn
from qlab.unlearning.oracle import relearn_steps

PAULIS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])]

TASK = XXZ(length=6, gapless=(-0.7, 0.7, 0.1), gapped=(1.3, 2.7, 0.1), validation=(-0.65, 2.65, 0.3))
DATA = TASK.load()
FEATURES = Features.of(DATA)


@functools.cache
def strings(k):
    return [functools.reduce(np.kron, parts) for parts in itertools.product(PAULIS, repeat=k)]


def operator(coefficients):
    """sum_P c_P P, added up."""
    k = (len(coefficients).bit_length() - 1) // 2
    return sum(float(c) * string for c, string in zip(coefficients, strings(k), strict=True))


def norm(coefficients):
    return np.linalg.norm(operator(coefficients), 2)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def members(ratio=0.3, seeds=(0, 1, 2), corruption=LabelFlip):
    return [Member.of(TASK, DATA, corruption(ratio=ratio), seed) for seed in seeds]


@given(st.integers(1, 4), st.integers(0, 10**6), st.floats(-3, 1.5))
@settings(max_examples=30, deadline=None)
def test_the_projection_is_that_of_clipped_eigenvalues(k, seed, magnitude):
    c = 10.0**magnitude * drawn(3, 4**k, seed=seed)
    found = project_to_norm(c)
    for before, after in zip(c, found, strict=True):
        values, vectors = scipy.linalg.eigh(operator(before))
        expected = (vectors * np.clip(values, -1.0, 1.0)) @ vectors.conj().T
        coefficients = [np.trace(expected @ string).real / 2**k for string in strings(k)]
        np.testing.assert_allclose(after.numpy(), coefficients, atol=1e-10 / 2**k)
        assert np.abs(operator(after) - expected).max() < 1e-10
        assert norm(after) <= 1.0 + 1e-10


def test_nothing_within_the_bound_is_nearer():
    """Of a projection onto a convex set: (c - p) . (q - p) <= 0 for every q in the set."""
    c = drawn(1, 64, seed=1)
    p = project_to_norm(c)
    inside = drawn(200, 64, seed=2)
    inside /= torch.tensor([norm(row) for row in inside])[:, None]
    assert bool(((c - p) * (inside - p)).sum(1).max() <= 1e-12)


def test_what_is_within_the_bound_or_not_finite_stays_as_it_is():
    c = drawn(4, 16)
    c[0] /= norm(c[0])
    c[0] *= 0.999
    c[1, 3] = torch.nan
    c[2, 0] = torch.inf
    found = project_to_norm(c)
    assert torch.equal(found[0], c[0])
    assert torch.equal(found[1].isnan(), c[1].isnan())
    assert torch.equal(found[2], c[2])
    assert norm(found[3]) == pytest.approx(1.0, abs=1e-12)
    single = project_to_norm(c[3:].float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found[3:], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 3},
        {"depth": 4, "dtype": "float32"},
        {"depth": 2, "entangler": "ring", "scale": 2.0},
        {"depth": 2, "readout": "affine"},
        {"depth": 2, "observable": "ZZ_last"},
    ],
)
def test_with_the_coefficients_of_a_circuit_it_is_the_circuit(fields):
    circuit = PennyLaneQNN(**fields, initial_scale=1.0).build(FEATURES)
    circuit.reset_parameters(torch.Generator().manual_seed(3))
    if fields.get("readout") == "affine":
        with torch.no_grad():
            circuit.readout_scale.fill_(-1.5)
            circuit.readout_offset.fill_(0.25)
    made = PauliLinear.of(circuit)
    x = 1.2 * DATA.train.x  # of any norm
    with torch.no_grad():
        found, expected = made(made.prepare(x)), circuit(circuit.prepare(x))
    torch.testing.assert_close(found, expected, atol=1e-12 if circuit.dtype == torch.float64 else 1e-5, rtol=0)
    assert norm(made.coefficients.detach()) == pytest.approx(1.0, abs=1e-6)
    again = project_to_norm(made.coefficients.detach()[None])[0]
    torch.testing.assert_close(again, made.coefficients.detach(), atol=1e-6, rtol=0)


def test_coefficients_set_by_hand_are_those_of_the_evolved_observable():
    circuit = PennyLaneQNN(depth=4).build(FEATURES)
    circuit.reset_parameters(torch.Generator().manual_seed(0))
    model = PauliLinear(sites=4, bound="operator").build(FEATURES)
    with torch.no_grad():
        model.coefficients.copy_(circuit.engine.observable(circuit.flat_weights()))
        found, expected = (each(each.prepare(DATA.train.x)) for each in (model, circuit))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("fields", [{"depth": 1, "observable": "mean_Z"}, {"depth": 2, "device": "default.qubit"}])
def test_circuits_that_are_evaluated_in_another_way_are_refused(fields):
    with pytest.raises(ConfigError, match=r"PauliLinear.of: got PennyLaneQNN, evaluated as: .*; accepts"):
        PauliLinear.of(PennyLaneQNN(**fields).build(FEATURES))
    with pytest.raises(ConfigError, match="got RandomQNN"):
        PauliLinear.of(RandomQNN(depth=2).build(FEATURES))
    with pytest.raises(DataError, match="no weights yet"):
        PauliLinear.of(PennyLaneQNN())


def test_it_is_a_logistic_regression():
    """The gradient of a step is that of the textbook: scale mean (p - y) tr(rho P)."""
    model = PauliLinear(sites=2, scale=3.0, offset=0.5).build(FEATURES)
    model.reset_parameters(torch.Generator().manual_seed(0))
    prepared, y = model.prepare(DATA.train.x), DATA.train.y.double()
    z = model(prepared)
    torch.testing.assert_close(z, 3.0 * (prepared * model.coefficients).sum(1) + 0.5)
    torch.nn.functional.binary_cross_entropy_with_logits(z, y).backward()
    expected = 3.0 * ((torch.sigmoid(z) - y)[:, None] * prepared).mean(0)
    torch.testing.assert_close(model.coefficients.grad, expected.detach())


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "SGD"])
def test_training_stays_within_the_bound_and_members_are_those_that_train_alone(optimizer):
    trainer = Trainer(epochs=5, batch_size=16, learning_rate=0.3, optimizer=optimizer, weight_decay=0.01)
    model = PauliLinear(sites=3, bound="operator").build(FEATURES)
    together = trainer.fit(model, members(), DATA.validation, snapshots=range(6))
    alone = trainer.fit(model, members(seeds=(1,)), DATA.validation)
    torch.testing.assert_close(together.parameters["coefficients"][1], alone.parameters["coefficients"][0])
    norms = [norm(c) for path in together.trajectory["coefficients"] for c in path]
    assert 1.0 - 1e-12 <= max(norms) <= 1.0 + 1e-12
    free = trainer.fit(PauliLinear(sites=3).build(FEATURES), members(), DATA.validation)
    assert max(norm(c) for c in free.parameters["coefficients"]) > 1.1


def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been():
    from qlab.training.state import Checkpoints

    trainer = Trainer(epochs=6, batch_size=16, learning_rate=0.3)
    model, states = PauliLinear(sites=3, bound="operator").build(FEATURES), []
    whole = trainer.fit(model, members(), DATA.validation, checkpoint=Checkpoints(states.append, 0.0))
    later = trainer.fit(model, members(), DATA.validation, resume=states[2])
    assert torch.equal(whole.parameters["coefficients"], later.parameters["coefficients"])


def test_a_diverged_member_leaves_the_others_alone():
    trainer = Trainer(epochs=2, batch_size=16, learning_rate=0.3)
    model = PauliLinear(sites=2, bound="operator").build(FEATURES)
    start = {"coefficients": 10.0 * drawn(3, 16)}
    start["coefficients"][1] = torch.nan
    ensemble.project(model, start)
    assert bool(start["coefficients"][1].isnan().all())
    assert norm(start["coefficients"][2]) == pytest.approx(1.0)
    assert trainer.fit(model, members(), DATA.validation).health == ("healthy",) * 3


@pytest.mark.parametrize("method", [Retrain(steps=3), GradientAscent(steps=3), Scrub(steps=3)])
def test_unlearning_stays_within_the_bound(method):
    method = dataclasses.replace(method, learning_rate=0.3)
    model = PauliLinear(sites=2, bound="operator").build(FEATURES)
    teachers = Trainer(epochs=3, learning_rate=0.3).fit(model, members(), DATA.validation).parameters
    data = prepare(model, members(), DATA.validation, torch.device("cpu"))
    found = unlearn(method, model, teachers, data, (0, 1, 2)).parameters["coefficients"]
    assert max(norm(c) for c in found) <= 1.0 + 1e-12
    assert not torch.equal(found, teachers["coefficients"])
    x, y = data.train_x[None, :4].expand(3, -1, -1), data.train_y[:, :4]
    assert len(relearn_steps(model, {"coefficients": found}, x, y, 0.3)) == 3


def test_its_curvature_is_exact_without_second_derivatives():
    member = members(seeds=(0,))[0]
    model = PauliLinear(sites=2, scale=2.0).build(FEATURES)
    model.reset_parameters(torch.Generator().manual_seed(0))
    landscape = Landscape(model, member.corrupted, DATA.validation, seed=0)
    result = HessianProbe().measure(landscape)
    prepared = model.prepare(member.corrupted.split.x)
    p = torch.sigmoid(model(prepared)).detach()
    expected = float((p * (1 - p) * 4.0 * prepared.square().sum(1)).mean())
    assert result.scalars["hessian_trace"] == pytest.approx(expected, rel=1e-10)
    layers = model.parameter_layers()
    assert {name: len(places) for name, places in layers.items()} == {"identity": 1, "1 site": 6, "2 sites": 9}


def test_features_that_are_replaced_are_seen():
    trained = Trainer(epochs=2).train(PauliLinear(sites="pairs"), TASK, FeatureRandomization(ratio=0.5), seeds=(0, 1))
    assert trained.parameters["coefficients"].shape == (2, 1 + 3 * 6 + 9 * 15)
    model = trained.model_of(0)
    corrupted = Member.of(TASK, DATA, FeatureRandomization(ratio=0.5), 0).corrupted
    with torch.no_grad():
        z = model(model.prepare(corrupted.split.x.clone()))
    torch.testing.assert_close(z, trained.logits[0, : len(z)], atol=1e-12, rtol=0)


@pytest.mark.parametrize("channel", [DepolarizingChannel(p=0.05), AmplitudeDamping(gamma=0.1), ReadoutError(p=0.1)])
def test_of_a_noisy_circuit_it_is_the_contracted_observable(channel):
    circuit = PennyLaneQNN(depth=3, initial_scale=1.0, noise=(channel,)).build(FEATURES)
    circuit.reset_parameters(torch.Generator().manual_seed(0))
    made = PauliLinear.of(circuit)
    with torch.no_grad():
        found, expected = (each(each.prepare(DATA.train.x)) for each in (made, circuit))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    assert norm(made.coefficients.detach()) < 0.999


def test_the_norm_of_the_operator_is_logged():
    model = PauliLinear(sites=2).build(Features(16, True, torch.ones(16, dtype=torch.bool)))
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(3, 16, generator=generator, dtype=torch.float64)
    drawn[2, 0] = torch.nan
    found = model.parameter_metrics({"coefficients": drawn})["operator_norm"]
    paulis = [np.eye(2), [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]
    strings = [np.kron(first, second) for first in paulis for second in paulis]
    for row in range(2):
        operator = sum(c * string for c, string in zip(drawn[row].tolist(), strings, strict=True))
        assert found[row].item() == pytest.approx(np.linalg.norm(operator, 2), abs=1e-12)
    assert found[2].isnan()
    pairs = PauliLinear(sites="pairs").build(model.features)
    assert pairs.parameter_metrics({"coefficients": pairs.coefficients.detach()[None]}) == {}
