"""qml.NoiseModel as the noise of a circuit, against PennyLane's own transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab import XXZ, Features, LabelFlip, Member, PennyLaneQNN, Trainer
from qlab.errors import ConfigError
from qlab.landscape import Landscape
from qlab.models import checkpoint
from qlab.noise import BitFlip, ReadoutError
from tests.support.circuits import on_qubits, random_states

N = 3


def thermal(op: Any, **metadata: Any) -> None:
    for wire in op.wires:
        qml.ThermalRelaxationError(0.1, metadata["t1"], 0.9, 0.05, wires=wire)


def around(op: Any, **_: Any) -> None:
    """Noise before and after the gate itself."""
    qml.PhaseDamping(0.1, wires=op.wires[0])
    qml.apply(op)
    qml.AmplitudeDamping(0.2, wires=op.wires[-1])


def coherent(op: Any, **_: Any) -> None:
    """A rotation too far, by a share of the angle."""
    qml.RZ(0.1 * op.parameters[0], wires=op.wires)


IS_RX, IS_RY, IS_ZZ = (qml.noise.op_eq(gate) for gate in (qml.RX, qml.RY, qml.IsingZZ))
MEASURED = qml.noise.meas_eq(qml.expval)
MODELS = {
    "partial": qml.NoiseModel({IS_RX: qml.noise.partial_wires(qml.DepolarizingChannel, 0.02)}),
    "metadata, two wires": qml.NoiseModel({IS_ZZ | IS_RY: thermal}, t1=1.3),
    "around": qml.NoiseModel({IS_ZZ: around, IS_ZZ & qml.noise.wires_in([0, 1]): thermal}, t1=0.7),
    "coherent": qml.NoiseModel({IS_RX: coherent, IS_RY: qml.noise.partial_wires(qml.PhaseFlip, 0.1)}),
    "readout": qml.NoiseModel(
        {IS_RX & qml.noise.wires_in([1, 2]): qml.noise.partial_wires(qml.AmplitudeDamping, 0.1)},
        meas_map={MEASURED & qml.noise.wires_in(range(N)): qml.noise.partial_wires(qml.BitFlip, 0.05)},
    ),
}


def built(noise: Any, **fields: Any) -> PennyLaneQNN:
    return on_qubits(N, PennyLaneQNN(depth=2, noise=noise, **fields))


def rows(n: int = 2) -> torch.Tensor:
    return random_states(n, N)


def by_pennylane(noise_model: Any, model: PennyLaneQNN, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits from a plain QNode with the transform, with the single precision that PennyLane has of diagonal gates."""

    def circuit(state: torch.Tensor) -> Any:
        qml.StatePrep(state, wires=range(N))
        model.ansatz(**weights)
        return qml.expval(model.observable())

    noisy = qml.noise.add_noise(
        qml.QNode(circuit, qml.device("default.mixed", wires=N), interface="torch"), noise_model
    )
    return torch.stack([5.0 * noisy(row).real for row in rows()])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("observable", ["Z_last", "mean_Z"])
@pytest.mark.parametrize("device", ["lightcone", "default.mixed"])
def test_it_is_what_the_transform_does(name: str, observable: str, device: str) -> None:
    model = built(MODELS[name], observable=observable, device=device)
    assert torch.allclose(
        model(model.prepare(rows())), by_pennylane(MODELS[name], model, dict(model.named_parameters())), atol=1e-6
    )
    tape = qml.tape.QuantumScript(
        [qml.QubitUnitary(np.eye(2**N), wires=range(N)), *built(()).circuit().operations],
        [qml.expval(model.observable())],
    )
    [noisy], _ = qml.noise.add_noise(tape, MODELS[name])
    found = model.circuit().operations
    assert [(op.name, op.wires) for op in found] == [(op.name, op.wires) for op in noisy.operations[1:]]
    for own, other in zip(found, noisy.operations[1:], strict=True):
        np.testing.assert_allclose(
            np.array(own.parameters, dtype=float), np.array(other.parameters, dtype=float), atol=1e-12
        )


@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients_agree_to_rounding_with_default_mixed(name: str) -> None:
    found = []
    for device in ("lightcone", "default.mixed"):
        model = built(MODELS[name], observable="mean_Z", device=device)
        z = model(model.prepare(rows()))
        found.append([z.detach(), *torch.autograd.grad(z[0] + 0.5 * z[1], list(model.parameters()))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_a_model_of_channels_is_the_same_as_qlabs_own() -> None:
    own = built((BitFlip(p=0.05, after="RX"), ReadoutError(p=0.1)))
    model = qml.NoiseModel(
        {IS_RX: qml.noise.partial_wires(qml.BitFlip, 0.05)},
        meas_map={MEASURED: qml.noise.partial_wires(qml.BitFlip, 0.1)},
    )
    other = built(model)
    torch.testing.assert_close(own(own.prepare(rows())), other(other.prepare(rows())), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["partial", "coherent"])
def test_it_is_trained_and_its_landscape_drawn(name: str) -> None:
    task = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
    data = task.load()
    members = [Member.of(task, data, LabelFlip(ratio=0.2), seed) for seed in range(2)]
    model = PennyLaneQNN(depth=2, noise=MODELS[name])
    trainer, bare = Trainer(epochs=2, batch_size=4, learning_rate=0.2), PennyLaneQNN(depth=2)
    trained = trainer.fit(model.build(Features.of(data)), members, data.validation)
    bare_one = trainer.fit(bare.build(Features.of(data)), members, data.validation)
    assert not np.allclose(trained.history["train_loss"], bare_one.history["train_loss"], atol=1e-6)
    assert (trained.final["noise_attenuation"] < 1.0).all()
    landscape = Landscape(trained.model_of(0), data.train)
    assert "NoiseModel(" in landscape.about["model"]["noise"]
    torch.testing.assert_close(
        landscape.evaluate_points(landscape.theta[None])[0][0],
        torch.nn.functional.binary_cross_entropy_with_logits(
            trained.model_of(0)(trained.model_of(0).prepare(data.train.x)), data.train.y.double()
        ).detach(),
    )


def refusal(call: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


def measures(op: Any, **_: Any) -> None:
    qml.expval(qml.Z(0))


def weighted(op: Any, **_: Any) -> None:
    qml.DepolarizingChannel(op.parameters[0] ** 2, wires=op.wires)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: built(MODELS["partial"], device="default.qubit"), "keeps pure states and has no noise"),
        (
            lambda: built(qml.NoiseModel({qml.noise.op_eq(qml.CNOT): around})),
            "no condition of the NoiseModel holds for a gate of the circuit, which has IsingZZ, RX, RY on wires 0 to 2",
        ),
        (
            lambda: built(qml.NoiseModel({qml.BooleanFn(lambda op: op.parameters[0] > 0.5): around})),
            "must be the same for all weights",
        ),
        (lambda: built(qml.NoiseModel({IS_RX: weighted})), "The strength of DepolarizingChannel depends on weights"),
        (lambda: built(qml.NoiseModel({IS_RX: measures})), "measures of the NoiseModel queues a measurement"),
        (
            lambda: built(qml.NoiseModel({IS_RX: qml.noise.partial_wires(qml.BitFlip, 1.5)})),
            "BitFlip(1.5) cannot be used",
        ),
        (lambda: built(qml.NoiseModel({IS_RX: thermal})), "t1"),
    ],
)
def test_models_that_cannot_be_used(make: Any, said: str) -> None:
    assert said in refusal(make)


def test_what_no_file_can_hold_is_refused_where_one_would_have_to(tmp_path: Any) -> None:
    model = built(MODELS["partial"])
    said = "noise: a qml.NoiseModel consists of functions, which no experiment file, trial or checkpoint can hold"
    assert said in refusal(model.config)
    assert said in refusal(lambda: checkpoint.save(tmp_path / "a", model, model.state_dict(), "PennyLaneQNN"))
    assert built(()).config()["noise"] == []
