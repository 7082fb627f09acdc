"""Angle encoding, re-uploading, observables and readouts against QNodes written out here."""

from __future__ import annotations

import itertools

import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call, vmap

from qlab.circuits import AngleStatevectorEngine, HeisenbergEngine
from qlab.errors import ConfigError, DataError
from qlab.models import CNOTQNN, Features, PennyLaneQNN


def features(n, is_complex=False):
    return Features(n, is_complex, torch.ones(n, dtype=torch.bool))


def rows_of(n, dimension, seed=0):
    return 4.0 * torch.rand(n, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 2.0


def build(dimension, cls=PennyLaneQNN, seed=1, **fields):
    model = cls(**{"encoding": "angle", **fields}).build(features(dimension))
    generator = torch.Generator().manual_seed(seed)
    model.reset_parameters(generator)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("readout"):
                parameter.copy_(6.0 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 3.0)
    return model


def blocks(depth, uploads):
    """Rows of each block, by the rule of the docstring."""
    size, longer = divmod(depth, max(1, uploads))
    return [size + (block < longer) for block in range(max(1, uploads))]


def observable_by_hand(name, n):
    if name == "mean_Z":
        return qml.sum(*(qml.s_prod(1 / n, qml.Z(wire)) for wire in range(n))) if n > 1 else qml.Z(0)
    return qml.Z(n - 2) @ qml.Z(n - 1) if name == "ZZ_last" else qml.Z(n - 1)


def by_hand(model, x):
    """<O> of the paper's circuit (or CNOTs), written out on default.qubit, row by row."""
    n, depth, fields = model.n_wires, model.depth, model.config()
    pairs = [(wire, (wire + 1) % n) for wire in range(n if fields["entangler"] == "ring" and n > 2 else n - 1)]
    rotate = {"RX": qml.RX, "RY": qml.RY}[fields["rotation"]]
    starts = [sum(blocks(depth, fields["reupload"])[:number]) for number in range(max(1, fields["reupload"]))]

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch", diff_method="backprop")
    def circuit(row):
        for layer in range(depth):
            if layer in starts:
                for wire in range(n):
                    rotate(fields["encoding_scale"] * row[wire], wires=wire)
            for wire in range(n):
                qml.RX(model.rotations[layer, 0, wire], wires=wire)
                qml.RY(model.rotations[layer, 1, wire], wires=wire)
                if not isinstance(model, CNOTQNN):
                    qml.RX(model.rotations[layer, 2, wire], wires=wire)
            for number, pair in enumerate(pairs):
                if isinstance(model, CNOTQNN):
                    qml.CNOT(wires=pair)
                else:
                    qml.IsingZZ(model.couplings[layer, number], wires=pair)
        return qml.expval(observable_by_hand(fields["observable"], n))

    return torch.stack([circuit(row) for row in x])


def gradients_of(logits, model):
    weights = [parameter for name, parameter in model.named_parameters() if not name.startswith("readout")]
    weighted = logits @ torch.arange(1.0, len(logits) + 1, dtype=torch.float64)
    found = torch.autograd.grad(weighted, weights, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]


@st.composite
def configurations(draw):
    n = draw(st.integers(1, 5))
    depth = draw(st.integers(1, 4))
    return n, {
        "cls": draw(st.sampled_from([PennyLaneQNN, CNOTQNN])),
        "depth": depth,
        "entangler": draw(st.sampled_from(["chain", "ring"])),
        "rotation": draw(st.sampled_from(["RX", "RY"])),
        "encoding_scale": draw(st.sampled_from([0.5, 1.0, 3.14])),
        "reupload": draw(st.integers(0, depth)),
        "observable": draw(st.sampled_from(["Z_last", "mean_Z", *(["ZZ_last"] if n > 1 else [])])),
        "scale": draw(st.sampled_from([1.0, 5.0])),
    }


@settings(deadline=None, max_examples=30)
@given(drawn=configurations(), seed=st.integers(0, 1000))
def test_values_and_gradients_are_those_of_the_circuit_written_out(drawn, seed):
    n, fields = drawn
    model, x = build(n, seed=seed, **fields), rows_of(3, n, seed)
    expected = model.scale * by_hand(model, x)
    found = model(model.prepare(x))
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    for one, other in zip(gradients_of(found, model), gradients_of(expected, model), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 2, "rotation": "RX"},
        {"depth": 3, "entangler": "ring", "observable": "mean_Z", "encoding_scale": 2.0},
        {"depth": 3, "reupload": 2, "observable": "ZZ_last"},
        {"depth": 2, "cls": CNOTQNN, "reupload": 2, "rotation": "RX", "observable": "mean_Z"},
    ],
)
def test_devices_agree_with_the_light_cone(device, fields):
    x = rows_of(3, 4)
    on_cone, on_device = build(4, **fields), build(4, **fields, device=device)
    expected, found = on_cone(on_cone.prepare(x)), on_device(on_device.prepare(x))
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    for one, other in zip(gradients_of(found, on_device), gradients_of(expected, on_cone), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("rotation", ["RX", "RY"])
@pytest.mark.parametrize("observable", ["Z_last", "mean_Z", "ZZ_last"])
def test_a_cone_too_wide_for_pauli_strings_is_a_statevector_of_its_qubits_alone(rotation, observable):
    model = build(9, depth=8, rotation=rotation, observable=observable)
    assert isinstance(model.engine, AngleStatevectorEngine)
    x = rows_of(2, 9)
    with torch.no_grad():
        torch.testing.assert_close(model(model.prepare(x)), model.scale * by_hand(model, x), atol=1e-10, rtol=0)
    assert "statevector of the light cone" in model.engine_name


@pytest.mark.parametrize("fields", [{}, {"entangler": "ring"}, {"observable": "ZZ_last"}])
def test_forty_qubits_cost_what_their_cone_costs(fields):
    """The cone of the last qubits is that of a register of them alone, with the same weights."""
    large, small = build(40, depth=3, **fields), build(7, depth=3, **fields)
    assert isinstance(large.engine, HeisenbergEngine)
    x = rows_of(4, 40)
    kept = [*range(3), *range(36, 40)]  # on a ring the first wires are neighbours of the last
    with torch.no_grad():
        for name, weight in small.named_parameters():
            wide = large.get_parameter(name)
            weight.copy_(wide[..., [wire for wire in kept if wire < wide.shape[-1]]][..., : weight.shape[-1]])
        near = small(small.prepare(x[:, kept]))
        torch.testing.assert_close(large(large.prepare(x)), near, atol=1e-10, rtol=0)


def test_what_the_readout_does_not_see_is_said_and_does_not_matter():
    model = build(12, depth=3)
    assert model.engine_name.endswith("; sees 3 of 12 features")
    assert model.remarks() == ["sees 3 of 12 features"]
    x = rows_of(2, 12)
    changed = torch.cat([rows_of(2, 9, seed=5), x[:, 9:]], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(model(model.prepare(x)), model(model.prepare(changed)), atol=1e-12, rtol=0)
    assert build(12, depth=3, observable="mean_Z").remarks() == []
    assert build(3, depth=3).remarks() == []
    assert PennyLaneQNN(depth=2).build(features(16)).remarks() == []


def test_the_engine_of_re_uploading_says_why():
    assert "data re-uploading needs states" in build(4, depth=2, reupload=2).engine_name


def test_one_upload_is_none_again():
    x = rows_of(3, 4)
    one, none = build(4, depth=3, reupload=1), build(4, depth=3)
    with torch.no_grad():
        assert torch.equal(one(one.prepare(x)), none(none.prepare(x)))


@pytest.mark.parametrize(("depth", "reupload", "expected"), [(4, 2, [2, 2]), (5, 3, [2, 2, 1]), (3, 3, [1, 1, 1])])
def test_rows_make_blocks_as_even_as_possible_longer_ones_first(depth, reupload, expected):
    rows = sorted({0, *build(3, depth=depth, reupload=reupload)._design.uploads, depth})
    assert [after - before for before, after in itertools.pairwise(rows)] == expected


@pytest.mark.parametrize("fields", [{}, {"reupload": 2, "depth": 3}, {"observable": "mean_Z"}, {"depth": 8}])
def test_members_together_are_members_one_by_one(fields):
    model = build(8, readout="affine", **fields)
    prepared = model.prepare(rows_of(3, 8))
    generator = torch.Generator().manual_seed(2)
    stacked = {
        name: torch.randn(4, *parameter.shape, generator=generator, dtype=torch.float64)
        for name, parameter in model.named_parameters()
    }
    found = vmap(lambda parameters: functional_call(model, parameters, (prepared,)))(stacked)
    for index in range(4):
        single = functional_call(model, {name: values[index] for name, values in stacked.items()}, (prepared,))
        torch.testing.assert_close(found[index], single, atol=1e-12, rtol=0)


def test_single_precision_is_close_to_double():
    x = rows_of(3, 6)
    for fields in ({}, {"reupload": 2}, {"observable": "mean_Z"}):
        double, single = build(6, **fields), build(6, **fields, dtype="float32")
        with torch.no_grad():
            found = single(single.prepare(x))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), double(double.prepare(x)).detach(), atol=1e-4, rtol=0)


def test_an_affine_readout_begins_as_the_fixed_one_and_is_trained():
    fixed, affine = PennyLaneQNN(depth=2).build(features(8)), PennyLaneQNN(depth=2, readout="affine").build(features(8))
    for model in (fixed, affine):
        model.reset_parameters(torch.Generator().manual_seed(0))
    x = rows_of(3, 8)
    prepared = affine.prepare(x)
    logits = affine(prepared)
    with torch.no_grad():
        assert torch.equal(logits, fixed(fixed.prepare(x)))
    logits.sum().backward()
    assert float(affine.readout_offset.grad) == 3.0
    torch.testing.assert_close(affine.readout_scale.grad, (logits.detach() / 5.0).sum(), atol=1e-12, rtol=0)
    assert dict(affine.named_parameters()).keys() - dict(fixed.named_parameters()).keys() == {
        "readout_scale",
        "readout_offset",
    }


class Uploads(PennyLaneQNN):
    """An ansatz of one's own that uploads."""

    def weight_shapes(self):
        return {"angles": (self.depth, self.n_wires)}

    def ansatz(self, angles):
        for row in range(self.depth):
            self.upload(row)
            for wire in range(self.n_wires):
                qml.RX(torch.sin(angles[row, wire]), wires=wire)
            qml.CNOT(wires=[0, self.n_wires - 1])


class Forgets(Uploads):
    """One that does not."""

    def ansatz(self, angles):
        qml.RX(angles[0, 0], wires=0)


def test_an_ansatz_of_ones_own_uploads_by_one_call():
    model, x = build(3, Uploads, depth=2, reupload=2), rows_of(2, 3)

    @qml.qnode(qml.device("default.qubit", wires=3), interface="torch")
    def circuit(row):
        for layer in range(2):
            qml.AngleEmbedding(row, wires=range(3), rotation="Y")
            for wire in range(3):
                qml.RX(torch.sin(model.angles[layer, wire]), wires=wire)
            qml.CNOT(wires=[0, 2])
        return qml.expval(qml.Z(2))

    expected = 5.0 * torch.stack([circuit(row) for row in x])
    torch.testing.assert_close(model(model.prepare(x)), expected, atol=1e-10, rtol=0)


def test_an_ansatz_that_does_not_upload_is_refused():
    with pytest.raises(ConfigError, match=r"Forgets\.ansatz.*there are 0: call self\.upload\(row\)"):
        build(3, Forgets, depth=2, reupload=2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoding": "angles"}, 'encoding: got "angles", accepts one of "amplitude", "angle". Did you mean "angle"'),
        ({"encoding": "angle", "rotation": "RZ"}, 'rotation: got "RZ", accepts one of "RX", "RY"'),
        ({"encoding": "angle", "encoding_scale": 0.0}, r"encoding_scale: got 0\.0, accepts a number above 0"),
        ({"encoding": "angle", "reupload": -1}, "reupload: got -1, accepts an integer of at least 0"),
        ({"encoding": "angle", "reupload": 5}, "reupload: got 5, accepts at most depth = 4"),
        ({"rotation": "RX"}, 'rotation belongs to encoding = "angle"'),
        ({"reupload": 2}, 'reupload belongs to encoding = "angle"'),
        ({"observable": "X_last"}, 'observable: got "X_last", accepts one of "Z_last", "mean_Z", "ZZ_last"'),
        ({"readout": "linear"}, 'readout: got "linear", accepts one of "fixed", "affine"'),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        PennyLaneQNN(**fields)


def test_features_that_do_not_fit_are_refused_with_what_to_do():
    with pytest.raises(DataError, match='takes real features, and these are complex; use encoding = "amplitude"'):
        PennyLaneQNN(encoding="angle").build(features(4, is_complex=True))
    with pytest.raises(DataError, match='pad them with zeros to 16, or use encoding = "angle"'):
        PennyLaneQNN().build(features(12))
    model = build(4)
    with pytest.raises(DataError, match="built for 4 angles, got 5"):
        model.prepare(rows_of(2, 5))


def test_states_that_do_not_fit_are_refused_with_their_size():
    with pytest.raises(ConfigError, match=r"24 of 24 qubits, and data re-uploading needs.*2\^24 amplitudes, 8 GiB"):
        build(24, CNOTQNN, depth=2, reupload=2)
    with pytest.raises(ConfigError, match=r"2\^24 amplitudes.*at most 20 qubits.*smaller depth"):
        build(24, CNOTQNN, depth=1)
    with pytest.raises(ConfigError, match=r'"default\.qubit" simulates the whole register of 40 qubits'):
        build(40, depth=2, device="default.qubit")
