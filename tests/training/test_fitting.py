"""Fitting estimators: metrics, health, and what their authors may get wrong."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.svm import SVC

from qlab import Corrupted, Dataset, Estimator, LabelFlip, Split, Task
from qlab.errors import ConfigError, DataError
from qlab.models import Features
from qlab.models.estimator import inputs_of
from qlab.registry import find
from qlab.training import Member, fitting
from qlab.training.fitting import check_seeded, probabilities, rows_for


class Clouds(Task):
    """Two clouds of points."""

    def load(self):
        drawn = torch.Generator().manual_seed(0)
        y = torch.arange(60) % 2
        x = torch.randn(60, 3, dtype=torch.float64, generator=drawn) + 1.5 * y[:, None]
        return Dataset(Split(x[:40], y[:40]), Split(x[40:], y[40:]))

    def random_features(self, n, generator):
        return torch.randn(n, 3, dtype=torch.float64, generator=generator)


DATA = Clouds().load()


def fit(estimator, member, validation, **options):
    return fitting.fit(estimator, member, validation, Features.of(DATA), **options)


def member(ratio=0.2, seed=3):
    return Member.of(Clouds(), DATA, LabelFlip(ratio=ratio), seed)


def sklearn(name, **arguments):
    return find("model", name)(**arguments)


class Prototype(Estimator):
    """The nearer of two class means.

    Args:
        sharpness: factor of the logit.
    """

    sharpness: float = 1.0

    def fit(self, x, y, generator):
        self.means = [x[y == label].mean(0) for label in (0, 1)]

    def decision(self, x):
        near, far = (((x - mean) ** 2).sum(1) for mean in self.means)
        return self.sharpness * (near - far)


def test_metrics_are_scikit_learns():
    data = member()
    found = fit(sklearn("sklearn.linear_model:LogisticRegression", C=0.7), data, DATA.validation)
    split, mask = data.corrupted.split, data.corrupted.mask.numpy()
    x, y, clean = split.x.numpy(), split.y.numpy(), data.corrupted.clean_y.numpy()
    plain = LogisticRegression(C=0.7).fit(x, y)
    validation = DATA.validation.x.numpy(), DATA.validation.y.numpy()
    expected = {
        "train_accuracy": plain.score(x, y),
        "train_loss": log_loss(y, plain.predict_proba(x)),
        "validation_accuracy": plain.score(*validation),
        "validation_loss": log_loss(validation[1], plain.predict_proba(validation[0])),
        "retain_accuracy": plain.score(x[~mask], y[~mask]),
        "retain_loss": log_loss(y[~mask], plain.predict_proba(x[~mask])),
        "forget_accuracy_polluted": plain.score(x[mask], y[mask]),
        "forget_accuracy_clean": accuracy_score(clean[mask], plain.predict(x[mask])),
    }
    assert found.metrics == pytest.approx(expected, rel=1e-9)
    assert found.health == "healthy"
    assert len(found.logits) == 60


def test_a_test_split_is_measured_like_the_others():
    test = Split(DATA.validation.x[:10], DATA.validation.y[:10])
    logistic = fit(sklearn("sklearn.linear_model:LogisticRegression"), member(), DATA.validation, test=test)
    split = member().corrupted.split
    plain = LogisticRegression().fit(split.x.numpy(), split.y.numpy())
    expected = log_loss(test.y.numpy(), plain.predict_proba(test.x.numpy()))
    assert logistic.metrics["test_loss"] == pytest.approx(expected, rel=1e-9)
    assert logistic.metrics["test_accuracy"] == plain.score(test.x.numpy(), test.y.numpy())
    assert "test_loss" not in fit(sklearn("sklearn.svm:SVC"), member(), DATA.validation, test=test).metrics
    assert len(logistic.logits) == 60


def test_margins_have_accuracies_and_no_losses():
    found = fit(sklearn("sklearn.svm:SVC"), member(), DATA.validation)
    plain = SVC().fit(member().corrupted.split.x.numpy(), member().corrupted.split.y.numpy())
    assert found.metrics["validation_accuracy"] == plain.score(DATA.validation.x.numpy(), DATA.validation.y.numpy())
    assert not [name for name in found.metrics if "loss" in name]
    assert probabilities(found.estimator, DATA.validation.x.numpy()) is None


def test_an_estimator_of_ones_own_has_losses_of_its_logits():
    found = fit(Prototype(sharpness=0.5), member(), DATA.validation)
    p = probabilities(found.estimator, DATA.validation.x.numpy())
    assert found.metrics["validation_loss"] == pytest.approx(log_loss(DATA.validation.y.numpy(), p))
    assert found.metrics["validation_accuracy"] >= 0.8


def test_complex_features_are_real_and_imaginary_parts_side_by_side():
    x = torch.tensor([[1 + 3j, 2, 0], [0, 1j, 0]], dtype=torch.complex128)
    features = Features(3, True, torch.tensor([True, True, False]))
    np.testing.assert_array_equal(inputs_of(x, features), [[1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    every = dataclasses.replace(features, active=torch.ones(3, dtype=torch.bool))
    np.testing.assert_array_equal(inputs_of(x[:1], every), [[1.0, 2.0, 0.0, 3.0, 0.0, 0.0]])
    np.testing.assert_array_equal(inputs_of(x.real[:1], features), [[1.0, 2.0, 0.0, 0.0]])
    assert inputs_of(DATA.train.x, Features.of(DATA)).flags.owndata


def test_padding_changes_nothing():
    def padded(split):
        return Split(torch.nn.functional.pad(split.x, (0, 5)), split.y)

    wide = Dataset(padded(DATA.train), padded(DATA.validation))
    whole = Member.of(Clouds(), wide, LabelFlip(ratio=0.2), 3)
    for name in ("sklearn.svm:SVC", "sklearn.ensemble:RandomForestClassifier"):
        found = fitting.fit(sklearn(name), whole, wide.validation, Features.of(wide))
        assert torch.equal(found.logits, fit(sklearn(name), member(), DATA.validation).logits)
    with pytest.raises(DataError, match="nonzero here"):
        rows_for(found.estimator, wide.train.x + 1.0)
    with pytest.raises(DataError, match="fitted to 8 features, got 3"):
        rows_for(found.estimator, DATA.train.x)
    with pytest.raises(DataError, match="not fitted yet"):
        rows_for(sklearn("sklearn.svm:SVC"), DATA.train.x)


def test_a_solver_that_does_not_converge_is_unconverged():
    found = fit(sklearn("sklearn.linear_model:LogisticRegression", max_iter=1), member(), DATA.validation)
    assert found.health == "unconverged"


def test_a_constant_decision_is_collapsed():
    assert fit(sklearn("sklearn.dummy:DummyClassifier"), member(), DATA.validation).health == "collapsed"


def test_other_warnings_reach_the_user():
    class Warns(Prototype):
        """Warns."""

        def fit(self, x, y, generator):
            import warnings

            warnings.warn("odd data", DataConversionWarning, stacklevel=1)
            super().fit(x, y, generator)

    with pytest.warns(DataConversionWarning, match="odd data"):
        fit(Warns(), member(), DATA.validation)


def test_one_class_is_refused():
    split = Split(DATA.train.x[::2], DATA.train.y[::2])
    one = Member(0, Corrupted(split, torch.zeros(20, dtype=torch.bool), split.y))
    with pytest.raises(DataError, match=r"SVC: all 20 labels .* are 0; .*both classes"):
        fit(sklearn("sklearn.svm:SVC"), one, DATA.validation)


def odd(**methods):
    return type("Odd", (Prototype,), {"__module__": __name__, "__doc__": "Odd.", **methods})()


def boom(self, x, y, generator):
    raise ValueError("no such luck")


def writes(self, x, y, generator):
    x[:] = 0.0
    self.means = [np.zeros(3), np.ones(3)]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (odd(fit=boom), r"ValueError: no such luck \[in test_fitting\.py, line \d+, in boom\]"),
        (
            odd(fit=lambda self, x, y, g: setattr(self, "sharpness", 2.0)),
            "cannot assign to field 'sharpness'.*attributes",
        ),
        (odd(fit=lambda self, x, y, g: None), "no attribute 'means'"),
        (odd(fit=lambda self, x, y, g: exit(1)), "SystemExit"),
        (odd(decision=lambda self, x: x[:, 0] * np.nan), "60 of 60 values are NaN.*row 0"),
        (odd(decision=lambda self, x: np.where(np.arange(len(x)) == 7, np.inf, 1.0)), "1 of 60 values.*row 7"),
        (odd(decision=lambda self, x: x[:, :1]), r"shape \[60, 1\] for 60 rows, accepts \[60\]: z\[:, 0\]"),
        (odd(decision=lambda self, x: x[:, :2]), r"z\[:, 1\] - z\[:, 0\]"),
        (odd(decision=lambda self, x: x[:10, 0]), r"shape \[10\]"),
        (odd(decision=lambda self, x: None), "got NoneType, accepts an array of real numbers"),
        (odd(decision=lambda self, x: x[:, 0] * 1j), "got ndarray, accepts an array of real"),
        (odd(decision=lambda self, x: ["a"] * len(x)), "got list, accepts"),
        (odd(log_odds=lambda self, x, decision: decision * np.inf), "log_odds.*60 of 60"),
    ],
)
def test_what_an_estimator_gets_wrong_is_said_with_its_place(estimator, message):
    with pytest.raises(ConfigError) as caught:
        fit(estimator, member(), DATA.validation)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "test_fitting.py, line " in str(caught.value)


def test_scikit_learns_own_errors_are_said():
    with pytest.raises(ConfigError, match=r"NuSVC\.fit: ValueError: "):
        fit(sklearn("sklearn.svm:NuSVC", nu=1.0), member(ratio=0.3), Split(DATA.validation.x, DATA.validation.y))


def test_what_is_fitted_cannot_change_the_data():
    before = DATA.train.x.clone()
    fit(odd(fit=writes), member(), DATA.validation)
    assert torch.equal(DATA.train.x, before)


def test_an_own_estimator_must_draw_from_its_generator():
    def unseeded(self, x, y, generator):
        Prototype.fit(self, x, y, generator)
        self.means[0] = self.means[0] + np.random.default_rng().normal()

    def seeded(self, x, y, generator):
        Prototype.fit(self, x, y, generator)
        self.means[0] = self.means[0] + generator.normal()

    def check(estimator):
        check_seeded(estimator, member(), DATA.validation, fit(estimator, member(), DATA.validation))

    with pytest.raises(ConfigError, match="other decisions for the same seed"):
        check(odd(fit=unseeded))
    check(odd(fit=seeded))


def test_seeds_differ():
    estimator = odd(fit=lambda self, x, y, g: setattr(self, "means", [g.normal(size=3), g.normal(size=3)]))
    first, second = (fit(estimator, member(seed=seed), DATA.validation).logits for seed in (0, 1))
    assert not torch.allclose(first, second)
