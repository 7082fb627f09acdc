"""Shots of sums of Pauli words: one measurement where they commute qubit by qubit, else the groups of PennyLane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
import pytest
import scipy.stats
import torch

from qlab import Features, PennyLaneQNN
from qlab.circuits.observables import PauliSum
from qlab.circuits.outcomes import Group, Outcomes
from qlab.circuits.sampling import sampled_sums
from qlab.errors import ConfigError
from qlab.models.chance import Handed
from qlab.noise import AmplitudeDamping, DepolarizingChannel, ReadoutError
from tests.support.circuits import on_qubits, random_states

N = 3


class Correlated(PennyLaneQNN):
    """Words with common letters, which commute qubit by qubit, and an identity."""

    def observable(self) -> Any:
        return 0.5 * qml.X(0) @ qml.Y(1) - 0.3 * qml.Y(1) + 0.7 * qml.X(0) @ qml.Z(2) + 0.2 * qml.Identity(0)


class Apart(PennyLaneQNN):
    """Words that take two measurements."""

    def observable(self) -> Any:
        return 0.5 * qml.Z(0) @ qml.Z(1) + 0.4 * qml.X(1) + 0.3 * qml.X(2) - 0.2 * qml.Z(0)


def built(cls: type = PennyLaneQNN, **fields: Any) -> Any:
    return on_qubits(N, cls(depth=2, **fields))


def rows(n: int = 2) -> torch.Tensor:
    return random_states(n, N)


NOISE = (DepolarizingChannel(p=0.02), AmplitudeDamping(gamma=0.1, after=2))
READ = (ReadoutError(p=(0.1, 0.0, 0.2), p1=0.3), ReadoutError(p=0.05, wires=(1,)))


def by_hand(model: Any, terms: list[tuple[float, dict[int, str]]], read: bool) -> tuple[float, float]:
    """Mean and variance of one measurement of some words, from all outcomes of PennyLane's density matrix."""
    letters = {wire: letter for _, word in terms for wire, letter in word.items()}
    trained = model.circuit()

    @qml.qnode(qml.device("default.mixed", wires=N))
    def probabilities() -> Any:
        trained._queue(rows(1)[0].numpy())
        for wire, letter in letters.items():
            if letter == "Y":
                qml.adjoint(qml.S(wire))
            if letter in "XY":
                qml.Hadamard(wire)
        return qml.probs(wires=range(N))

    p = np.asarray(probabilities()).reshape([2] * N)
    if read:
        for wire, (one, other) in enumerate([(0.1, 0.3), (0.0, 0.3), (0.2, 0.3)]):
            flips = np.array([[1 - one, other], [one, 1 - other]])
            flips = flips @ np.array([[0.95, 0.05], [0.05, 0.95]]) if wire == 1 else flips  # the last acts first
            p = np.moveaxis(np.tensordot(flips, p, axes=(1, wire)), 0, wire)
    sign = [np.array([1.0, -1.0]).reshape([2 if at == wire else 1 for at in range(N)]) for wire in range(N)]
    sums = sum(
        c * np.prod(np.stack(np.broadcast_arrays(np.ones(p.shape), *(sign[w] for w in word))), axis=0)
        for c, word in terms
    )
    mean = float((p * sums).sum())
    return mean, float((p * sums**2).sum()) - mean**2


MEAN_Z = [(1 / N, {wire: "Z"}) for wire in range(N)]
CORRELATED = [(0.5, {0: "X", 1: "Y"}), (-0.3, {1: "Y"}), (0.7, {0: "X", 2: "Z"})]
CASES: list[Any] = [
    (PennyLaneQNN, {"observable": "mean_Z"}, [MEAN_Z], 0.0),
    (Correlated, {}, [CORRELATED], 0.2),
    (Apart, {}, [[(0.5, {0: "Z", 1: "Z"}), (-0.2, {0: "Z"}), (0.3, {2: "X"})], [(0.4, {1: "X"})]], 0.0),
]


@pytest.mark.parametrize("noise", [(), NOISE, READ, (*NOISE, *READ)], ids=["none", "channels", "readout", "both"])
@pytest.mark.parametrize(("cls", "fields", "groups", "offset"), CASES, ids=["mean_Z", "correlated", "apart"])
def test_mean_and_variance_are_those_of_the_joint_outcomes(
    cls: type, fields: dict[str, Any], groups: Any, offset: float, noise: Any
) -> None:
    shots, draws = 20, 4000
    model = built(cls, shots=shots, noise=noise, **fields)
    read = any(isinstance(channel, ReadoutError) for channel in noise)
    if cls is Apart:  # the groups are PennyLane's: how it shares X2 among them is its choice
        groups = [
            [(c, dict(word)) for c, word in model._measured.terms if set(word) <= set(group.letters)]
            for group in Outcomes.of(model._measured, lambda *_: (1.0, 0.0)).groups
        ]
        assert sum(map(len, groups)) == 4
    expected = [by_hand(model, group, read) for group in groups]
    mean, variance = 5.0 * (sum(m for m, _ in expected) + offset), 25.0 * sum(v for _, v in expected) / shots
    prepared = model.prepare(rows(1))
    exact = model(prepared).detach()
    torch.testing.assert_close(exact, torch.tensor([mean], dtype=torch.float64), atol=1e-10, rtol=0)
    torch.testing.assert_close(
        exact,
        built(cls, noise=noise, **fields)(built(cls, noise=noise, **fields).prepare(rows(1))).detach(),
        atol=1e-10,
        rtol=0,
    )
    numbers = torch.rand(
        draws, sum(size - 1 for size in model.engine.sizes), generator=torch.Generator().manual_seed(1)
    )
    with model.drawing_from(Handed([numbers.double()])):
        z = model.train()(prepared.expand(draws, *prepared.shape[1:])).detach()
    model.eval()
    assert abs(float(z.mean()) - mean) < 4.5 * np.sqrt(variance / draws)
    assert float(z.var()) == pytest.approx(variance, rel=0.12)


def test_counts_are_multinomial() -> None:
    """Each count on its own is binomial, and the last is what is left."""
    p, shots, draws = torch.tensor([0.2, 0.0, 0.5, 0.3], dtype=torch.float64), 9, 30_000
    uniforms = torch.rand(draws, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sums = sampled_sums(p.expand(draws, 4), uniforms, torch.tensor([1.0, 20.0, 400.0, 8000.0]).double(), [4], shots)
    left = (sums * shots).round().long()
    for place, worth in reversed(list(enumerate((1, 20, 400, 8000)))):
        count, left = left // worth, left % worth
        found = np.bincount(count.numpy(), minlength=shots + 1) / draws
        np.testing.assert_allclose(found, scipy.stats.binom.pmf(np.arange(shots + 1), shots, p[place]), atol=0.012)


def test_groups_are_as_many_as_pennylane_measures() -> None:
    """A sum that is not measured in one basis costs as many circuits as PennyLane's transform makes."""
    operators = [
        qml.Z(0) + qml.Z(1) + qml.X(2),
        Apart().observable(),
        qml.X(0) @ qml.X(1) + qml.Y(0) @ qml.Y(1) + qml.Z(0) @ qml.Z(1) + 0.5 * qml.Z(0) + qml.Y(2),
    ]
    for operator in operators:
        terms = tuple(
            (float(c), tuple(sorted((int(w), str(p)) for w, p in word.items())))
            for word, c in operator.pauli_rep.items()
        )
        found = Outcomes.of(PauliSum(terms), lambda wire, letter: (1.0, 0.0))
        tapes, _ = qml.transforms.split_non_commuting(
            qml.tape.QuantumScript([], [qml.expval(operator)]), grouping_strategy="qwc"
        )
        assert len(found.groups) == len(tapes)


def test_parameter_shift_samples_sums_too() -> None:
    shots, draws = 20, 600
    model = built(observable="mean_Z", shots=shots, gradient="parameter-shift", noise=NOISE)
    used = model.get_buffer("_shifted")
    prepared, flat = model.prepare(rows(1)), model.flat_weights().detach()
    [z] = model(prepared)
    exact = torch.cat([part.reshape(-1) for part in torch.autograd.grad(z, list(model.parameters()))])
    numbers = torch.rand(draws, 2 * len(used) + 1, N, generator=torch.Generator().manual_seed(3))
    with model.drawing_from(Handed([numbers.double()])):
        z = model.train()(prepared.expand(draws, -1))
    found = [torch.autograd.grad(one, list(model.parameters()), retain_graph=True) for one in z]
    gradients = torch.stack([torch.cat([part.reshape(-1) for part in each]) for each in found])
    for place in used[:4].tolist():
        step = torch.zeros_like(flat)
        step[place] = torch.pi / 2
        spread = 0.0
        for sign in (1, -1):
            p, v = model.engine.outcomes(flat + sign * step, prepared)[0].detach(), model.engine.values
            spread += float((p * v**2).sum() - (p * v).sum() ** 2)
        variance = 25.0 * spread / (4.0 * shots)
        assert abs(float(gradients[:, place].mean() - exact[place])) < 5.0 * np.sqrt(variance / draws)
        assert float(gradients[:, place].var()) == pytest.approx(variance, rel=0.35)


def test_angles_and_uploads_have_joint_outcomes() -> None:
    features = Features(N, False, torch.ones(N, dtype=torch.bool))
    x = torch.rand(4, N, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for reupload in (0, 2):
        fields: dict[str, Any] = {"encoding": "angle", "depth": 2, "reupload": reupload, "observable": "mean_Z"}
        one, other = (PennyLaneQNN(**fields, shots=shots).build(features) for shots in ("exact", 10))
        one.reset_parameters(torch.Generator().manual_seed(5))
        other.load_state_dict(one.state_dict())
        torch.testing.assert_close(other(other.prepare(x)), one(one.prepare(x)), atol=1e-12, rtol=0)
        assert other.engine.outcomes(other.flat_weights(), other.prepare(x)).sum(1).tolist() == pytest.approx([1.0] * 4)


def test_sums_that_cannot_be_sampled() -> None:
    with pytest.raises(ConfigError, match="observable of 3 Pauli words, whose outcomes are correlated; on device = "):
        built(observable="mean_Z", shots=10, device="default.qubit")
    model = PennyLaneQNN(entangler="ring", observable="mean_Z", shots=10, gradient="parameter-shift")
    with pytest.raises(ConfigError, match='gradient = "parameter-shift" needs device = "lightcone"'):
        model.build(Features(2**5, True, torch.ones(2**5, dtype=torch.bool)))


def test_supports_that_are_too_large_are_refused_with_the_size() -> None:
    with pytest.raises(ConfigError, match=r"has 2\^21 outcomes, on 21 qubits; accepts at most 20"):
        Group.of([(1.0, ((wire, "Z"),)) for wire in range(21)])
    with pytest.raises(ConfigError, match=r"gives 2,048 different sums; accepts at most 1,024"):
        Group.of([(2.0**wire, ((wire, "Z"),)) for wire in range(11)])
    model = PennyLaneQNN(depth=4, entangler="ring", observable="mean_Z", shots=10, noise=NOISE)
    with pytest.raises(
        ConfigError, match=r"11 outcomes\. Under noise .* light cone of 10 of 10 qubits, with 11 \* 4\^10"
    ):
        model.build(Features(2**10, True, torch.ones(2**10, dtype=torch.bool)))
