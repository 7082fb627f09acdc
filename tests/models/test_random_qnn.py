"""The random circuit with a trained readout, against PennyLane and against logistic regression on its features."""

from __future__ import annotations

import copy
import math
import pickle

import pennylane as qml
import pytest
import torch
from torch.func import functional_call, vmap

from qlab import seeding
from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import DataError
from qlab.landscape import HessianProbe, Landscape
from qlab.models import Features, RandomQNN, checkpoint
from qlab.models.known_values import KnownValues
from qlab.models.rows import prepare_features
from qlab.tasks import XXZ, Split
from qlab.training import Member, Trainer, ensemble
from qlab.training.data import prepare
from qlab.unlearning import Finetune, Retrain
from qlab.unlearning.engine import unlearn


def features(n_wires):
    return Features(2**n_wires, True, torch.ones(2**n_wires, dtype=torch.bool))


def states(n, n_wires, seed=0):
    x = torch.randn(n, 2**n_wires, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def build(n_wires, seed=1, **fields):
    model = RandomQNN(**fields).build(features(n_wires))
    model.reset_parameters(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.readout_weights.copy_(torch.linspace(-2.0, 3.0, n_wires, dtype=torch.float64))
        model.readout_offset.fill_(0.3)
    return model


def by_pennylane(model, x):
    """<Z> of every wire of the circuit written out, ``[N, n]``."""
    n = model.n_wires
    pairs = {"chain": n - 1, "ring": n, "none": 0}[model.entangler]

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch")
    def circuit(state):
        qml.StatePrep(state, wires=range(n))
        for row in range(model.depth):
            for wire in range(n):
                qml.RX(model.rotations[row, 0, wire], wires=wire)
                qml.RY(model.rotations[row, 1, wire], wires=wire)
                qml.RX(model.rotations[row, 2, wire], wires=wire)
            for wire in range(pairs):
                qml.IsingZZ(model.couplings[row, wire], wires=[wire, (wire + 1) % n])
        return [qml.expval(qml.Z(wire)) for wire in range(n)]

    return torch.stack([torch.stack(circuit(row)) for row in x]).detach()


@pytest.mark.parametrize(
    ("n_wires", "depth", "entangler", "by_cones"),
    [(4, 1, "chain", True), (6, 2, "chain", False), (7, 2, "ring", False), (4, 3, "none", True), (9, 2, "ring", True)],
)
def test_logits_are_a_linear_readout_of_z_of_every_qubit(n_wires, depth, entangler, by_cones):
    model, x = build(n_wires, depth=depth, entangler=entangler), states(4, n_wires)
    assert model.readouts.by_cones is by_cones
    expected = by_pennylane(model, x) @ model.readout_weights.detach() + 0.3
    with torch.no_grad():
        torch.testing.assert_close(model(model.prepare(x)), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("reupload", "n"), [(0, 5), (2, 4)])
def test_angles_as_features(reupload, n):
    model = RandomQNN(depth=2, encoding="angle", encoding_scale=0.7, reupload=reupload).build(
        Features(n, False, torch.ones(n, dtype=torch.bool))
    )
    model.reset_parameters(torch.Generator().manual_seed(2))
    x = torch.rand(3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch")
    def circuit(row):
        for layer in range(2):
            if layer == 0 or reupload:
                for wire in range(n):
                    qml.RY(0.7 * row[wire], wires=wire)
            for wire in range(n):
                qml.RX(model.rotations[layer, 0, wire], wires=wire)
                qml.RY(model.rotations[layer, 1, wire], wires=wire)
                qml.RX(model.rotations[layer, 2, wire], wires=wire)
            for wire in range(n - 1):
                qml.IsingZZ(model.couplings[layer, wire], wires=[wire, wire + 1])
        return [qml.expval(qml.Z(wire)) for wire in range(n)]

    values = torch.stack([torch.stack(circuit(row)) for row in x]).detach()
    with torch.no_grad():
        expected = values @ model.readout_weights + model.readout_offset
        torch.testing.assert_close(model(model.prepare(x)), expected, atol=1e-10, rtol=0)


def test_only_the_readout_is_trained():
    model = build(4, depth=2)
    assert {name for name, own in model.named_parameters() if own.requires_grad} == {
        "readout_weights",
        "readout_offset",
    }
    assert model.n_parameters() == 5
    model(model.prepare(states(3, 4))).sum().backward()
    assert model.rotations.grad is None
    assert model.readout_weights.grad is not None


def test_angles_are_uniform_on_the_circle_and_those_of_the_seed():
    model = RandomQNN(depth=30).build(features(6))
    drawn = ensemble.initial_parameters(model, [0, 1, 0])
    angles = torch.cat([drawn["rotations"][0].flatten(), drawn["couplings"][0].flatten()])
    assert torch.equal(drawn["rotations"][0], drawn["rotations"][2])
    assert not torch.equal(drawn["rotations"][0], drawn["rotations"][1])
    assert float(angles.abs().max()) <= math.pi
    assert abs(float(angles.mean())) < 0.3
    assert float(angles.std()) == pytest.approx(2 * math.pi / math.sqrt(12), rel=0.1)
    assert bool((drawn["readout_offset"] == 0).all())


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.25), FeatureRandomization(ratio=0.25)])
def test_training_is_logistic_regression_on_the_features_and_the_same_in_any_ensemble(
    small_task, small_data, corruption
):
    settings = Trainer(epochs=3, batch_size=8, learning_rate=0.05)
    together = settings.train(RandomQNN(depth=2), small_task, corruption, seeds=(0, 3))
    alone = settings.train(RandomQNN(depth=2), small_task, corruption, seeds=(3,))
    for name, values in alone.parameters.items():
        torch.testing.assert_close(values[0], together.parameters[name][1], atol=1e-10, rtol=0)
    model = RandomQNN(depth=2).build(Features.of(small_data))
    model.reset_parameters(seeding.generator(3, "initialization"))
    assert torch.equal(alone.parameters["rotations"][0], model.rotations)
    split = Member.of(small_task, small_data, corruption, 3).corrupted.split
    table = by_pennylane(model, split.x / torch.linalg.vector_norm(split.x, dim=1, keepdim=True))
    weights = [model.readout_weights.detach().clone(), model.readout_offset.detach().clone()]
    optimizer = torch.optim.Adam([part.requires_grad_() for part in weights], lr=0.05)
    orders = seeding.generator(3, "batches")
    for _ in range(3):
        for rows in torch.randperm(16, generator=orders).split(8):
            optimizer.zero_grad()
            z = table[rows] @ weights[0] + weights[1]
            torch.nn.functional.binary_cross_entropy_with_logits(z, split.y[rows].double()).backward()
            optimizer.step()
    torch.testing.assert_close(alone.parameters["readout_weights"][0], weights[0].detach(), atol=1e-8, rtol=0)
    torch.testing.assert_close(alone.parameters["readout_offset"][0], weights[1].detach(), atol=1e-8, rtol=0)


def test_members_at_once_equal_each_by_itself():
    model = RandomQNN(depth=2).build(features(5))
    parameters = ensemble.initial_parameters(model, [4, 5, 6])
    prepared = model.prepare(states(7, 5))
    each = torch.stack([functional_call(model, ensemble.member(parameters, k), (prepared,)) for k in range(3)])
    torch.testing.assert_close(model.logits_of_members(parameters, prepared, shared=True), each, atol=1e-12, rtol=0)
    mapped = vmap(lambda member: functional_call(model, member, (prepared,)))(parameters)
    torch.testing.assert_close(mapped, each, atol=1e-12, rtol=0)
    rows = torch.tensor([[0, 6], [1, 1], [5, 2]])
    chosen = model.logits_of_members(parameters, prepared, shared=True, rows=rows)
    torch.testing.assert_close(chosen, each.gather(1, rows), atol=1e-12, rtol=0)


def test_unlearning_keeps_the_circuit_also_when_it_starts_afresh(small_task, small_data):
    settings = Trainer(epochs=2, batch_size=8)
    trained = settings.train(RandomQNN(depth=2), small_task, LabelFlip(ratio=0.25), seeds=(0, 1))
    members = [Member.of(small_task, small_data, LabelFlip(ratio=0.25), seed) for seed in (0, 1)]
    data = prepare(trained.model, members, small_data.validation, torch.device("cpu"))
    for unlearner in (Finetune(steps=2), Retrain(steps=2)):
        found = unlearn(unlearner, trained.model, trained.parameters, data, [0, 1])
        for name in ("rotations", "couplings"):
            assert torch.equal(found.parameters[name], trained.parameters[name])
        assert not torch.equal(found.parameters["readout_weights"], trained.parameters["readout_weights"])


def test_checkpoints_hold_the_circuit(tmp_path):
    model, x = build(4, depth=2, entangler="ring"), states(3, 4)
    checkpoint.save(tmp_path / "a.safetensors", model, model.state_dict(), "RandomQNN")
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert type(loaded) is RandomQNN
    assert not loaded.rotations.requires_grad
    with torch.no_grad():
        assert torch.equal(loaded(loaded.prepare(x)), model(model.prepare(x)))


def test_landscape_is_that_of_the_readout_and_convex():
    model = build(4, depth=2)
    data = Split(states(12, 4), torch.arange(12) % 2)
    landscape = Landscape(model, data)
    assert landscape.theta.shape == (5,)
    assert [place.tolist() for place in landscape.model.parameter_layers().values()] == [[0, 1, 2, 3], 4]
    found = landscape.measure(HessianProbe())
    table = torch.cat([by_pennylane(model, data.x), torch.ones(12, 1, dtype=torch.float64)], dim=1)
    p = torch.sigmoid(table @ torch.cat([model.readout_weights.detach(), model.readout_offset.detach()[None]]))
    expected = float((p * (1 - p) * table.square().sum(1)).mean())
    assert found.scalars["hessian_trace"] == pytest.approx(expected, rel=1e-10)
    assert found.scalars["hessian_trace_b"] == pytest.approx(0.0, abs=1e-12)


def test_a_point_with_another_circuit_is_in_no_landscape_of_this_one():
    data = Split(states(12, 4), torch.arange(12) % 2)
    with pytest.raises(DataError, match="its rotations, which is not trained, differs"):
        Landscape(build(4, seed=1), data, points={"other": build(4, seed=2)})


def test_values_are_computed_once_for_the_same_circuits_and_data():
    calls = []

    class Function(torch.nn.Module):
        def forward(self, flat, prepared):
            calls.append(len(prepared))
            return prepared @ flat[:, None]

    known = KnownValues(Function())
    flat, data = torch.randn(3, 2), torch.randn(5, 2)
    first = known.of(flat, data, shared=True)
    torch.testing.assert_close(first, (data @ flat.mT).mT[..., None])
    assert torch.equal(known.of(flat, data.clone(), shared=True), first)
    assert len(calls) == 3
    data[0] += 1.0  # changed in place
    assert not torch.equal(known.of(flat, data, shared=True), first)
    known.of(flat + 1.0, data, shared=True)
    assert len(calls) == 9
    assert torch.equal(copy.deepcopy(known).of(flat, data, shared=True), known.of(flat, data, shared=True))
    own = torch.stack([data, data + 1.0, data])
    torch.testing.assert_close(known.of(flat, own, shared=False)[1], (data + 1.0) @ flat[1][:, None])
    assert known.of(flat.to("meta"), own.to("meta"), shared=False).device.type == "meta"  # not those of another device


def test_models_can_be_sent_after_they_were_used():
    model, x = build(4, depth=2), states(3, 4)
    prepared = model.prepare(x)
    parameters = {name: value.detach()[None] for name, value in model.named_parameters()}
    found = model.logits_of_members(parameters, prepared, shared=True)
    sent = pickle.loads(pickle.dumps(model))
    assert torch.equal(sent.logits_of_members(parameters, prepared, shared=True), found)


def test_the_circuit_outside_of_qlab_measures_the_readout():
    model, x = build(3, depth=2), states(4, 3)
    values = torch.as_tensor(model.to_qnode()(x.numpy()))
    with torch.no_grad():
        torch.testing.assert_close(values + 0.3, model(model.prepare(x)), atol=1e-10, rtol=0)
    program = model.circuit().openqasm()
    assert "its logit is 1 * value + 0.3" in program
    assert program.count("measure") == 3


def test_fields_are_those_of_the_circuit_and_the_readout():
    assert set(RandomQNN().config()) == {
        *("depth", "entangler", "initial_scale", "dtype", "encoding", "rotation", "encoding_scale", "reupload")
    }
    assert RandomQNN().build(features(4)).double_copy().config() == RandomQNN().config()


def test_it_tells_the_phases_of_a_clean_chain_apart():
    task = XXZ(length=6, gapless=(-0.9, 0.9, 0.1), gapped=(1.2, 3.0, 0.1), validation=(-0.85, 2.85, 0.1))
    trained = Trainer(epochs=100, learning_rate=0.1).train(RandomQNN(depth=3), task, seeds=(0,))
    assert trained.history["validation_accuracy"][0, -1] > 0.8
    x = prepare_features(trained.model, task.load().validation.x)
    assert x.shape[0] == len(task.load().validation)
