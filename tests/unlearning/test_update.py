"""Methods that return new parameters: what they are given, what is done with what they return, what they cost."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from support.models import Looped
from support.unlearned import SEEDS, Polluted

from qlab import seeding
from qlab.errors import ConfigError
from qlab.models import MLP, PennyLaneQNN, RandomQNN
from qlab.unlearning import Finetune, Unlearner, UnlearningData, calls, cross_entropy
from qlab.unlearning.base import Draws
from qlab.unlearning.engine import LossError

MLP_, LOOPED = MLP(hidden=(6, 3), dtype="float64"), Looped(hidden=(6, 3), dtype="float64")
QNN = PennyLaneQNN(depth=2)
every_model = pytest.mark.parametrize("model", [MLP_, LOOPED, QNN, RandomQNN(depth=2)], ids=lambda m: type(m).__name__)


@pytest.fixture(scope="module")
def case(small_task, small_data):
    return functools.cache(lambda model: Polluted(model, small_task, small_data))


def assert_same(found, row, expected, expected_row, tolerance=1e-9):
    for name, values in found.history.items():
        np.testing.assert_allclose(values[row], expected.history[name][expected_row], atol=tolerance, rtol=0)
    for name, values in found.parameters.items():
        torch.testing.assert_close(values[row], expected.parameters[name][expected_row], atol=tolerance, rtol=0)


class Descent(Unlearner):
    """Gradient descent on the retain set, written as an update."""

    def update(self, student, teacher, data):
        return student.theta - self.learning_rate * student.gradient(data.retain)


class NamedDescent(Unlearner):
    """The same with parameters by name."""

    def update(self, student, teacher, data):
        return student.named(student.theta - self.learning_rate * student.gradient(data.retain))


class Everything(Unlearner):
    """Uses whatever there is."""

    def begin(self, teacher, data):
        assert data.step == 0
        return {"fisher": teacher.fisher(data.trained_on), "draw": data.randn(2)}

    def update(self, student, teacher, data):
        away = student.theta - data.untrained.theta + teacher.theta
        slopes = student.per_sample_gradients(data.forget_polluted).mean(0)
        bent = student.hessian_product(data.retain, data.randn(len(slopes)))
        drawn = data.rand(()) * student.theta + data.kept["draw"].sum()
        return student.theta + 1e-3 * (away + slopes + bent + drawn + data.kept["fisher"])


@every_model
@pytest.mark.parametrize("batch_size", [0, 3])
def test_descent_as_an_update_is_descent_on_a_loss(case, model, batch_size):
    one = case(model)
    expected = one.unlearn(Finetune(steps=3, learning_rate=0.1, optimizer="SGD", batch_size=batch_size))
    for cls in (Descent, NamedDescent):
        found = one.unlearn(cls(steps=3, learning_rate=0.1, batch_size=batch_size))
        for row in range(3):
            assert_same(found, row, expected, row)
        assert found.history["train_loss"].shape == (3, 4)


@every_model
def test_a_member_is_the_same_alone_in_an_ensemble_and_in_parts(case, model, monkeypatch):
    one = case(model)
    together, backwards = one.unlearn(Everything(steps=2)), one.unlearn(Everything(steps=2), 2, 1, 0)
    monkeypatch.setattr(calls, "_BYTES", 1)
    in_parts = one.unlearn(Everything(steps=2))
    for row in range(3):
        assert_same(together, row, one.unlearn(Everything(steps=2), row), 0)
        assert_same(together, row, backwards, 2 - row)
        assert_same(together, row, in_parts, row)
    assert in_parts.loss_evaluations == together.loss_evaluations


def test_updates_one_by_one_are_those_under_vmap(case):
    together, one_by_one = case(MLP_).unlearn(Everything(steps=2)), case(LOOPED).unlearn(Everything(steps=2))
    for row in range(3):
        assert_same(one_by_one, row, together, row)
    assert one_by_one.loss_evaluations == pytest.approx(together.loss_evaluations)


def test_what_an_update_asks_for_is_counted(case):
    # 16 rows, 8 of them to be forgotten: Fisher 1, then in each step 0.5 and 2 * 0.5.
    assert case(MLP_).unlearn(Everything(steps=2)).loss_evaluations == pytest.approx(1 + 2 * 1.5)
    assert case(MLP_).unlearn(Descent(steps=3)).loss_evaluations == pytest.approx(1.5)
    # Mini-batches of 3, 3 and 2 of 8 rows.
    assert case(MLP_).unlearn(Descent(steps=3, batch_size=3)).loss_evaluations == pytest.approx(1.5)


class Noisy(Unlearner):
    """A loss that draws: the linear term is noise on the gradient."""

    def loss(self, student, teacher, data):
        noise = data.randn(len(student.theta))
        return cross_entropy(student(data.retain.x), data.retain.y) + noise @ student.theta


def test_random_numbers_are_those_of_the_members_seed_and_others_in_each_step(case):
    one = case(QNN)
    found = one.unlearn(Noisy(steps=2, optimizer="SGD", learning_rate=1.0))
    without = one.unlearn(Finetune(steps=1, optimizer="SGD", learning_rate=1.0))
    for row, seed in enumerate(SEEDS):
        assert_same(one.unlearn(Noisy(steps=2, optimizer="SGD", learning_rate=1.0), row), 0, found, row)
        draw = seeding.generator(seed, "unlearning-draws")
        first = one.unlearn(Noisy(steps=1, optimizer="SGD", learning_rate=1.0), row)
        names = first.parameters
        moved = torch.cat([(without.parameters[name][row] - names[name][0]).flatten() for name in names])
        torch.testing.assert_close(moved, torch.randn(len(moved), generator=draw, dtype=torch.float64))
        again = torch.randn(len(moved), generator=draw, dtype=torch.float64)
        assert not torch.allclose(moved, again)


def test_torchs_own_random_numbers_are_refused_with_where_to_take_them_from(case):
    class Draws(Finetune):
        """Asks torch."""

        def loss(self, student, teacher, data):
            return super().loss(student, teacher, data) + torch.rand(())

    with pytest.raises(LossError, match=r"Draws draws .*data\.randn\(shape\).*data\.rand\(shape\).*test_update.*line"):
        case(MLP_).unlearn(Draws())


def test_draws_are_of_the_dtype_asked_for_and_the_same_in_both_precisions():
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    for way in ("normal", "uniform"):
        rough, fine = (getattr(Draws.of_seed(5), way)((3, 2), like) for like in (single, double))
        assert rough.dtype == torch.float32
        assert fine.shape == (3, 2)
        torch.testing.assert_close(rough.double(), fine, atol=1e-6, rtol=0)


class Begins(Unlearner):
    """A loss with what was computed before the first step."""

    def begin(self, teacher, data):
        return {"mask": (teacher.gradient(data.forget_polluted).abs() > 0.01).to(data.retain.y)}

    def loss(self, student, teacher, data):
        mask = data.kept["mask"]
        held = student.at(mask * student.theta + (1.0 - mask) * student.theta.detach())
        return cross_entropy(held(data.retain.x), data.retain.y)


@every_model
def test_what_is_computed_before_the_first_step_is_found_in_every_step(case, model):
    one = case(model)
    found = one.unlearn(Begins(steps=3, learning_rate=0.05))
    assert found.loss_evaluations == pytest.approx(3.5)
    for row in range(3):
        assert_same(one.unlearn(Begins(steps=3, learning_rate=0.05), row), 0, found, row, 1e-7)
    moved = [found.parameters[name] != one.trained.parameters[name] for name in found.parameters]
    share = torch.cat([part.flatten() for part in moved]).double().mean()
    assert 0.0 < float(share) < 1.0


class LastLayer(Finetune):
    """Changes the last layer."""

    def changed_layers(self, layers):
        return layers[-1:]


class LastUpdate(Descent):
    """Changes the last layer, by an update by name."""

    def changed_layers(self, layers):
        return layers[-1:]

    def update(self, student, teacher, data):
        assert len(student.theta) == sum(len(places) for places in student.layers.values())
        student.gradient(data.retain)
        return {name: value + 1.0 for name, value in student.parameters.items()}


@pytest.mark.parametrize("model", [MLP_, QNN], ids=["MLP", "QNN"])
@pytest.mark.parametrize("fresh", [False, True], ids=["teacher's", "fresh"])
@pytest.mark.parametrize("cls", [LastLayer, LastUpdate])
def test_layers_that_a_method_leaves_alone_stay_to_the_bit(case, model, cls, fresh):
    one = case(model)
    found = one.unlearn(cls(steps=2, learning_rate=0.05, start_fresh=fresh))
    last = list(one.trained.model.parameter_layers().values())[-1].flatten()
    flat = [
        torch.cat([part[name].flatten(1) for name in found.parameters], dim=1)
        for part in (one.trained.parameters, found.parameters)
    ]
    change = (flat[1] - flat[0]).abs()
    assert bool((change[:, last].max(1).values > 0.0).all())
    change[:, last] = 0.0
    assert float(change.max()) == 0.0


class Spoils(Unlearner):
    """Not a number for one member, from the second step."""

    limit: float = 0.0

    def update(self, student, teacher, data):
        large = teacher(data.retain.x).abs().sum() > self.limit
        spoilt = torch.where(large & (data.retain.y.new_tensor(data.step) >= 2), torch.nan, 0.0)
        return student.theta - 0.01 * student.gradient(data.retain) + spoilt


def test_an_update_that_is_not_finite_fails_its_member_and_leaves_the_others_alone(case):
    one = case(MLP_)
    sizes = [float(one.trained.logits[row, :16][~one.data.forget[row]].abs().sum()) for row in range(3)]
    second, first = sorted(sizes)[1:]
    found, expected = one.unlearn(Spoils(steps=3, limit=(first + second) / 2)), one.unlearn(Descent(steps=3))
    assert found.failures == {sizes.index(first): 2}
    for row in {0, 1, 2} - found.failures.keys():
        assert_same(found, row, expected, row)


WRONG = {
    "nothing": (lambda s: None, "got NoneType"),
    "no parameters": (lambda s: {}, "got {}, which changes nothing"),
    "a matrix": (lambda s: s.theta[None], r"got shape \[1, \d+\]"),
    "whole numbers": (lambda s: torch.zeros_like(s.theta, dtype=torch.long), "torch.int64"),
    "single precision": (lambda s: s.theta.float(), "of the student's torch.float64, got torch.float32"),
    "another name": (lambda s: {"weight": s.theta}, "'weight'.*accepts only kernels.0"),
    "another shape": (lambda s: {"biases.0": s.theta}, r"'biases.0' shape \[\d+\].*accepts shape \[6\]"),
}


@pytest.mark.parametrize(("made", "message"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("model", [MLP_, LOOPED], ids=["vmap", "looped"])
def test_an_update_that_is_no_parameters_is_refused_with_the_step(case, model, made, message):
    class Wrong(Unlearner):
        """Returns something else."""

        def update(self, student, teacher, data):
            return made(student)

    with pytest.raises(LossError, match=rf"step 1: the update of Wrong must.*{message}.*test_update"):
        case(model).unlearn(Wrong())


def test_what_is_computed_beforehand_must_be_tensors_by_name(case):
    class Wrong(Finetune):
        """Begins with a number."""

        def begin(self, teacher, data):
            return 3.0

    with pytest.raises(LossError, match=r"Wrong.begin must return tensors by name, got float.*test_update"):
        case(MLP_).unlearn(Wrong())


def test_a_class_with_neither_loss_nor_update_is_refused_by_name():
    class Unfinished(Unlearner):
        """Nothing yet."""

    with pytest.raises(ConfigError, match="Unfinished defines neither loss nor update"):
        Unfinished()


@pytest.mark.parametrize("base", [Unlearner, Finetune, Descent], ids=["both", "after a loss", "after an update"])
def test_a_class_with_both_is_refused_by_name(base):
    with pytest.raises(ConfigError, match=r"Both defines both loss and update \[.*test_update.py, line"):

        class Both(base):
            """Has too much."""

            def update(self, student, teacher, data):
                return student.theta

            def loss(self, student, teacher, data):
                return student(data.retain.x).mean()


def test_a_method_with_an_update_has_no_loss():
    assert Descent.has_update()
    assert not Finetune.has_update()
    with pytest.raises(ConfigError, match="Descent has no loss"):
        Descent().loss(None, None, None)


@pytest.mark.parametrize(
    ("chosen", "message"), [(["layer 9"], "no layer 'layer 9'.*layer 1"), ([], "no layer to change")]
)
def test_layers_that_there_are_not_are_refused(case, chosen, message):
    class Wrong(Finetune):
        """Changes other layers."""

        def changed_layers(self, layers):
            return chosen

    with pytest.raises(ConfigError, match=rf"Wrong.changed_layers.*{message}"):
        case(MLP_).unlearn(Wrong())


def test_data_put_together_by_hand_have_no_untrained_model():
    with pytest.raises(ConfigError, match="untrained"):
        _ = UnlearningData(None, None, None, 1).untrained


def test_methods_are_told_the_weight_decay_of_training(case):
    seen = []

    class Asks(Descent):
        """Writes it down."""

        def update(self, student, teacher, data):
            seen.append(data.weight_decay)
            return student.theta

    case(MLP_).unlearn(Asks(steps=1), weight_decay=0.25)
    assert seen == [0.25]
