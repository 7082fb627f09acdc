"""The quantum model: every device, parameter shift, and circuits of users."""

from __future__ import annotations

import copy
import math
from typing import Any

import pennylane as qml
import pytest
import torch
from torch.func import functional_call, vmap

from qlab.circuits import HeisenbergEngine, StatevectorEngine
from qlab.errors import ConfigError, DataError, MissingExtraError
from qlab.fields import PositiveFloat
from qlab.models import Features, PennyLaneQNN


def has_device(name):
    try:
        qml.device(name, wires=1)
    except (qml.exceptions.DeviceError, ImportError):
        return False
    return True


HAS_GPU = has_device("lightning.gpu")

DEVICES = [
    "lightcone",
    "default.qubit",
    "lightning.qubit",
    pytest.param("lightning.gpu", marks=pytest.mark.skipif(not HAS_GPU, reason="lightning.gpu is not installed")),
]


class Brickwork(PennyLaneQNN):
    """A circuit of another kind: entangling layers, computed angles, gates without parameters.

    Args:
        stretch: factor of the angles of the last layer.
    """

    def __init__(self, *, stretch: PositiveFloat = 1.5, **fields: Any) -> None:
        super().__init__(stretch=stretch, **fields)
        self.stretch = stretch

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"layers": (self.depth, self.n_wires, 3), "last": (self.n_wires,)}

    def ansatz(self, **weights: torch.Tensor) -> None:
        qml.StronglyEntanglingLayers(weights["layers"], wires=range(self.n_wires))
        qml.Toffoli(wires=[0, 1, 2])
        qml.QFT(wires=[1, 2])
        for wire in range(self.n_wires):
            qml.RY(self.stretch * torch.sin(weights["last"][wire]), wires=wire)
        qml.CNOT(wires=[0, self.n_wires - 1])


class LocalReadout(PennyLaneQNN):
    """A circuit whose readout no weight reaches."""

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"idle": (2,)}

    def ansatz(self, **weights: torch.Tensor) -> None:
        qml.RX(weights["idle"][0], wires=0)
        qml.RZ(weights["idle"][1], wires=self.n_wires - 1)


def features(n_wires):
    return Features(2**n_wires, True, torch.ones(2**n_wires, dtype=torch.bool))


def random_inputs(n, n_wires, seed=0):
    return torch.randn(n, 2**n_wires, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def build(n_wires, cls=PennyLaneQNN, *, random=True, **fields):
    model = cls(**fields).build(features(n_wires))
    model.reset_parameters(torch.Generator().manual_seed(0))
    if random:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(6.0 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 3.0)
    return model


def logits_and_gradients(model, x):
    model.zero_grad()
    logits = model(model.prepare(x))
    (logits @ torch.linspace(-1.0, 1.0, len(x), dtype=logits.dtype)).backward()
    return logits.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def by_hand(model, x):
    """The circuit of the paper, written out, on default.qubit; x of unit norm."""
    n_wires, rotations, couplings = model.n_wires, model.rotations, model.couplings
    ring = model.entangler == "ring"

    @qml.qnode(qml.device("default.qubit", wires=n_wires), interface="torch")
    def circuit(state):
        qml.StatePrep(state, wires=range(n_wires))
        for layer in range(model.depth):
            for wire in range(n_wires):
                qml.RX(rotations[layer, 0, wire], wires=wire)
                qml.RY(rotations[layer, 1, wire], wires=wire)
                qml.RX(rotations[layer, 2, wire], wires=wire)
            for wire in range(n_wires if ring else n_wires - 1):
                qml.IsingZZ(couplings[layer, wire], wires=[wire, (wire + 1) % n_wires])
        return qml.expval(qml.Z(n_wires - 1))

    return torch.stack([model.scale * circuit(row) for row in x])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("entangler", ["chain", "ring"])
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_logits_are_those_of_the_circuit_written_out(device, entangler, scale):
    x = random_inputs(3, 4)
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    model = build(4, depth=2, entangler=entangler, device=device, scale=scale)
    with torch.no_grad():
        torch.testing.assert_close(model(model.prepare(x)), by_hand(model, x), atol=1e-10, rtol=0)


@pytest.mark.parametrize("device", [device for device in DEVICES if device != "lightcone"])
@pytest.mark.parametrize(
    ("n_wires", "fields"),
    [
        pytest.param(4, {"depth": 3}, id="chain"),
        pytest.param(4, {"depth": 2, "entangler": "ring"}, id="ring"),
        pytest.param(4, {"depth": 3, "entangler": "ring"}, id="ring, cone of the whole register"),
        pytest.param(5, {"depth": 6}, id="chain on a statevector"),
        pytest.param(1, {"depth": 2}, id="one qubit"),
        pytest.param(2, {"depth": 2, "entangler": "ring"}, id="two qubits"),
        pytest.param(3, {"cls": Brickwork, "depth": 2, "stretch": 2.5}, id="circuit of a user"),
        pytest.param(3, {"cls": LocalReadout}, id="readout without weights"),
    ],
)
def test_logits_and_gradients_agree_with_the_light_cone(device, n_wires, fields):
    """Inputs of different norms, one of them zero."""
    x = random_inputs(4, n_wires)
    x[1] = 0.0
    expected = logits_and_gradients(build(n_wires, **fields, device="lightcone"), x)
    found = logits_and_gradients(build(n_wires, **fields, device=device), x)
    torch.testing.assert_close(found[0], expected[0], atol=1e-9, rtol=1e-10)
    assert float(found[0][1]) == float(expected[0][1]) == 0.0
    for name, gradient in expected[1].items():
        assert gradient is not None
        assert found[1][name] is not None
        torch.testing.assert_close(found[1][name], gradient, atol=1e-9, rtol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
def test_agreement_on_states_of_unit_norm_is_at_1e_10(device, small_data):
    x = small_data.train.x
    expected = logits_and_gradients(build(4, depth=3, entangler="ring"), x)
    found = logits_and_gradients(build(4, depth=3, entangler="ring", device=device), x)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("entangler", ["chain", "ring"])
def test_gradient_is_that_of_the_parameter_shift_rule(entangler):
    model = build(4, depth=3, entangler=entangler)
    prepared = model.prepare(random_inputs(2, 4))
    model(prepared).sum().backward()
    for parameter in model.parameters():
        shifted = torch.empty_like(parameter)
        with torch.no_grad():
            for index in range(parameter.numel()):
                entry = parameter.view(-1)[index]
                middle = entry.clone()
                values = []
                for sign in (1, -1):
                    entry.fill_(middle + sign * math.pi / 2)
                    values.append(model(prepared).sum())
                entry.copy_(middle)
                shifted.view(-1)[index] = (values[0] - values[1]) / 2
        torch.testing.assert_close(parameter.grad, shifted, atol=1e-10, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_parameters_outside_the_cone_get_a_zero_gradient(device):
    """Depth 2 on 4 wires: only wires 2 and 3 matter, the last row of couplings not at all."""
    model = build(4, depth=2, device=device)
    _, gradients = logits_and_gradients(model, random_inputs(3, 4))
    rotations, couplings = gradients["rotations"], gradients["couplings"]
    outside = torch.zeros_like(rotations, dtype=torch.bool)
    outside[0, :, :2] = True
    outside[1, :, :3] = True
    assert float(rotations[outside].abs().max()) < 1e-12
    assert bool((rotations[~outside].abs() > 1e-6).all())
    assert float(couplings[1].abs().max()) < 1e-12
    assert float(couplings[0, :2].abs().max()) < 1e-12
    assert abs(float(couplings[0, 2])) > 1e-6


@pytest.mark.parametrize("device", DEVICES)
def test_a_readout_that_no_weight_reaches_has_zero_gradients(device):
    _, gradients = logits_and_gradients(build(3, LocalReadout, device=device), random_inputs(2, 3))
    torch.testing.assert_close(gradients["idle"], torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_logits_scale_with_the_squared_norm(device):
    x = random_inputs(3, 3)
    model = build(3, depth=2, device=device)
    with torch.no_grad():
        expected = model(model.prepare(x)) * torch.tensor([0.0, 0.01, 4.0], dtype=torch.float64)
        factors = torch.tensor([[0.0], [0.1j], [-2.0]], dtype=torch.complex128)
        torch.testing.assert_close(model(model.prepare(factors * x)), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
def test_real_features_are_amplitudes_too(device):
    x = random_inputs(3, 3).real.contiguous()
    model = build(3, depth=2, device=device)
    with torch.no_grad():
        found = model(model.prepare(x))
        torch.testing.assert_close(found, model(model.prepare(x.to(torch.complex128))), atol=1e-12, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_single_precision(device):
    x = random_inputs(3, 3)
    double, single = build(3, depth=2, device=device), build(3, depth=2, device=device, dtype="float32")
    with torch.no_grad():
        found = single(single.prepare(x))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), double(double.prepare(x)), atol=1e-3, rtol=1e-4)
    _, gradients = logits_and_gradients(single, x)
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}


@pytest.mark.skipif(HAS_GPU, reason="lightning.gpu is installed")
def test_a_missing_gpu_device_names_the_extra_to_install():
    with pytest.raises(MissingExtraError, match=r'device = "lightning\.gpu".*pip install qlab-unlearning\[gpu\]'):
        build(2, device="lightning.gpu")


def test_initial_weights_are_small_and_gaussian():
    model = build(10, random=False, depth=40)
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    n = len(weights)
    assert n == 40 * (30 + 9)
    assert abs(float(weights.mean())) < 4 * 0.01 / math.sqrt(n)
    assert float(weights.std()) == pytest.approx(0.01, rel=4 / math.sqrt(2 * n))
    assert float(weights.pow(4).mean()) == pytest.approx(3 * 0.01**4, rel=4 * math.sqrt(96 / n) / 3)


def test_initial_scale_is_the_standard_deviation():
    narrow, wide = build(4, random=False), build(4, random=False, initial_scale=0.5)
    torch.testing.assert_close(wide.rotations, 50.0 * narrow.rotations)


@pytest.mark.parametrize(
    ("n_wires", "fields", "shapes"),
    [
        (4, {"depth": 2}, {"rotations": (2, 3, 4), "couplings": (2, 3)}),
        (4, {"depth": 2, "entangler": "ring"}, {"rotations": (2, 3, 4), "couplings": (2, 4)}),
        (12, {}, {"rotations": (4, 3, 12), "couplings": (4, 11)}),
    ],
)
def test_shapes_of_weights(n_wires, fields, shapes):
    model = build(n_wires, **fields)
    assert {name: tuple(parameter.shape) for name, parameter in model.named_parameters()} == shapes
    assert model.n_parameters() == sum(math.prod(shape) for shape in shapes.values())


def test_engine_is_chosen_by_cost_and_says_so():
    small, large = build(8, depth=2), build(6, depth=6)
    assert isinstance(small.engine, HeisenbergEngine)
    assert isinstance(large.engine, StatevectorEngine)
    assert "light cone of 2 of 8 qubits" in small.engine_name
    assert "statevector" in large.engine_name
    assert "default.qubit" in build(2, device="default.qubit").engine_name


@pytest.mark.parametrize("cls", [PennyLaneQNN, Brickwork])
def test_vmap_over_parameters_equals_a_loop(cls):
    model = build(3, cls, depth=2)
    assert model.supports_vmap
    prepared = model.prepare(random_inputs(3, 3))
    generator = torch.Generator().manual_seed(2)
    stacked = {
        name: torch.randn(4, *parameter.shape, generator=generator, dtype=torch.float64)
        for name, parameter in model.named_parameters()
    }
    found = vmap(lambda parameters: functional_call(model, parameters, (prepared,)))(stacked)
    for index in range(4):
        single = functional_call(model, {name: values[index] for name, values in stacked.items()}, (prepared,))
        torch.testing.assert_close(found[index], single, atol=1e-12, rtol=0)


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_devices_say_that_they_do_not_run_under_vmap(device):
    assert not build(2, device=device).supports_vmap


def test_a_subclass_has_its_own_field_and_those_of_the_base():
    model = Brickwork(stretch=2, depth=3)
    assert model.config() == PennyLaneQNN(depth=3).config() | {"stretch": 2.0}
    assert Brickwork(**model.config()).config() == model.config()
    with pytest.raises(ConfigError, match="Brickwork: stretch: got -1, accepts a number above 0"):
        Brickwork(stretch=-1)
    with pytest.raises(ConfigError, match=r'Brickwork: unknown field "strech"\..*"stretch"'):
        Brickwork(strech=1.0)


@pytest.mark.parametrize(("dimension", "padded"), [(3, 4), (5, 8), (12, 16), (784, 1024), (1, 2)])
def test_features_that_are_no_power_of_two_are_refused_with_the_next_one(dimension, padded):
    with pytest.raises(DataError, match=rf"got {dimension}; pad them with zeros to {padded}, or"):
        PennyLaneQNN().build(Features(dimension, False, torch.ones(dimension, dtype=torch.bool)))


def test_features_of_another_dimension_are_refused():
    with pytest.raises(DataError, match="built for 8 amplitudes, got 4"):
        build(3).prepare(random_inputs(2, 2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 0}, "depth: got 0, accepts an integer of at least 1"),
        ({"entangler": "star"}, 'entangler: got "star", accepts one of "chain", "ring"'),
        ({"scale": 0.0}, r"scale: got 0\.0, accepts a number above 0"),
        ({"initial_scale": -1.0}, r"initial_scale: got -1\.0"),
        ({"device": "qiskit"}, 'device: got "qiskit", accepts one of "lightcone"'),
        ({"dtype": "complex128"}, 'dtype: got "complex128"'),
        ({"dept": 3}, 'unknown field "dept". Did you mean "depth"'),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(ConfigError, match=message):
        PennyLaneQNN(**fields)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cls", [PennyLaneQNN, Brickwork])
def test_state_dict_round_trip(device, cls):
    x = random_inputs(2, 3)
    trained, fresh = build(3, cls, depth=2, device=device), build(3, cls, random=False, depth=2, device=device)
    fresh.load_state_dict(trained.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(fresh.prepare(x)), trained(trained.prepare(x)))


@pytest.mark.parametrize("device", DEVICES)
def test_a_copy_is_independent(device):
    x = random_inputs(2, 3)
    model = build(3, depth=2, device=device)
    before = model(model.prepare(x)).detach()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(twin(twin.prepare(x)), before)
        for parameter in twin.parameters():
            parameter.zero_()
        assert torch.equal(model(model.prepare(x)), before)
        assert not torch.allclose(twin(twin.prepare(x)), before)


def test_building_again_fits_other_features():
    model = build(3, depth=2)
    larger = model.build(features(4))
    larger.reset_parameters(torch.Generator().manual_seed(0))
    assert larger(larger.prepare(random_inputs(2, 4))).shape == (2,)
    assert model(model.prepare(random_inputs(2, 3))).shape == (2,)
    assert (model.n_wires, larger.n_wires) == (3, 4)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # rotations [2, 3, 3], then couplings [2, 2] or [2, 3]
        ({"depth": 2}, {"row 1": [*range(9), 18, 19], "row 2": [*range(9, 18), 20, 21]}),
        (
            {"depth": 2, "entangler": "ring"},
            {"row 1": [*range(9), 18, 19, 20], "row 2": [*range(9, 18), 21, 22, 23]},
        ),
        # layers [2, 3, 3], then a row of three angles that is no row of the circuit
        ({"depth": 2, "cls": Brickwork}, {"row 1": [*range(9)], "row 2": [*range(9, 18)], "last": [18, 19, 20]}),
    ],
    ids=["chain", "ring", "circuit of a user"],
)
def test_layers_are_rows_of_the_circuit(fields, expected):
    layers = build(3, **fields).parameter_layers()
    assert {name: sorted(positions.reshape(-1).tolist()) for name, positions in layers.items()} == expected


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cls", [PennyLaneQNN, Brickwork, LocalReadout])
def test_a_double_copy_runs_on_the_light_cone(device, cls):
    """The adjoint method's second derivatives would be wrong: the copy does not use it."""
    x = random_inputs(3, 3)
    model = build(3, cls, depth=2, device=device)
    copied = model.double_copy()
    assert (copied.device, copied.dtype, copied.supports_vmap) == ("lightcone", torch.float64, True)
    assert model.device == device
    changed = {"device": "lightcone", "dtype": "float64"}
    assert copied.config() == model.config() | changed
    with torch.no_grad():
        torch.testing.assert_close(copied(copied.prepare(x)), model(model.prepare(x)), atol=1e-9, rtol=1e-10)


def test_filters_of_a_circuit_are_rows_of_its_weights():
    """A slice along the first axis of each weight: the rotations of a row, the couplings of a row."""
    assert [part.tolist() for part in build(3, depth=2).parameter_filters()] == [
        [*range(9)],
        [*range(9, 18)],
        [18, 19],
        [20, 21],
    ]
