"""qlab's models as scikit-learn's classifiers."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pandas as pd
import pennylane as qml
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from qlab import MLP, PennyLaneQNN, Trainer
from qlab.fields import fields_of
from qlab.losses import GeneralizedCrossEntropy
from qlab.sklearn import MLPClassifier, QNNClassifier

X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.where(X[:, 0] + X[:, 1] > 0.0, "up", "down")

QUICK = {"epochs": 10, "learning_rate": 0.1, "random_state": 0}
CLASSIFIERS = [MLPClassifier, QNNClassifier]

every_classifier = pytest.mark.parametrize("classifier", CLASSIFIERS)


@pytest.mark.parametrize(
    "classifier", [MLPClassifier(**QUICK), QNNClassifier(depth=2, **QUICK)], ids=lambda made: type(made).__name__
)
def test_scikit_learns_own_checks_pass(classifier):
    results = check_estimator(classifier, on_skip=None, on_fail=None)
    assert len(results) > 40
    assert {item["check_name"]: repr(item["exception"]) for item in results if item["status"] == "failed"} == {}
    skipped = {item["check_name"] for item in results if item["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}


@pytest.mark.parametrize(("classifier", "model"), [(MLPClassifier, MLP), (QNNClassifier, PennyLaneQNN)])
def test_the_parameters_are_the_fields_of_model_and_trainer(classifier, model):
    fields = {**fields_of(model), **fields_of(Trainer)}
    assert set(classifier().get_params()) == {*fields, "random_state"}
    assert all(classifier().get_params()[name] == field.default for name, field in fields.items())
    assert set(inspect.signature(classifier).parameters) == {*fields, "random_state"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        classifier(epoch=3)


@every_classifier
def test_it_learns_labels_of_any_kind(classifier):
    made = classifier(**{**QUICK, "epochs": 60}).fit(X, Y)
    assert list(made.classes_) == ["down", "up"]
    assert made.score(X, Y) > 0.9
    z, p = made.decision_function(X), made.predict_proba(X)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(made.predict(X), np.where(z > 0, "up", "down"))
    assert made.n_features_in_ == 3
    assert made.loss_ == pytest.approx(-np.log(p[np.arange(60), (Y == "up").astype(int)]).mean(), rel=1e-3)


@every_classifier
def test_the_random_state_decides(classifier):
    def logits(seed):
        return classifier(**{**QUICK, "random_state": seed}).fit(X, Y).decision_function(X)

    np.testing.assert_array_equal(logits(1), logits(1))
    assert not np.array_equal(logits(1), logits(2))


@every_classifier
def test_it_can_be_cloned_and_pickled(classifier):
    made = classifier(**QUICK).fit(pd.DataFrame(X, columns=["a", "b", "c"]), Y)
    assert list(made.feature_names_in_) == ["a", "b", "c"]
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).predict(frame), made.predict(frame))
    plain = clone(made)
    assert plain.get_params() == made.get_params()
    with pytest.raises(NotFittedError):
        plain.predict(frame)


def test_pipelines_and_searches_take_it():
    pipeline = make_pipeline(StandardScaler(), QNNClassifier(**QUICK))
    search = GridSearchCV(pipeline, {"qnnclassifier__depth": [1, 2]}, cv=2).fit(X, Y)
    assert search.best_params_["qnnclassifier__depth"] in (1, 2)
    assert len(cross_val_score(pipeline, X, Y, cv=3)) == 3


def test_a_row_becomes_a_state_that_keeps_its_length_and_sign():
    made = QNNClassifier(depth=2, **QUICK).fit(X, Y)
    circuit = made.model_
    device = qml.device("default.qubit", wires=2)

    @qml.qnode(device)
    def value(state, weights):
        qml.StatePrep(state, wires=range(2))
        circuit.ansatz(**weights)
        return qml.expval(qml.PauliZ(1))

    weights = {name: parameter.detach() for name, parameter in circuit.named_parameters()}
    for row, z in zip(X[:5], made.decision_function(X[:5]), strict=True):
        state = np.array([*row, 1.0]) / np.sqrt((row**2).sum() + 1.0)
        assert float(value(state, weights)) * circuit.scale == pytest.approx(z, abs=1e-10)
    assert not np.allclose(made.decision_function(-X), made.decision_function(X))
    assert not np.allclose(made.decision_function(2 * X), made.decision_function(X))


@pytest.mark.parametrize(("d", "qubits"), [(1, 2), (3, 2), (4, 3), (7, 3), (8, 4)])
def test_as_many_qubits_as_a_row_and_its_one_take(d, qubits):
    x = np.random.default_rng(0).normal(size=(20, d))
    made = QNNClassifier(**{**QUICK, "epochs": 1}).fit(x, np.arange(20) % 2)
    assert made.model_.n_wires == qubits


def test_angles_take_a_qubit_for_each_feature():
    made = QNNClassifier(encoding="angle", depth=3, observable="mean_Z", **{**QUICK, "epochs": 60}).fit(X, Y)
    assert made.model_.n_wires == 3
    assert made.score(X, Y) > 0.8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"depth": 0}, "depth: got 0, accepts an integer of at least 1"),
        ({"learning_rate": -1.0}, "learning_rate: got -1.0"),
        ({"entangler": "star"}, 'entangler: got "star"'),
        ({"optimizer": "Adm"}, 'Did you mean "Adam"'),
        ({"loss": "CrossEntrop"}, 'Did you mean "CrossEntropy"'),
        ({"loss": {"q": 0.5}}, "accepts a table with a type"),
        ({"loss": {"type": "GeneralizedCrossEntropy", "q": 2.0}}, "q: got 2.0"),
        ({"loss": 3}, "loss: got 3"),
    ],
)
def test_wrong_values_are_refused_when_it_is_fitted(parameters, message):
    with pytest.raises(ValueError, match=message):
        QNNClassifier(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    "loss",
    [
        "GeneralizedCrossEntropy",
        "qlab.losses:GeneralizedCrossEntropy",
        {"type": "GeneralizedCrossEntropy", "q": 0.7},
        GeneralizedCrossEntropy(q=0.7),
    ],
)
def test_a_loss_is_a_name_a_table_or_an_object(loss):
    made = clone(MLPClassifier(loss=loss, **QUICK)).fit(X, Y)
    assert made.get_params()["loss"] == loss
    p = made.predict_proba(X)[np.arange(60), (Y == "up").astype(int)]
    assert made.loss_ == pytest.approx(np.mean((1 - p**0.7) / 0.7), rel=1e-5)


def test_epochs_are_counted_until_training_stops_early():
    settings = {"early_stopping": 2, "learning_rate": 0.5, "holdout": 0.3, "random_state": 0}
    noise = np.random.default_rng(1).permutation(Y)
    made = MLPClassifier(epochs=100, **settings).fit(X, noise)
    assert 2 < made.n_iter_ < 100
    short = MLPClassifier(epochs=made.n_iter_, **settings).fit(X, noise)
    np.testing.assert_array_equal(short.decision_function(X), made.decision_function(X))
    assert short.n_iter_ == made.n_iter_
    assert MLPClassifier(epochs=made.n_iter_ - 1, **settings).fit(X, noise).n_iter_ == made.n_iter_ - 1
    p = made.predict_proba(X)[np.arange(60), (noise == "up").astype(int)]
    assert made.loss_ == pytest.approx(-np.log(p).mean(), rel=1e-4)


def test_stopping_at_a_fraction_of_corrupted_rows_is_refused():
    with pytest.raises(ValueError, match=r"stop_at: got 0\.5, but MLPClassifier is not told which rows are corrupted"):
        MLPClassifier(epochs=1, stop_at=0.5).fit(X, Y)


def test_three_classes_one_class_and_wide_rows_are_refused():
    with pytest.raises(ValueError, match="Only binary classification is supported"):
        MLPClassifier(epochs=1).fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="one class: up"):
        MLPClassifier(epochs=1).fit(X, np.full(60, "up"))
    with pytest.raises(ValueError, match="X has 2 features, but MLPClassifier is expecting 3"):
        MLPClassifier(epochs=1).fit(X, Y).predict(X[:, :2])


def test_a_training_that_diverges_is_an_error():
    with pytest.raises(ValueError, match=r"diverged; give a lower learning_rate"):
        MLPClassifier(optimizer="SGD", learning_rate=1e30, epochs=5, random_state=0).fit(X * 1e3, Y)
