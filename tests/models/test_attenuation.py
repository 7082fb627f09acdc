"""The attenuation of a noisy circuit, in closed form and against matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab import XXZ, Features, LabelFlip, Member, PennyLaneQNN, Trainer
from qlab.noise import AmplitudeDamping, Channel, DepolarizingChannel, ReadoutError

N = 3


def model(*noise: Channel, **fields: Any) -> PennyLaneQNN:
    return PennyLaneQNN(depth=2, noise=noise, **fields).build(Features(2**N, True, torch.ones(2**N, dtype=torch.bool)))


def parameters(built: PennyLaneQNN, members: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(members, *value.shape, generator=generator, dtype=torch.float64)
        for name, value in built.named_parameters()
    }


def attenuation(built: PennyLaneQNN) -> list[float]:
    found: list[float] = built.parameter_metrics(parameters(built))["noise_attenuation"].tolist()
    return found


def test_noise_that_only_shrinks_the_readout_shrinks_it_by_that() -> None:
    assert attenuation(model(ReadoutError(p=0.1))) == pytest.approx([0.8, 0.8])
    assert attenuation(model(ReadoutError(p=0.1, p1=0.2), observable="mean_Z")) == pytest.approx([0.7, 0.7])
    assert attenuation(model(DepolarizingChannel(p=0.3, after="readout"))) == pytest.approx([0.6, 0.6])
    assert attenuation(model(DepolarizingChannel(p=0.0))) == pytest.approx([1.0, 1.0])
    assert "noise_attenuation" not in model().parameter_metrics(parameters(model()))


@pytest.mark.parametrize("observable", ["Z_last", "mean_Z"])
def test_it_is_the_norm_of_the_evolved_observable(observable: str) -> None:
    """Of the whole register's matrix, back through gates and Kraus matrices, its trace taken off."""
    built = model(AmplitudeDamping(gamma=0.2), observable=observable)
    weights = parameters(built)
    expected = []
    for member in range(2):
        point = {name: value[member] for name, value in weights.items()}
        recorded = built.circuit()
        with torch.no_grad():
            for name, value in point.items():
                built.get_parameter(name).copy_(value)
        recorded = built.circuit()
        matrix = clean = np.asarray(qml.matrix(recorded.observable.operator(), wire_order=range(N)))
        for operation in reversed(recorded.operations):
            channel = isinstance(operation, qml.operation.Channel)
            kraus = operation.kraus_matrices() if channel else [operation.matrix()]
            wide = [qml.math.expand_matrix(np.asarray(k), operation.wires, range(N)) for k in kraus]
            matrix = sum(k.conj().T @ matrix @ k for k in wide)
        matrix = matrix - np.trace(matrix) / 2**N * np.eye(2**N)
        expected.append(np.linalg.norm(matrix) / np.linalg.norm(clean))
    assert attenuation(built) == pytest.approx(expected, abs=1e-10)
    assert max(expected) < 1.0


def test_a_training_reports_it() -> None:
    task = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
    data = task.load()
    built = PennyLaneQNN(depth=2, noise=(DepolarizingChannel(p=0.05),)).build(Features.of(data))
    members = [Member.of(task, data, LabelFlip(ratio=0.2), seed) for seed in range(3)]
    found = Trainer(epochs=2).fit(built, members, data.validation).final["noise_attenuation"]
    assert found.shape == (3,)
    assert ((found > 0.0) & (found < 1.0)).all()
