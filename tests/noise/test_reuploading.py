"""Noise and data re-uploading on the light cone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.func import hessian

from qlab import Features, PennyLaneQNN, Task, Trainer
from qlab.circuits.rowwise import RowwiseEngine
from qlab.errors import ConfigError
from qlab.models.chance import Handed
from qlab.noise import AmplitudeDamping, Channel, DepolarizingChannel, ReadoutError, TwoQubitDepolarizing
from qlab.tasks import Dataset, Split
from tests.support.circuits import weighted

NOISES: list[tuple[Channel, ...]] = [
    (DepolarizingChannel(p=0.05), ReadoutError(p=0.02, p1=0.1)),
    (AmplitudeDamping(gamma=0.1, after="RY"), TwoQubitDepolarizing(p=0.1), AmplitudeDamping(gamma=0.2, after="start")),
    (AmplitudeDamping(gamma=(0.1, 0.0, 0.2), after=2),),
]


def features(n: int = 3) -> Features:
    return Features(n, False, torch.ones(n, dtype=torch.bool))


def built(noise: Any, device: str = "lightcone", **fields: Any) -> PennyLaneQNN:
    model = PennyLaneQNN(**{"depth": 3, "reupload": 3, "encoding": "angle", **fields}, noise=noise, device=device)
    return weighted(model.build(features()))


def rows(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2.0 - 1.0


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: type(noise[0]).__name__)
@pytest.mark.parametrize(
    "fields", [{}, {"rotation": "RX", "observable": "mean_Z", "encoding_scale": 2.0}, {"reupload": 2}], ids=str
)
def test_logits_and_gradients_agree_with_default_mixed(noise: Any, fields: dict[str, Any]) -> None:
    found = []
    for device in ("lightcone", "default.mixed"):
        model = built(noise, device, **fields)
        assert isinstance(model.engine, RowwiseEngine) == (device == "lightcone")
        z = model(model.prepare(rows()))
        total = z @ torch.tensor([1.0, 0.5, -2.0], dtype=z.dtype)
        found.append([z.detach(), *torch.autograd.grad(total, list(model.parameters()))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_noise_of_no_strength_is_none() -> None:
    one, other = built((DepolarizingChannel(p=0.0),)), built(())
    x = rows()
    torch.testing.assert_close(one(one.prepare(x)), other(other.prepare(x)), atol=1e-12, rtol=0)
    seconds = [
        hessian(lambda flat, model=model: model.engine(flat, model.prepare(x)).sum())(model.flat_weights().detach())
        for model in (one, other)
    ]
    torch.testing.assert_close(*seconds, atol=1e-11, rtol=0)


class Three(Task):
    """Three features; the class is the sign of their sum."""

    def load(self) -> Dataset:
        x = torch.rand(24, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2.0 - 1.0
        y = (x.sum(1) > 0).long()
        return Dataset(Split(x[:16], y[:16]), Split(x[16:], y[16:]))

    def random_features(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.rand(n, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shots", [{}, {"shots": 20, "gradient": "exact", "evaluate_shots": 20}])
def test_it_is_trained_in_ensembles(shots: dict[str, Any]) -> None:
    model = PennyLaneQNN(depth=2, reupload=2, encoding="angle", noise=NOISES[0], **shots)
    trainer = Trainer(epochs=2, batch_size=5)
    together, alone = (trainer.train(model, Three(), seeds=seeds) for seeds in ((0, 1), (1,)))
    for name, values in alone.history.items():
        np.testing.assert_allclose(values[0], together.history[name][1], atol=1e-9, rtol=0, err_msg=name)
    assert "uploaded again under noise" in together.model.engine_name
    assert "noise_attenuation" not in together.final


def test_its_readout_is_sampled() -> None:
    model, draws = built(NOISES[0], shots=50), 3000
    prepared = model.prepare(rows(1))
    [exact] = model(prepared).detach().tolist()
    numbers = torch.rand(draws, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with model.drawing_from(Handed([numbers])):
        z = model.train()(prepared.expand(draws, -1)).detach()
    variance = 25.0 * (1.0 - (exact / 5.0) ** 2) / 50
    assert abs(float(z.mean()) - exact) < 4.5 * np.sqrt(variance / draws)
    assert float(z.var()) == pytest.approx(variance, rel=0.12)


def test_what_is_out_of_reach_is_refused_with_the_size() -> None:
    fields: dict[str, Any] = {"encoding": "angle", "depth": 6, "reupload": 2, "entangler": "ring"}
    with pytest.raises(
        ConfigError, match=r"has 10 of 10 qubits\. With noise and data re-uploading .* 4\^10 = 1,048,576"
    ):
        PennyLaneQNN(**fields, noise=NOISES[0]).build(features(10))
    with pytest.raises(ConfigError, match="sum of Pauli words, noise and data re-uploading"):
        built(NOISES[0], shots=10, observable="mean_Z")
    with pytest.raises(ConfigError, match='gradient = "parameter-shift" needs'):
        built(NOISES[0], shots=10, gradient="parameter-shift")
