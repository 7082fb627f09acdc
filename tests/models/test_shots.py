"""Expectation values and gradients from shots: their distribution, and whose numbers they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from qlab import XXZ, Features, LabelFlip, Member, PennyLaneQNN, Trainer
from qlab.circuits.sampling import sampled
from qlab.errors import ConfigError
from qlab.models.chance import Handed
from qlab.noise import DepolarizingChannel, ReadoutError
from tests.support.circuits import on_qubits, random_states

N = 3


def built(**fields: Any) -> PennyLaneQNN:
    return on_qubits(N, PennyLaneQNN(depth=2, **fields))


def rows(n: int = 2) -> torch.Tensor:
    return random_states(n, N)


@pytest.mark.parametrize("shots", [1, 7, 1000])
@pytest.mark.parametrize("mean", [-1.0, -0.3, 0.9, 1.0])
def test_outcomes_are_binomial(shots: int, mean: float) -> None:
    """All quantiles: each count has as large a part of [0, 1) as its probability."""
    n = 20_000
    uniforms = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    counts = ((sampled(torch.full((n,), mean, dtype=torch.float64), uniforms, shots) + 1.0) * shots / 2.0).round()
    found = np.bincount(counts.long().numpy(), minlength=shots + 1) / n
    np.testing.assert_allclose(found, scipy.stats.binom.pmf(np.arange(shots + 1), shots, (1 + mean) / 2), atol=1.1 / n)
    assert float(sampled(torch.tensor(mean), torch.tensor(0.0), shots)) >= -1.0


def gradient_of(z: torch.Tensor, model: PennyLaneQNN) -> np.ndarray:
    found = torch.autograd.grad(z, list(model.parameters()), retain_graph=True)
    return torch.cat([part.reshape(-1) for part in found]).numpy()


def drawn(model: PennyLaneQNN, width: tuple[int, ...], draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``[draws]`` of one row, and the gradients of the first 600."""
    prepared = model.prepare(rows(1)).expand(draws, -1)
    numbers = torch.rand(draws, *width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with model.drawing_from(Handed([numbers])):
        z = model.train()(prepared)
    model.eval()
    return z.detach().numpy(), np.stack([gradient_of(one, model) for one in z[:600]])


def exact(model: PennyLaneQNN) -> tuple[float, np.ndarray]:
    [z] = model(model.prepare(rows(1)))
    return float(z.detach()), gradient_of(z, model)


def test_logits_have_mean_and_variance_of_theory_and_the_exact_gradient() -> None:
    """Var z = scale^2 (1 - <O>^2) / shots, under noise and readout errors too."""
    shots, draws = 50, 4000
    model = built(shots=shots, noise=(DepolarizingChannel(p=0.02), ReadoutError(p=0.1, p1=0.3)))
    expected, gradient = exact(model)
    logits, gradients = drawn(model, (), draws)
    variance = 25.0 * (1.0 - (expected / 5.0) ** 2) / shots
    assert abs(logits.mean() - expected) < 4.0 * np.sqrt(variance / draws)
    assert logits.var() == pytest.approx(variance, rel=0.1)
    np.testing.assert_allclose(gradients, np.broadcast_to(gradient, gradients.shape), atol=1e-12)


def test_parameter_shift_samples_the_gradient() -> None:
    """Each shifted expectation value has shots of its own: mean, variance, and weights outside the cone at zero."""
    shots, draws = 20, 600
    model = built(shots=shots, gradient="parameter-shift")
    used = model.get_buffer("_shifted")
    expected, gradient = exact(model)
    logits, gradients = drawn(model, (2 * len(used) + 1,), draws)
    flat = model.flat_weights().detach()
    assert abs(logits.mean() - expected) < 4.0 * np.sqrt(25.0 * (1.0 - (expected / 5.0) ** 2) / shots / draws)
    outside = np.setdiff1d(np.arange(len(flat)), used.numpy())
    assert len(outside)
    assert not gradients[:, outside].any()
    for place in used.tolist():
        # Var = scale^2 (2 - m_+^2 - m_-^2) / (4 shots).
        step = torch.zeros_like(flat)
        step[place] = torch.pi / 2
        with torch.no_grad():
            above, below = (float(model.engine(flat + sign * step, model.prepare(rows(1)))) for sign in (1, -1))
        assert 5.0 * (above - below) / 2.0 == pytest.approx(gradient[place], abs=1e-12)
        variance = 25.0 * (2.0 - above**2 - below**2) / (4.0 * shots)
        assert abs(gradients[:, place].mean() - gradient[place]) < 5.0 * np.sqrt(variance / draws) + 1e-12
        assert gradients[:, place].var() == pytest.approx(variance, rel=0.35)


def test_states_of_other_norms_are_sampled_as_those_of_one() -> None:
    model, x = built(shots=100), rows()
    with model.drawing_from(Handed([torch.full((2,), 0.7, dtype=torch.float64)])):
        one = model.train()(model.prepare(x)).detach()
    with model.drawing_from(Handed([torch.full((2,), 0.7, dtype=torch.float64)])):
        other = model(model.prepare(3.0 * x)).detach()
    torch.testing.assert_close(other, 9.0 * one)


@pytest.mark.parametrize("gradient", ["exact", "parameter-shift"])
def test_a_trial_draws_the_same_alone_and_in_an_ensemble(gradient: str) -> None:
    task = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
    data = task.load()
    model = PennyLaneQNN(depth=2, shots=10, gradient=gradient)
    members = [Member.of(task, data, LabelFlip(ratio=0.2), seed) for seed in range(2)]

    def trained(some: list[Member]) -> Any:
        return Trainer(epochs=2, batch_size=4).fit(model.build(Features.of(data)), some, data.validation)

    together, alone = trained(members), trained(members[1:])
    for name, value in alone.parameters.items():
        torch.testing.assert_close(together.parameters[name][1], value[0], atol=1e-9, rtol=0)
    bare = Trainer(epochs=2, batch_size=4).fit(
        PennyLaneQNN(depth=2).build(Features.of(data)), members[1:], data.validation
    )
    assert not torch.allclose(bare.parameters["rotations"][0], alone.parameters["rotations"][0], atol=1e-6)


def test_evaluation_is_exact_and_deterministic() -> None:
    model, bare = built(shots=5), built()
    x = model.prepare(rows())
    assert torch.equal(model(x), model(x))
    torch.testing.assert_close(model(x), bare(x))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shots": 0}, "shots: got 0, accepts an integer in [1, 1e+12]"),
        ({"shots": 10**17}, "shots: got 100000000000000000, accepts an integer in [1, 1e+12]"),
        ({"evaluate_shots": 0}, "evaluate_shots: got 0, accepts an integer in [1, 1e+12]"),
        ({"evaluate_shots": 10, "gradient": "parameter-shift"}, 'gradient = "parameter-shift" belongs to shots'),
        ({"gradient": "parameter-shift"}, 'gradient = "parameter-shift" belongs to shots'),
        ({"shots": 10, "gradient": "parameter-shift", "device": "default.qubit"}, 'needs device = "lightcone"'),
    ],
)
def test_shots_that_make_no_sense(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(**fields)
    assert said in str(caught.value)
