"""Unlearning on the ensemble axis does what an ordinary loop does for each model alone."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from support.models import HalfFrozen, Looped
from support.unlearned import SEEDS, Polluted
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from qlab import seeding
from qlab.corruptions import Corrupted, Corruption, FeatureRandomization, LabelFlip, NoCorruption
from qlab.errors import DataError
from qlab.models import MLP, Features, Model, PennyLaneQNN
from qlab.tasks import Split
from qlab.training import Member, Trainer
from qlab.training.data import prepare
from qlab.unlearning import (
    NPO,
    AlternatingScrub,
    Finetune,
    GradientAscent,
    PureAscent,
    Retrain,
    Scrub,
    Unlearner,
    cross_entropy,
)
from qlab.unlearning.engine import LossError, Partition, Unlearned, unlearn

METRICS = {
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "retain_loss",
    "retain_accuracy",
    "forget_accuracy_polluted",
    "forget_accuracy_clean",
}

FLIPS, NOISE = LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)
DOUBLE_MLP, QNN = MLP(hidden=(6, 3), dtype="float64"), PennyLaneQNN(depth=2)
LOOPED = Looped(hidden=(6, 3), dtype="float64")


@pytest.fixture(scope="session")
def polluted(small_task, small_data):
    @functools.cache
    def make(model: Model, corruption: Corruption) -> Polluted:
        return Polluted(model, small_task, small_data, corruption=corruption)

    return make


CASES = [
    pytest.param(DOUBLE_MLP, FLIPS, id="MLP, label flips"),
    pytest.param(DOUBLE_MLP, NOISE, id="MLP, random features"),
    pytest.param(QNN, FLIPS, id="QNN, label flips"),
    pytest.param(QNN, NOISE, id="QNN, random features"),
]

METHODS = {
    "Retrain": Retrain(steps=4, learning_rate=0.05),
    "Finetune": Finetune(steps=4, learning_rate=0.05),
    "Finetune in mini-batches": Finetune(steps=3, learning_rate=0.05, batch_size=3),
    "GradientAscent": GradientAscent(steps=4, learning_rate=0.05, beta=0.5),
    "PureAscent": PureAscent(steps=4, learning_rate=0.05),
    "NPO": NPO(steps=4, learning_rate=0.05, beta=0.5),
    "Scrub": Scrub(steps=4, learning_rate=0.05, lambda_kl=0.5),
    "AlternatingScrub": AlternatingScrub(steps=4, learning_rate=0.05, max_steps=3),
    "SGD": Scrub(steps=4, learning_rate=0.05, optimizer="SGD"),
}


def assert_same(found: Unlearned, row: int, expected: Unlearned, expected_row: int, tolerance: float = 1e-9) -> None:
    assert found.history.keys() == expected.history.keys()
    for name, values in found.history.items():
        np.testing.assert_allclose(
            values[row], expected.history[name][expected_row], atol=tolerance, rtol=0, err_msg=name
        )
    for name, values in found.parameters.items():
        # Adam divides by the size of the gradient, so rounding shows most where gradients vanish.
        difference = (values[row] - expected.parameters[name][expected_row]).abs()
        assert float(difference.max()) <= max(tolerance, 1e-6), name
    torch.testing.assert_close(found.logits[row], expected.logits[expected_row], atol=10 * tolerance, rtol=0)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize(("model", "corruption"), CASES)
def test_a_member_is_the_same_alone_and_in_an_ensemble(polluted, model, corruption, method):
    case = polluted(model, corruption)
    together, backwards = case.unlearn(method), case.unlearn(method, 2, 1, 0)
    for row in (0, 2):
        alone = case.unlearn(method, row)
        assert_same(together, row, alone, 0)
        assert_same(backwards, 2 - row, alone, 0)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_a_member_in_single_precision_is_the_same_alone_and_in_an_ensemble(polluted, method):
    case = polluted(MLP(hidden=(6, 3)), FLIPS)
    together = case.unlearn(method)
    for row in range(3):
        assert_same(together, row, case.unlearn(method, row), 0, tolerance=2e-4)


def retain_loss(student, teacher, rows, step):
    return binary_cross_entropy_with_logits(student(rows["retain_x"]), rows["retain_y"])


def forget_loss(student, teacher, rows, step):
    return binary_cross_entropy_with_logits(student(rows["forget_x"]), rows["forget_y"])


def divergence(student, teacher, x):
    with torch.no_grad():
        q = teacher(x).sigmoid()
    p = student(x).sigmoid()
    return (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()


def npo_term(student, teacher, rows, beta):
    sign = 2.0 * rows["forget_y"] - 1.0
    with torch.no_grad():
        before = logsigmoid(sign * teacher(rows["forget_x"])).exp()
    after = logsigmoid(sign * student(rows["forget_x"])).exp()
    return 2.0 / beta * (1.0 + (after / before) ** beta).log().mean()


def alternating(student, teacher, rows, step):
    if step in (1, 3):
        return -divergence(student, teacher, rows["forget_x"])
    return 0.5 * divergence(student, teacher, rows["retain_x"]) + retain_loss(student, teacher, rows, step)


def scrub(student, teacher, rows, step):
    return (
        retain_loss(student, teacher, rows, step)
        + 0.5 * divergence(student, teacher, rows["retain_x"])
        - 0.2 * divergence(student, teacher, rows["forget_x"])
    )


BY_HAND = {
    "Retrain": retain_loss,
    "Finetune": retain_loss,
    "GradientAscent": lambda *given: retain_loss(*given) - 0.5 * forget_loss(*given),
    "PureAscent": lambda *given: -forget_loss(*given),
    "NPO": lambda student, teacher, rows, step: (
        retain_loss(student, teacher, rows, step) + npo_term(student, teacher, rows, 0.5)
    ),
    "Scrub": scrub,
    "AlternatingScrub": alternating,
    "SGD": lambda student, teacher, rows, step: (
        retain_loss(student, teacher, rows, step) - 0.2 * divergence(student, teacher, rows["forget_x"])
    ),
}


def measure(student, rows):
    """Accuracies and losses of one module, row by row in Python."""

    def accuracy(x, y):
        return sum((z > 0) == bool(label) for z, label in zip(student(x).tolist(), y.tolist(), strict=True)) / len(y)

    def loss(x, y):
        chances = [1.0 / (1.0 + math.exp(-z)) for z in student(x).tolist()]
        return -sum(math.log(p if label else 1 - p) for p, label in zip(chances, y.tolist(), strict=True)) / len(y)

    with torch.no_grad():
        found = {
            f"{name}_{what.__name__}": what(rows[f"{name}_x"], rows[f"{name}_y"])
            for name in ("train", "validation", "retain")
            for what in (accuracy, loss)
        }
        return found | {
            "forget_accuracy_polluted": accuracy(rows["forget_x"], rows["forget_y"]),
            "forget_accuracy_clean": accuracy(rows["forget_x"], rows["clean_y"]),
        }


def by_hand(case: Polluted, row: int, unlearner: Unlearner, loss) -> tuple[list[dict[str, float]], Model]:
    """The method as an ordinary loop over one module with torch's optimizers."""
    corrupted, validation = case.members[row].corrupted, case.dataset.validation
    teacher, student = case.trained.model_of(row), case.trained.model_of(row)
    if unlearner.start_fresh:
        student.reset_parameters(seeding.generator(case.members[row].seed, "unlearning"))
    forget, x, y = corrupted.mask, corrupted.split.x, corrupted.split.y.to(student.dtype)
    rows = {
        "train_x": student.prepare(x),
        "train_y": y,
        "validation_x": student.prepare(validation.x),
        "validation_y": validation.y,
        "retain_x": student.prepare(x[~forget]),
        "retain_y": y[~forget],
        "forget_x": student.prepare(x[forget]),
        "forget_y": y[forget],
        "clean_y": corrupted.clean_y[forget],
    }
    optimizer = getattr(torch.optim, unlearner.optimizer)(student.parameters(), lr=unlearner.learning_rate)
    history = [measure(student, rows)]
    for step in range(1, unlearner.steps + 1):
        optimizer.zero_grad()
        loss(student, teacher, rows, step).backward()
        optimizer.step()
        history.append(measure(student, rows))
    return history, student


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize(("model", "corruption"), CASES)
def test_a_method_does_what_an_ordinary_loop_does(polluted, model, corruption, name):
    case, method = polluted(model, corruption), METHODS[name]
    found = case.unlearn(method)
    assert found.failures == {}
    for row in (0, 2):
        history, student = by_hand(case, row, method, BY_HAND[name])
        assert history[0].keys() == METRICS == found.history.keys()
        for metric in METRICS:
            expected = [values[metric] for values in history]
            np.testing.assert_allclose(found.history[metric][row], expected, atol=1e-8, rtol=0, err_msg=metric)
        for parameter, value in student.named_parameters():
            assert float((found.parameters[parameter][row] - value.detach()).abs().max()) <= 1e-6


def test_mini_batches_of_an_ordinary_loop(polluted):
    case, method = polluted(DOUBLE_MLP, FLIPS), METHODS["Finetune in mini-batches"]
    found = case.unlearn(method)
    for row, seed in enumerate(SEEDS):
        corrupted = case.members[row].corrupted
        student = case.trained.model_of(row)
        x, y = student.prepare(corrupted.split.x[~corrupted.mask]), corrupted.split.y[~corrupted.mask].double()
        optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
        generator = seeding.generator(seed, "unlearning-batches")
        for _ in range(3):
            for batch in torch.randperm(8, generator=generator).split(3):
                optimizer.zero_grad()
                binary_cross_entropy_with_logits(student(x[batch]), y[batch]).backward()
                optimizer.step()
        for parameter, value in student.named_parameters():
            assert float((found.parameters[parameter][row] - value.detach()).abs().max()) <= 1e-6


@pytest.mark.parametrize("model", [DOUBLE_MLP, QNN], ids=["MLP", "QNN"])
def test_step_zero_is_the_teacher(polluted, model):
    case = polluted(model, FLIPS)
    found = case.unlearn(Finetune(steps=2))
    assert {values.shape for values in found.history.values()} == {(3, 3)}
    for name, values in case.trained.history.items():
        np.testing.assert_allclose(found.history[name][:, 0], values[:, -1], atol=1e-12, rtol=0, err_msg=name)


def test_a_fresh_start_has_nothing_to_do_with_the_teacher(polluted):
    case = polluted(DOUBLE_MLP, FLIPS)
    found = case.unlearn(Retrain(steps=2))
    assert not np.allclose(found.history["train_loss"][:, 0], case.trained.history["train_loss"][:, -1])
    nothing = {name: torch.zeros_like(value) for name, value in case.trained.parameters.items()}
    again = unlearn(Retrain(steps=2), case.trained.model, nothing, case.data, SEEDS)
    for row in range(3):
        assert_same(again, row, found, row, tolerance=0.0)


def test_fresh_parameters_differ_between_seeds_and_from_those_the_teacher_started_with(polluted):
    case = polluted(DOUBLE_MLP, FLIPS)
    drawn = case.unlearn(Retrain(steps=1, learning_rate=1e-30)).parameters["kernels.0"]
    for one, other in itertools.combinations(drawn, 2):
        assert not torch.equal(one, other)
    model = case.trained.model_of(0)
    model.reset_parameters(seeding.generator(SEEDS[0], "initialization"))
    assert not torch.equal(model.get_parameter("kernels.0"), drawn[0])


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_the_teacher_does_not_change_and_gets_no_gradient(polluted, method):
    case = polluted(DOUBLE_MLP, FLIPS)
    teachers = {name: value.clone().requires_grad_() for name, value in case.trained.parameters.items()}
    found = unlearn(method, copy.deepcopy(case.trained.model), teachers, case.data, SEEDS)
    for name, value in teachers.items():
        assert torch.equal(value, case.trained.parameters[name])
        assert value.grad is None
        assert not found.parameters[name].requires_grad
        assert not torch.equal(found.parameters[name], value)


class TowardsTeacher(Unlearner):
    """Moves student and teacher towards each other, if it can."""

    def loss(self, student, teacher, data):
        return (student(data.retain.x) - teacher(data.retain.x) - 1.0).square().mean()


def test_a_loss_on_the_teachers_logits_moves_the_student_alone(polluted):
    case = polluted(DOUBLE_MLP, FLIPS)
    before = {name: value.clone() for name, value in case.trained.parameters.items()}
    found = case.unlearn(TowardsTeacher(steps=3))
    for name, value in before.items():
        assert torch.equal(value, case.trained.parameters[name])
    # Only the difference to the teacher counts: a teacher that followed would have left the loss at 1.
    shifts = found.logits - case.trained.logits
    assert bool((shifts[:, :16].mean(1) > 0.0).all())


SEEN: list[tuple[int, dict[str, torch.Tensor]]] = []


class Records(Unlearner):
    """Writes down what it is given."""

    def loss(self, student, teacher, data):
        fields = {field.name for field in dataclasses.fields(data)}
        assert fields == {
            *("retain", "forget_polluted", "forget_clean", "step", "weight_decay", "kept", "draws", "fresh")
        }
        found = {"student": student(data.retain.x), "teacher": teacher(data.retain.x)}
        for part in ("retain", "forget_polluted", "forget_clean"):
            samples = getattr(data, part)
            found |= {f"{part}_x": samples.x, f"{part}_y": samples.y}
        SEEN.append((data.step, {name: value.detach().clone() for name, value in found.items()}))
        return cross_entropy(student(data.retain.x), data.retain.y)


@pytest.fixture
def seen(polluted):
    """What a method was given, by corruption and batch size: for each member a list of (step, values)."""

    def make(corruption, **fields):
        SEEN.clear()
        case = polluted(LOOPED, corruption)
        case.unlearn(Records(**fields))
        return case, [SEEN[row::3] for row in range(3)]

    return make


def as_set(x, y=None):
    rows = x.tolist() if y is None else torch.cat([x, y[:, None]], dim=1).tolist()
    return {tuple(row) for row in rows}


@pytest.mark.parametrize("corruption", [FLIPS, NOISE], ids=["label flips", "random features"])
def test_a_method_is_given_clean_rows_to_retain_and_corrupted_ones_to_forget(seen, corruption):
    case, given = seen(corruption, steps=2)
    for row, member in enumerate(case.members):
        corrupted = member.corrupted
        x, y, clean = case.trained.model.prepare(corrupted.split.x), corrupted.split.y, corrupted.clean_y
        forget = corrupted.mask
        assert [step for step, _ in given[row]] == [1, 2]
        for _, values in given[row]:
            assert as_set(values["retain_x"], values["retain_y"]) == as_set(x[~forget], y[~forget].double())
            assert torch.equal(values["forget_polluted_x"], x[forget])
            assert torch.equal(values["forget_polluted_y"], y[forget].double())
            assert torch.equal(values["forget_clean_x"], x[forget])
            assert torch.equal(values["forget_clean_y"], clean[forget].double())


def test_flipped_labels_are_the_other_way_round_in_the_clean_ones(seen):
    _, given = seen(FLIPS, steps=1)
    for [(_, values)] in given:
        assert torch.equal(values["forget_clean_y"], 1.0 - values["forget_polluted_y"])


def test_random_features_have_the_same_label_in_both(seen):
    _, given = seen(NOISE, steps=1)
    for [(_, values)] in given:
        assert torch.equal(values["forget_clean_y"], values["forget_polluted_y"])


def test_student_and_teacher_are_the_same_at_the_first_step_only(seen):
    case, given = seen(FLIPS, steps=2)
    for row, [(_, first), (_, second)] in enumerate(given):
        expected = case.trained.model_of(row)(first["retain_x"]).detach()
        torch.testing.assert_close(first["student"], expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(second["teacher"], expected, atol=1e-12, rtol=0)
        assert not torch.allclose(second["student"], expected)


@pytest.mark.parametrize("corruption", [FLIPS, NOISE], ids=["label flips", "random features"])
def test_no_validation_row_is_in_reach(seen, corruption):
    case, given = seen(corruption, steps=2, batch_size=3)
    hidden = as_set(case.data.validation_x)
    assert len(hidden) == 12
    for parts in given:
        for _, values in parts:
            for part in ("retain", "forget_polluted", "forget_clean"):
                assert not as_set(values[f"{part}_x"]) & hidden


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7])
def test_mini_batches_cover_the_retain_set_once_in_a_step(seen, batch_size):
    case, given = seen(FLIPS, steps=3, batch_size=batch_size)
    orders = set()
    for row, member in enumerate(case.members):
        corrupted = member.corrupted
        x = case.trained.model.prepare(corrupted.split.x)
        for step in (1, 2, 3):
            batches = [values for number, values in given[row] if number == step]
            sizes = [len(values["retain_y"]) for values in batches]
            assert sizes == [min(batch_size, 8 - start) for start in range(0, 8, batch_size)]
            all_rows = torch.cat([values["retain_x"] for values in batches]).tolist()
            assert sorted(all_rows) == sorted(x[~corrupted.mask].tolist())
            orders.add((row, str(all_rows)))
            for values in batches:
                assert torch.equal(values["forget_polluted_x"], x[corrupted.mask])
    assert len(orders) == 9


@pytest.mark.parametrize("batch_size", [0, 8, 9, 1000])
def test_the_whole_retain_set_is_one_batch(seen, batch_size):
    _, given = seen(FLIPS, steps=2, batch_size=batch_size)
    assert [len(parts) for parts in given] == [2, 2, 2]
    assert [len(values["retain_y"]) for _, values in given[0]] == [8, 8]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize("corruption", [FLIPS, NOISE], ids=["label flips", "random features"])
def test_members_taken_one_by_one_are_the_same_as_under_vmap(polluted, corruption, method):
    together, one_by_one = polluted(DOUBLE_MLP, corruption), polluted(LOOPED, corruption)
    found, expected = one_by_one.unlearn(method), together.unlearn(method)
    for row in range(3):
        assert_same(found, row, expected, row)
    assert found.loss_evaluations == expected.loss_evaluations


@pytest.mark.parametrize("name", ["Retrain", "Scrub", "NPO", "Finetune in mini-batches"])
def test_a_circuit_on_a_device_is_unlearned_as_on_its_light_cone(polluted, small_data, name):
    cone = polluted(QNN, FLIPS)
    device = PennyLaneQNN(depth=2, device="default.qubit").build(cone.trained.model.features)
    data = prepare(device, cone.members, small_data.validation, torch.device("cpu"))
    method = dataclasses.replace(METHODS[name], steps=2)
    rows = {name: value[:2] for name, value in cone.trained.parameters.items()}
    found = unlearn(method, device, rows, data.members(slice(0, 2)), SEEDS[:2])
    expected = cone.unlearn(method, 0, 1)
    for row in range(2):
        assert_same(found, row, expected, row, tolerance=1e-8)


class Spoils(Unlearner):
    """Fine-tuning whose loss is spoilt from a step on, for members whose teacher's logits are large.

    Args:
        threshold: how large.
        first: the step.
        infinite: whether the loss is infinite or not a number.
    """

    threshold: float = 0.0
    first: int = 1
    infinite: bool = True

    def loss(self, student, teacher, data):
        spoilt = math.inf if self.infinite else math.nan
        large = teacher(data.retain.x).abs().sum() > self.threshold
        factor = torch.where(large, spoilt, 1.0) if data.step >= self.first else 1.0
        return factor * cross_entropy(student(data.retain.x), data.retain.y)


def largest(case):
    """A threshold that only one member is above, and the member."""
    sizes = [
        float(case.trained.logits[row, :16][~member.corrupted.mask].abs().sum())
        for row, member in enumerate(case.members)
    ]
    first, second = sorted(sizes, reverse=True)[:2]
    return (first + second) / 2, sizes.index(first)


@pytest.mark.parametrize("first", [1, 3, 4])
@pytest.mark.parametrize("infinite", [True, False], ids=["infinite", "not a number"])
@pytest.mark.parametrize("model", [DOUBLE_MLP, LOOPED, QNN], ids=["MLP", "looped MLP", "QNN"])
def test_a_loss_that_is_not_finite_fails_its_member_and_leaves_the_others_alone(polluted, model, infinite, first):
    case = polluted(model, FLIPS)
    threshold, spoilt = largest(case)
    found = case.unlearn(Spoils(steps=4, threshold=threshold, first=first, infinite=infinite))
    assert found.failures == {spoilt: first}
    assert found.loss_evaluations == 4
    undisturbed = case.unlearn(Finetune(steps=4))
    for row in range(3):
        if row != spoilt:
            assert_same(found, row, undisturbed, row, tolerance=1e-12)
    before = {name: values[spoilt, :first] for name, values in found.history.items()}
    for name, values in before.items():
        np.testing.assert_allclose(values, undisturbed.history[name][spoilt, :first], atol=1e-12, rtol=0, err_msg=name)


def test_members_that_fail_at_different_steps_are_told_apart(polluted):
    class Later(Unlearner):
        """Fails each member at a step of its own."""

        def loss(self, student, teacher, data):
            late = data.step > data.forget_polluted.x.new_tensor(2.0) + (teacher(data.retain.x).abs().sum() > limit)
            return torch.where(late, math.nan, 1.0) * cross_entropy(student(data.retain.x), data.retain.y)

    case = polluted(DOUBLE_MLP, FLIPS)
    limit, largest_row = largest(case)
    assert case.unlearn(Later(steps=5)).failures == {row: 4 if row == largest_row else 3 for row in range(3)}


class Vector(Unlearner):
    """Returns a loss for each row."""

    def loss(self, student, teacher, data):
        return student(data.retain.x)


class OneElement(Unlearner):
    """Returns a list of one loss."""

    def loss(self, student, teacher, data):
        return cross_entropy(student(data.retain.x), data.retain.y)[None]


class Number(Unlearner):
    """Returns a number."""

    def loss(self, student, teacher, data):
        return 0.5


class Nothing(Unlearner):
    """Forgets to return its loss."""

    def loss(self, student, teacher, data):
        cross_entropy(student(data.retain.x), data.retain.y)


class Later(Unlearner):
    """Returns a scalar at first."""

    def loss(self, student, teacher, data):
        loss = cross_entropy(student(data.retain.x), data.retain.y)
        return loss if data.step < 3 else loss * torch.ones(2)


UNSUITED: dict[Any, str] = {
    Vector: r"step 1.*Vector.*shape \[8\]",
    OneElement: r"step 1.*OneElement.*shape \[1\]",
    Number: r"step 1.*Number.*float",
    Nothing: r"step 1.*Nothing.*NoneType",
    Later: r"step 3.*Later.*shape \[2\]",
}


@pytest.mark.parametrize("model", [DOUBLE_MLP, LOOPED], ids=["vmap", "looped"])
@pytest.mark.parametrize(("cls", "message"), UNSUITED.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_loss_that_is_not_a_scalar_is_refused_with_the_step(polluted, model, cls, message):
    with pytest.raises(LossError, match=message):
        polluted(model, FLIPS).unlearn(cls(steps=4))


def masks(*counts):
    return torch.stack([torch.arange(8) < count for count in counts])


def test_a_partition_holds_every_row_once():
    mask = torch.tensor([[0, 1, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 1]], dtype=torch.bool)
    found = Partition.of(mask)
    assert found.retain.tolist() == [[0, 2, 3, 5, 6, 7], [1, 2, 3, 4, 5, 6]]
    assert found.forget.tolist() == [[1, 4], [0, 7]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (masks(0), "nothing to forget"),
        (masks(0, 0, 0), "nothing to forget"),
        (masks(8), "nothing to retain"),
        (masks(8, 8), "nothing to retain"),
        (masks(3, 4), r"\[3, 4\]"),
        (masks(0, 4), r"\[0, 4\]"),
    ],
    ids=["no row", "no row of any", "every row", "every row of all", "other numbers of rows", "none and some"],
)
def test_sets_that_cannot_be_unlearned_are_refused(mask, message):
    with pytest.raises(DataError, match=message):
        Partition.of(mask)


@pytest.mark.parametrize(
    ("corruption", "message"),
    [(NoCorruption(), "nothing to forget"), (LabelFlip(ratio=0.0), "to forget"), (LabelFlip(ratio=1.0), "to retain")],
    ids=["no corruption", "ratio 0", "ratio 1"],
)
def test_models_without_a_forget_or_retain_set_are_refused(polluted, corruption, message):
    with pytest.raises(DataError, match=message):
        polluted(DOUBLE_MLP, corruption).unlearn(Finetune())


def test_one_row_to_forget_or_to_retain_is_enough(small_task, small_data):
    for count in (1, 15):
        mask = torch.arange(16) < count
        split = small_data.train
        flipped = Split(split.x, torch.where(mask, 1 - split.y, split.y), split.about)
        members = [Member(0, Corrupted(flipped, mask, split.y))]
        trained = Trainer(epochs=1).fit(MLP(hidden=(3,)).build(Features.of(small_data)), members, small_data.validation)
        data = prepare(trained.model, members, small_data.validation, torch.device("cpu"))
        found = unlearn(Scrub(steps=2), trained.model, trained.parameters, data, [0])
        assert found.failures == {}
        assert all(np.isfinite(values).all() for values in found.history.values())


def test_an_observer_is_told_every_step_from_zero(polluted):
    calls = []
    found = polluted(QNN, FLIPS).unlearn(
        Finetune(steps=3), observer=lambda step, metrics: calls.append((step, metrics))
    )
    assert [step for step, _ in calls] == [0, 1, 2, 3]
    for step, metrics in calls:
        assert metrics.keys() == METRICS
        for name, values in metrics.items():
            np.testing.assert_array_equal(values, found.history[name][:, step])
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 0.0


@pytest.mark.parametrize(("batch_size", "evaluations"), [(0, 3), (8, 3), (3, 9), (1, 24)])
def test_evaluations_of_the_loss_are_counted(polluted, batch_size, evaluations):
    found = polluted(QNN, FLIPS).unlearn(Finetune(steps=3, batch_size=batch_size))
    assert found.loss_evaluations == evaluations
    assert found.seconds > 0.0


def test_final_logits_are_those_of_the_final_parameters(polluted):
    case = polluted(QNN, NOISE)
    found = case.unlearn(Scrub(steps=3))
    for row, member in enumerate(case.members):
        model = case.trained.model_of(row)
        model.load_state_dict({**model.state_dict(), **{name: value[row] for name, value in found.parameters.items()}})
        x = torch.cat([member.corrupted.split.x, case.dataset.validation.x])
        torch.testing.assert_close(found.logits[row], model(model.prepare(x)).detach(), atol=1e-12, rtol=0)


def test_the_random_numbers_of_the_session_are_left_alone(polluted):
    case = polluted(DOUBLE_MLP, FLIPS)
    torch.manual_seed(0)
    first = case.unlearn(METHODS["Finetune in mini-batches"])
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))
    torch.manual_seed(1)
    again = case.unlearn(METHODS["Finetune in mini-batches"])
    for row in range(3):
        assert_same(again, row, first, row, tolerance=0.0)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_frozen_parameters_are_not_unlearned(polluted, method):
    case = polluted(HalfFrozen(hidden=(6, 3), dtype="float64"), FLIPS)
    found = case.unlearn(method)
    start = case.trained.parameters
    if method.start_fresh:
        start = case.unlearn(dataclasses.replace(method, steps=1, learning_rate=1e-30)).parameters
    for name, parameter in case.trained.model.named_parameters():
        assert torch.equal(found.parameters[name], start[name]) is not parameter.requires_grad


@pytest.mark.parametrize("model", [MLP(hidden=(6, 3)), DOUBLE_MLP, QNN], ids=["single", "double", "QNN"])
def test_a_student_that_equals_its_teacher_has_no_reason_to_leave_it(polluted, model):
    """SCRUB's first step away from the teacher has no direction; Adam would make a whole step of rounding errors."""
    case = polluted(model, FLIPS)
    for rows in ((0,), (0, 1, 2)):
        found = case.unlearn(AlternatingScrub(steps=1, learning_rate=0.05, max_steps=1), *rows)
        for name, values in found.parameters.items():
            assert torch.equal(values, case.trained.parameters[name][list(rows)])
