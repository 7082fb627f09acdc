"""XXZ ground states as real vectors: real parts, then imaginary parts."""

from __future__ import annotations

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab import seeding
from qlab.corruptions import BoundaryFlip, FeatureRandomization
from qlab.errors import ConfigError
from qlab.fields import identity_of
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.models.rows import prepare_features
from qlab.registry import make
from qlab.tasks import XXZ
from qlab.tasks.features import LazyFeatures, dense_rows
from qlab.training import Member
from qlab.views.data_map import amplitudes, project_features

GRIDS = {"gapless": (-0.9, 0.9, 0.3), "gapped": (1.2, 3.0, 0.3), "validation": (-0.85, 2.75, 0.3)}


def task(layout="real-imaginary", length=6, **fields):
    return XXZ(length=length, layout=layout, **GRIDS, **fields)


@pytest.fixture(params=["held", "made when needed"])
def storage(request, monkeypatch):
    """Short chains as they are, and as chains from 16 spins on."""
    if request.param != "held":
        monkeypatch.setattr("qlab.tasks.xxz.MOST_SPINS_HELD", 4)
    return request.param


@pytest.mark.parametrize("gauge", ["fixed", "random-sign", "random-phase"])
def test_features_are_real_parts_then_imaginary_parts(storage, gauge):
    real, whole = task(gauge=gauge).load(), task("complex", gauge=gauge).load()
    for name, split in real.splits.items():
        x, other = dense_rows(split.x), dense_rows(whole.splits[name].x)
        assert isinstance(split.x, LazyFeatures) is (storage != "held")
        assert (x.dtype, x.shape) == (torch.float64, (len(split), 2**7))
        torch.testing.assert_close(x[:, : 2**6], other.real, atol=1e-15, rtol=0)
        torch.testing.assert_close(x[:, 2**6 :], other.imag, atol=1e-15, rtol=0)
        assert torch.equal(split.y, whole.splits[name].y)
        assert torch.equal(split.about["delta"], whole.splits[name].about["delta"])


def test_columns_that_are_never_used_are_known_without_making_rows(storage):
    for gauge in ("fixed", "random-phase"):
        found = Features.of(task(gauge=gauge).load())
        whole = Features.of(task("complex", gauge=gauge).load()).active
        expected = torch.cat([whole, whole if gauge == "random-phase" else torch.zeros_like(whole)])
        assert torch.equal(found.active, expected)
        assert not found.is_complex


def test_random_features_are_those_of_the_complex_layout():
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    real, whole = (
        task(layout).random_features(3, g) for layout, g in zip(("real-imaginary", "complex"), generators, strict=True)
    )
    assert torch.equal(real, torch.cat([whole.real, whole.imag], dim=1))
    torch.testing.assert_close(real.norm(dim=1), torch.ones(3, dtype=torch.float64))


def test_random_rows_take_the_place_of_some(storage):
    for layout in ("real-imaginary", "complex"):
        made = task(layout)
        found = Member.of(made, made.load(), FeatureRandomization(ratio=0.5), 3).corrupted
        x = dense_rows(found.split.x)
        if layout == "real-imaginary":
            first = x
        else:
            torch.testing.assert_close(first, torch.cat([x.real, x.imag], dim=1), atol=1e-15, rtol=0)


def test_an_mlp_gets_the_same_inputs():
    prepared = []
    for layout in ("real-imaginary", "complex"):
        data = task(layout).load()
        model = MLP(hidden=(3,), dtype="float64").build(Features.of(data))
        model.reset_parameters(torch.Generator().manual_seed(0))
        with torch.no_grad():
            prepared.append((model.prepare(data.train.x), model(model.prepare(data.train.x))))
    torch.testing.assert_close(prepared[0], prepared[1], atol=1e-12, rtol=0)


def test_a_circuit_has_one_more_qubit_that_holds_the_phase():
    data = task(length=4).load()
    model = PennyLaneQNN(depth=2, entangler="ring").build(Features.of(data))
    model.reset_parameters(torch.Generator().manual_seed(0))
    assert model.n_wires == 5
    whole = task("complex", length=4).load().train.x

    @qml.qnode(qml.device("default.qubit", wires=5), interface="torch")
    def circuit(re, im):
        qml.StatePrep(np.kron([1, 0], re) + np.kron([0, 1], im), wires=range(5))
        model.ansatz(**dict(model.named_parameters()))
        return qml.expval(qml.Z(4))

    expected = torch.stack([model.scale * circuit(row.real.numpy(), row.imag.numpy()) for row in whole])
    with torch.no_grad():
        torch.testing.assert_close(model(model.prepare(data.train.x)), expected.detach(), atol=1e-10, rtol=0)


def logits(model, data):
    with torch.no_grad():
        return model(prepare_features(model, data.train.x))


def built(data, **fields):
    model = PennyLaneQNN(initial_scale=1.0, **fields).build(Features.of(data))
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model


def test_the_gauge_is_seen_on_a_ring_and_not_on_a_short_chain(storage):
    """On a chain of depth 2, Z on the last wire does not reach wire 0, where the phase is."""
    one, other = (task(gauge_seed=seed).load() for seed in (0, 1))
    for fields, same in (({"depth": 2}, True), ({"depth": 2, "entangler": "ring"}, False)):
        model = built(one, **fields)
        assert torch.allclose(logits(model, one), logits(model, other), atol=1e-10, rtol=0) is same
    plain = [task("complex", gauge_seed=seed).load() for seed in (0, 1)]
    model = built(plain[0], depth=2, entangler="ring")
    torch.testing.assert_close(logits(model, plain[0]), logits(model, plain[1]), atol=1e-10, rtol=0)


def test_site_i_is_wire_i_plus_one():
    real, whole = task().load(), task("complex").load()
    wide, narrow = built(real, depth=2), built(whole, depth=2)
    with torch.no_grad():
        narrow.rotations.copy_(wide.rotations[:, :, 1:])
        narrow.couplings.copy_(wide.couplings[:, 1:])
    torch.testing.assert_close(logits(wide, real), logits(narrow, whole), atol=1e-10, rtol=0)


def test_distance_from_the_boundary_is_the_same():
    masks = []
    for layout in ("real-imaginary", "complex"):
        made = task(layout)
        split = made.load().train
        torch.testing.assert_close(made.boundary_distance(split), (split.about["delta"] - 1.0).abs())
        found = BoundaryFlip(ratio=0.3).apply(split, made, seeding.generator(0, "corruption"))
        masks.append(found.mask)
    assert torch.equal(*masks)


def test_it_is_drawn_as_other_real_features_are(storage):
    data = task().load()
    places = project_features(data.train.x)
    assert places.shape == (len(data.train), 2)
    other = project_features(task("complex").load().train.x)
    np.testing.assert_allclose(np.abs(places), np.abs(other), atol=1e-8)
    assert len(amplitudes(dense_rows(data.train.x[:1])[0].numpy(), "row 0")) == 2**7


def test_trials_without_the_field_are_those_of_the_complex_layout():
    assert "layout" not in identity_of(XXZ, XXZ().config())
    assert identity_of(XXZ, task().config())["layout"] == "real-imaginary"
    with pytest.raises(ConfigError, match='layout: got "real", accepts one of "complex", "real-imaginary"'):
        make("task", {"type": "XXZ", "layout": "real"})


@pytest.mark.parametrize("layout", ["complex", "real-imaginary"])
@pytest.mark.parametrize("length", [4, 16])
def test_features_are_those_that_were_expected(length, layout):
    task = XXZ(
        length=length, gapless=(0.0, 0.1, 0.1), gapped=(2.0, 2.1, 0.1), validation=(0.5, 2.0, 1.5), layout=layout
    )
    x = task.load().train.x
    assert task.expected_features == (x.shape[1], x.is_complex())
