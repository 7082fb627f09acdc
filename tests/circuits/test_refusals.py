"""What cannot be used of an ansatz and its weights is refused when the model is built: the line, and what to write."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab import Features, PennyLaneQNN
from qlab.errors import ConfigError


def built(ansatz: Any, shapes: Any, *, device: str = "lightcone", n_wires: int = 3) -> PennyLaneQNN:
    """A model with this ansatz, given as a function of the model and its weights."""
    cls = type("Own", (PennyLaneQNN,), {"weight_shapes": lambda self: shapes, "ansatz": ansatz})
    return cls(device=device).build(Features(2**n_wires, True, torch.ones(2**n_wires, dtype=torch.bool)))


def rx(self: Any, w: torch.Tensor) -> None:
    qml.RX(w.reshape(-1)[0], wires=self.n_wires - 1)


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (3, (3,)),
        (np.int64(3), (3,)),
        ((), ()),
        ([2, 3], (2, 3)),
        (torch.Size([2, 3]), (2, 3)),
        (np.array([2, 3]), (2, 3)),
        (range(1, 3), (1, 2)),
        ((np.int32(2), torch.tensor(3)), (2, 3)),
        (torch.tensor(4), (4,)),
    ],
    ids=str,
)
@pytest.mark.parametrize("device", ["lightcone", "default.qubit"])
def test_shapes_may_be_integers_and_sequences_of_them(given, shape, device):
    model = built(rx, {"w": given}, device=device)
    assert model.w.shape == shape
    model.reset_parameters(torch.Generator().manual_seed(0))
    model(model.prepare(torch.eye(8, dtype=torch.complex128))).sum().backward()
    assert model.w.grad.shape == shape


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"w": 3.0}, r"Own\.weight_shapes: w: got the shape 3\.0, accepts integers: .* Write 3"),
        ({"w": (2, 1.5)}, r"w: got the shape \(2, 1\.5\), accepts integers"),
        ({"w": -1}, r"w: got the shape \(-1,\), accepts sizes of at least 0"),
        ({"w": True}, "w: got the shape True, accepts integers"),
        ({"w": "3"}, "w: got the shape '3', accepts integers"),
        ({"w": None}, "w: got the shape None, accepts integers"),
        ({"w": ((2, 3),)}, "w: got the shape .* accepts integers"),
        ([("w", 3)], r"got \[\('w', 3\)\], accepts a dictionary of names and shapes"),
        (None, "got None, accepts a dictionary"),
        ({0: 3}, "got the name 0, accepts names"),
        ({"two words": 3}, "got the name 'two words'"),
        ({"depth": 3}, '"depth" is an attribute of the model; give the weight another name'),
        ({"forward": 3}, '"forward" is an attribute of the model'),
        ({}, "got no weights, so that there is nothing to train; give the circuit at least one weight"),
        ({"w": 0}, r"got \{'w': \(0,\)\}, so that there is nothing to train"),
        ({"w": (2, 0)}, "there is nothing to train"),
    ],
    ids=str,
)
def test_what_is_no_shape_is_refused(shapes, message):
    with pytest.raises(ConfigError, match=message):
        built(rx, shapes)


def rotation(self: Any, **weights: torch.Tensor) -> None:
    for weight in weights.values():
        qml.RX(weight[0], wires=self.n_wires - 1)


def test_no_weight_has_the_name_of_an_attribute_of_a_built_model():
    cls = type("Own", (PennyLaneQNN,), {"weight_shapes": lambda self: {"w": 1}, "ansatz": rotation})
    features = Features(8, True, torch.ones(8, dtype=torch.bool))
    model = cls(readout="affine").build(features)
    taken = {*vars(model), *model._parameters, *model._modules, "engine_name", "depth", "may_draw"} - {"w"}
    assert {"readout_scale", "readout_offset", "cone", "engine", "_names", "features"} <= taken
    for name in sorted(taken):
        for readout in ("fixed", "affine"):
            cls = type("Own", (PennyLaneQNN,), {"weight_shapes": lambda self, n=name: {n: 1}, "ansatz": rotation})
            with pytest.raises(ConfigError, match=f'"{name}" is an attribute of the model; give the weight another'):
                cls(readout=readout).build(features)


def takes_other(self, v):
    qml.RX(v[0], wires=0)


def takes_more(self, w, depth):
    qml.RX(w[0], wires=0)


def takes_none(self):
    qml.RX(0.1, wires=0)


def by_position(self, w, /):
    qml.RX(w[0], wires=0)


def yields(self, w):
    yield qml.RX(w[0], wires=0)


@pytest.mark.parametrize(
    ("ansatz", "message"),
    [
        (takes_other, 'The ansatz takes "v", which is no weight: weight_shapes has w'),
        (takes_more, 'The ansatz takes "depth", which is no weight.*self.depth'),
        (takes_none, 'The ansatz does not take the weight "w": weight_shapes has w, it takes no arguments'),
        (by_position, 'The ansatz takes "w" by position only, but weights are given by name; remove the "/"'),
        (yields, "The ansatz has a yield"),
    ],
)
def test_an_ansatz_that_does_not_take_the_weights_is_refused(ansatz, message):
    with pytest.raises(ConfigError, match=rf"test_refusals\.py, line \d+: {message}"):
        built(ansatz, {"w": 2})


class Counter:
    calls = 0


def counted() -> float:
    Counter.calls += 1
    return float(Counter.calls)


VALUES = r"The ansatz looks at the value of a weight\. .* write torch\.sin for np\.sin and torch\.where for if"
CALLS = "gets other parameters at each call"

FUNCTIONS = {
    "if": (lambda w: qml.RX(w[0], wires=2) if w[0] > 0 else qml.RY(w[0], wires=2), VALUES),
    "float": (lambda w: qml.RX(float(w[0]), wires=2), VALUES),
    "item": (lambda w: qml.RX(w[0].item(), wires=2), VALUES),
    "tolist": (lambda w: qml.RX(w.tolist()[0], wires=2), VALUES),
    "math": (lambda w: qml.RX(math.sin(w[0]), wires=2), VALUES),
    "NumPy": (lambda w: qml.RX(np.sin(w[0]), wires=2), VALUES),
    "numpy()": (lambda w: qml.RX(w.numpy()[0], wires=2), VALUES),
    "detached": (lambda w: qml.RX(w.detach().numpy()[0], wires=2), VALUES),
    "max": (lambda w: qml.RX(max(w[0], w[1]), wires=2), VALUES),
    "qml.cond": (lambda w: qml.cond(w[0] > 0, qml.RX)(w[0], wires=2), VALUES),
    "range": (lambda w: [qml.RX(w[0], wires=2) for _ in range(int(3 * w[0]) + 1)], VALUES),
    "torch.rand": (lambda w: qml.RX(w[0] + torch.rand(()), wires=2), r"The ansatz draws random numbers\. .*setup"),
    "random": (lambda w: qml.RX(w[0] + random.random(), wires=2), CALLS),
    "np.random": (lambda w: qml.RX(w[0] * np.random.default_rng().random(), wires=2), CALLS),
    "counter": (lambda w: qml.RX(counted(), wires=2), CALLS),
    "too few parameters": (lambda w: qml.Rot(w[0], wires=2), "Rot: TypeError"),
    "wires twice": (lambda w: qml.CNOT(wires=[1, 1]), "CNOT: ValueError: The control wires must be different"),
    "too many wires": (lambda w: qml.RX(w[0], wires=[1, 2]), r"RX: ValueError: RX: wrong number of wires"),
    "no wires": (lambda w: qml.RX(w[0]), "RX"),
    "index": (lambda w: qml.RX(w[7], wires=2), "IndexError"),
    "wire outside": (lambda w: qml.RX(w[0], wires=3), "puts RX on wire 3; the register has wires 0 to 2"),
    "wire outside a template": (lambda w: qml.QFT(wires=range(5)), "on wire [34]; the register has wires 0 to 2"),
    "a batch": (lambda w: qml.RX(w, wires=2), r"gives RX parameters of shapes \[\(2,\)\].* index the weights"),
    "a matrix": (
        lambda w: qml.QubitUnitary(torch.stack([w, w]), wires=2),
        "contains QubitUnitary, which is not unitary",
    ),
    "complex angle": (lambda w: qml.RX(torch.exp(1j * w[0]), wires=2), "RX, which is not unitary. Angles are real"),
    "growth": (lambda w: qml.exp(qml.X(2), w[0]), r"Exp, which is not unitary\. qml\.exp\(H, 1j \* t\)"),
    "returned": (lambda w: (qml.RX(w[0], wires=2), w.sum())[1], "The ansatz returns a Tensor, which would be ignored"),
    "measured": (lambda w: (qml.RX(w[0], wires=2), qml.expval(qml.Z(0)))[1], "queues operations only; .* Leave out"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("device", ["lightcone", "default.qubit"])
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_an_ansatz_that_cannot_be_trained_is_refused(name, device):
    function, message = FUNCTIONS[name]
    with pytest.raises(ConfigError, match=message) as refusal:
        built(lambda self, w: function(w), {"w": 2}, device=device)
    assert re.search(r"test_refusals\.py, line \d+", str(refusal.value))


@pytest.mark.parametrize(
    "ansatz",
    [
        pytest.param(lambda self, w: qml.RX(w[0].to(torch.complex128), wires=2), id="complex without imaginary part"),
        pytest.param(lambda self, w: qml.DiagonalQubitUnitary(torch.exp(1j * w), wires=2), id="phases"),
        pytest.param(lambda self, w: [qml.RX(1, wires=2), qml.RY(w[0], wires=2)], id="an integer angle"),
        pytest.param(lambda self, w: [qml.RX(torch.tensor(1), wires=2), qml.RY(w[0], wires=2)], id="integer tensor"),
        pytest.param(
            lambda self, w: qml.evolve(qml.Hamiltonian(list(w), [qml.X(2), qml.Z(2)]), 1.0), id="coefficients"
        ),
        pytest.param(lambda self, w: qml.pow(qml.RX(w[0], wires=2), 0.5), id="root of a rotation"),
        pytest.param(lambda self, w: qml.pow(qml.X(2), w[0]), id="trained power"),
        pytest.param(lambda self, w: qml.adjoint(qml.exp(qml.Y(2), 1j * w[0])), id="adjoint of an evolution"),
        pytest.param(lambda self, w: qml.ctrl(qml.evolve, control=0)(qml.Y(2), w[0]), id="controlled evolution"),
        pytest.param(lambda self, w: qml.adjoint(rx)(self, w), id="adjoint of a function"),
    ],
)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad", "ignore:To copy construct from a tensor")
def test_these_run_and_have_the_derivative_of_finite_differences(ansatz):
    def around(self: Any, w: torch.Tensor) -> None:
        qml.RY(0.4, wires=2)
        ansatz(self, w)
        qml.RX(0.7, wires=2)

    model = built(around, {"w": 2})
    x = model.prepare(torch.randn(1, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)))

    def value(w: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, {"w": w}, (x,)).sum()

    w = torch.tensor([0.3, 0.8], dtype=torch.float64, requires_grad=True)
    [found] = torch.autograd.grad(value(w), w)
    steps = 1e-5 * torch.eye(2, dtype=torch.float64)
    expected = [(value(w.detach() + step) - value(w.detach() - step)) / 2e-5 for step in steps]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-8, rtol=1e-7)
    assert float(found.abs().max()) > 1e-3


def test_a_wrong_gradient_of_pennylanes_is_said_when_the_model_is_built():
    def ansatz(self: Any, w: torch.Tensor) -> None:
        for wire in range(4):
            qml.RX(0.3 + wire, wires=wire)
        qml.GateFabric(w, wires=range(4), init_state=[1, 1, 0, 0], include_pi=True)

    shapes = {"w": (1, 1, 2)}
    with pytest.raises(ConfigError, match=r'line \d+: device = "lightning\.qubit" differentiates GateFabric wrongly'):
        built(ansatz, shapes, device="lightning.qubit", n_wires=4)
    for device in ("lightcone", "default.qubit"):
        built(ansatz, shapes, device=device, n_wires=4)
