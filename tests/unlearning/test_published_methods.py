"""Each published method against a loop of a few lines, written from its formula."""

from __future__ import annotations

import functools

import pytest
import torch
from support.unlearned import Polluted, flat

from qlab import seeding
from qlab.errors import ConfigError
from qlab.models import MLP, PauliLinear, PennyLaneQNN, RandomQNN
from qlab.unlearning import (
    SSD,
    BadTeacher,
    CFk,
    EUk,
    FisherForgetting,
    L1Sparse,
    NewtonStep,
    NoisyFinetune,
    RandomLabels,
    Relabel,
    SalUn,
)
from qlab.unlearning.changed import check_method

MLP_, QNN = MLP(hidden=(6, 3), dtype="float64", activation="tanh"), PennyLaneQNN(depth=2)
STEPS, RATE = 3, 0.05


@pytest.fixture(scope="module")
def polluted(small_task, small_data):
    return functools.cache(lambda model: Polluted(model, small_task, small_data))


every_model = pytest.mark.parametrize("model", [MLP_, QNN], ids=["MLP", "QNN"])


def noisy(method, one):
    def loss(theta, step):
        return one.mean(theta, one.retain) + method.noise * (one.randn() * theta).sum()

    return one.descend(loss, STEPS, RATE, method.optimizer)


def sparse(method, one):
    def loss(theta, step):
        return one.mean(theta, one.retain) + method.gamma * (1 - (step - 1) / STEPS) * theta.abs().sum()

    return one.descend(loss, STEPS, RATE)


def new_labels(method, one):
    y = one.forget[1]
    if method.labels == "complement":
        return 1 - y
    return (torch.rand(len(y), generator=one.draw, dtype=torch.float64) < 0.5).double()


def random_labels(method, one, mask=None):
    def loss(theta, step):
        other = (one.forget[0], new_labels(method, one))
        return one.mean(theta, one.retain) + method.weight * one.mean(theta, other)

    return one.descend(loss, STEPS, RATE, mask=mask)


def salun(method, one):
    slope = one.gradient(one.teacher, one.forget).abs()
    smallest = slope.sort(descending=True).values[round(method.share * len(slope)) - 1]
    return random_labels(method, one, (slope >= smallest).double())


def relabel(method, one):
    def loss(theta, step):
        return one.mean(theta, one.retain) + method.weight * one.mean(theta, one.clean)

    return one.descend(loss, STEPS, RATE)


def last_layers(method, one):
    layers = list(one.model.parameter_layers().values())[-method.k :]
    mask = torch.zeros(len(one.teacher), dtype=torch.float64)
    mask[torch.cat([places.flatten() for places in layers])] = 1.0
    start = one.teacher
    if method.start_fresh:
        one.model.reset_parameters(seeding.generator(one.seed, "unlearning"))
        drawn = torch.cat([value.detach().flatten() for value in one.model.parameters()])
        start = torch.where(mask > 0, drawn, start)
    return one.descend(lambda theta, step: one.mean(theta, one.retain), STEPS, RATE, start=start, mask=mask)


def bad_teacher(method, one):
    one.model.reset_parameters(seeding.generator(one.seed, "unlearning-untrained"))
    drawn = torch.cat([value.detach().flatten() for value in one.model.parameters()])
    sets = [(one.retain[0], one.teacher), (one.forget[0], drawn)]

    def loss(theta, step):
        rows = []
        for x, teacher in sets:
            q, p = (torch.sigmoid(one.logits(point, x) / method.temperature) for point in (teacher, theta))
            rows.append(q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log())
        return torch.cat(rows).mean()

    return one.descend(loss, STEPS, RATE)


def dampened(method, one):
    theta, n_f, n_r = one.teacher.clone(), len(one.forget[1]), len(one.retain[1])
    forget, others = one.fisher(theta, one.forget), one.fisher(theta, one.retain)
    if method.against == "all":
        everything = tuple(torch.cat(parts) for parts in zip(one.retain, one.forget, strict=True))
        assert len(everything[1]) == n_f + n_r
        others = one.fisher(theta, everything)
    for i in range(len(theta)):
        if forget[i] > method.alpha * others[i]:
            theta[i] *= min(method.dampening * others[i] / forget[i], 1.0)
    return theta


def fisher_noise(method, one):
    fisher = one.fisher(one.teacher, one.retain)
    return one.teacher + method.noise * one.randn() / (fisher + method.floor) ** 0.25


def newton(method, one):
    theta = one.teacher
    for _ in range(method.steps):
        curved = torch.autograd.functional.hessian(lambda point: one.mean(point, one.retain), theta)
        lowest = float(torch.linalg.eigvalsh(curved)[0])
        curved += (max(0.0, -lowest - method.damping / 2) + method.damping) * torch.eye(len(theta), dtype=torch.float64)
        theta = theta - torch.linalg.solve(curved, one.gradient(theta, one.retain))
    return theta + method.noise * one.randn() if method.noise else theta


COMMON = {"steps": STEPS, "learning_rate": RATE}
CASES = {
    "noisy fine-tuning": (NoisyFinetune(noise=0.1, **COMMON), noisy),
    "noisy gradient descent": (NoisyFinetune(noise=0.1, optimizer="SGD", **COMMON), noisy),
    "l1-sparse": (L1Sparse(gamma=0.02, **COMMON), sparse),
    "random labels": (RandomLabels(weight=0.7, **COMMON), random_labels),
    "complement labels": (RandomLabels(labels="complement", **COMMON), random_labels),
    "SalUn": (SalUn(share=0.1, weight=0.7, **COMMON), salun),
    "SalUn, all parameters": (SalUn(share=1.0, labels="complement", **COMMON), salun),
    "relabelling": (Relabel(weight=0.7, **COMMON), relabel),
    "CF-k": (CFk(**COMMON), last_layers),
    "EU-k": (EUk(**COMMON), last_layers),
    "bad teacher": (BadTeacher(temperature=1.5, **COMMON), bad_teacher),
    "SSD": (SSD(alpha=0.9, dampening=0.5), dampened),
    "SSD against the retain set": (SSD(alpha=0.5, dampening=0.4, against="retain"), dampened),
    "Fisher forgetting": (FisherForgetting(noise=0.02, floor=1e-3), fisher_noise),
    "Newton step": (NewtonStep(damping=0.3), newton),
    "Newton steps with noise": (NewtonStep(steps=2, damping=0.3, noise=0.1), newton),
}


@every_model
@pytest.mark.parametrize(("method", "loop"), CASES.values(), ids=CASES.keys())
def test_a_method_does_what_a_loop_does(polluted, model, method, loop):
    case = polluted(model)
    found = case.unlearn(method)
    assert found.failures == {}
    for row in range(3):
        one = case.alone(row)
        expected = loop(method, one)
        torch.testing.assert_close(flat(found, row), expected, atol=1e-7, rtol=0)
        assert float((expected - one.teacher).abs().max()) > 1e-4


@every_model
@pytest.mark.parametrize("method", [method for method, _ in CASES.values()], ids=CASES.keys())
def test_a_member_is_the_same_alone(polluted, model, method):
    case = polluted(model)
    together, backwards = case.unlearn(method), case.unlearn(method, 2, 1, 0)
    torch.testing.assert_close(flat(case.unlearn(method, 1), 0), flat(together, 1), atol=1e-7, rtol=0)
    for row in range(3):
        torch.testing.assert_close(flat(backwards, 2 - row), flat(together, row), atol=1e-7, rtol=0)


def test_salun_changes_as_many_parameters_as_it_says(polluted):
    case = polluted(MLP_)
    found = case.unlearn(SalUn(share=0.1, **COMMON))
    for row in range(3):
        moved = flat(found, row) != case.alone(row).teacher
        assert int(moved.sum()) == round(0.1 * len(moved))


def test_ssd_chooses_nothing_where_more_rows_are_forgotten_than_alpha_allows(polluted):
    case = polluted(MLP_)
    found = case.unlearn(SSD(alpha=2.0))  # half of the rows are forgotten
    for row in range(3):
        assert torch.equal(flat(found, row), case.alone(row).teacher)


def test_random_labels_are_others_in_each_step(polluted):
    case = polluted(MLP_)
    one = case.alone(0)
    draws = [new_labels(RandomLabels(), one) for _ in range(20)]
    assert len({tuple(draw.tolist()) for draw in draws}) > 15
    assert 0.3 < float(torch.stack(draws).mean()) < 0.7


@pytest.mark.parametrize("cls", [CFk, EUk])
@pytest.mark.parametrize(
    ("model", "k", "message"),
    [
        (PauliLinear(sites=2), 1, "PauliLinear has no layers one after the other.*Finetune"),
        (RandomQNN(depth=2), 1, "RandomQNN has no layers"),
        (MLP_, 3, r"k: got 3, and MLP has 3 layers \(layer 1, layer 2, layer 3\).*fewer"),
        (QNN, 2, r"k: got 2, and PennyLaneQNN has 2 layers \(row 1, row 2\)"),
        (PennyLaneQNN(depth=1), 2, r"k: got 2, and PennyLaneQNN has 1 layer \(row 1\)"),
    ],
    ids=["PauliLinear", "RandomQNN", "MLP", "QNN", "one row"],
)
def test_methods_of_layers_refuse_models_without(polluted, cls, model, k, message):
    method = cls(k=k)
    for refuse in (
        lambda: check_method(method, polluted(model).trained.model),
        lambda: polluted(model).unlearn(method),
    ):
        with pytest.raises(ConfigError, match=rf"{cls.__name__}: .*{message}"):
            refuse()


@pytest.mark.parametrize("cls", [NewtonStep, SSD, FisherForgetting])
@pytest.mark.parametrize("given", [{"learning_rate": 0.1}, {"optimizer": "SGD"}, {"batch_size": 4}])
def test_settings_without_meaning_are_refused(cls, given):
    [name] = given
    with pytest.raises(ConfigError, match=rf"{cls.__name__}: {name}: got .*does nothing"):
        cls(**given)
    assert cls(learning_rate=0.01, optimizer="Adam", batch_size=0) == cls()
