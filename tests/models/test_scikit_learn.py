"""scikit-learn's classifiers as models: which can be, their arguments as fields, what they decide."""

from __future__ import annotations

import copy
import pickle
import re

import cloudpickle
import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import all_estimators

from qlab.errors import ConfigError, DataError
from qlab.fields import fields_of
from qlab.models import Estimator, Model
from qlab.models.scikit_learn import SMALLEST
from qlab.registry import find, find_of_any_kind, make

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] + 0.5 * X[:, 1] + 0.3 * np.random.default_rng(1).normal(size=60) > 0).astype(np.int64)


def generator(seed=0):
    return np.random.default_rng(seed)


def fitted(name, **arguments):
    model = find("model", name)(**arguments)
    model.fit(X, Y, generator())
    return model


def test_a_classifier_is_found_by_its_module_and_name():
    cls = find("model", "sklearn.svm:SVC")
    assert issubclass(cls, Estimator)
    assert not issubclass(cls, Model)
    assert find("model", "sklearn.svm:SVC") is cls
    assert find_of_any_kind("sklearn.svm:SVC") == ("model", cls)
    assert cls.engine_name.startswith("scikit-learn 1.")


def test_stores_may_name_scikit_learns_classes_and_no_others():
    made = make("model", {"type": "sklearn.svm:SVC", "C": 2.0})
    assert made.config() == {"C": 2.0}
    with pytest.raises(ConfigError, match="not imported"):
        make("model", {"type": "sklearnlike:SVC"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "sklearn.svm:SVR",
            r"regressor.*binary classification.*Did you mean \"(Nu|Linear)?SVC\"\?.*LinearSVC, NuSVC, SVC",
        ),
        ("sklearn.linear_model:LinearRegression", "regressor.*LogisticRegression"),
        ("sklearn.cluster:KMeans", "no classifier"),
        ("sklearn.preprocessing:StandardScaler", "no classifier"),
        ("sklearn.pipeline:Pipeline", r"needs other estimators \(steps\).*class of your own"),
        ("sklearn.model_selection:GridSearchCV", r"needs other estimators \(estimator, param_grid\)"),
        ("sklearn.ensemble:VotingClassifier", r"needs other estimators \(estimators\)"),
        ("sklearn.multiclass:OneVsRestClassifier", r"needs other estimators \(estimator\)"),
        ("sklearn.base:ClassifierMixin", r"base class without fit and predict; name a classifier made of it"),
        ("sklearn.linear_model._base:LinearClassifierMixin", "base class without fit;"),
        ("sklearn.base:BaseEstimatr", r'unknown model in sklearn\.base "BaseEstimatr"(?!.*ClassifierMixin)'),
        ("sklearn.svm:SVCC", 'unknown model in sklearn.svm "SVCC".*Did you mean "SVC"'),
        ("sklearn.nosuch:SVC", 'There is no module "sklearn.nosuch"'),
    ],
)
def test_what_cannot_be_a_model_is_refused_with_what_to_do(name, message):
    with pytest.raises(ConfigError) as caught:
        find("model", name)
    assert re.search(message, str(caught.value)), str(caught.value)


@pytest.mark.filterwarnings("ignore:Class .* is deprecated:FutureWarning")
def test_every_classifier_of_scikit_learn_is_one_or_says_why_not():
    names = [f"{cls.__module__}:{name}" for name, cls in all_estimators(type_filter="classifier")]
    found, refused = [], []
    for name in names:
        try:
            cls = find("model", name)
        except ConfigError as error:
            refused.append((name.partition(":")[2], str(error)))
            continue
        cls()
        assert cls.__doc__
        assert all(field.doc for field in fields_of(cls).values())
        found.append(name)
    assert all("needs other estimators" in message for _, message in refused)
    assert len(found) > 30
    assert {name for name, _ in refused} <= {
        "ClassifierChain", "FixedThresholdClassifier", "MultiOutputClassifier", "OneVsOneClassifier",
        "OneVsRestClassifier", "OutputCodeClassifier", "SelfTrainingClassifier", "StackingClassifier",
        "TunedThresholdClassifierCV", "VotingClassifier",
    }  # fmt: skip


def test_the_arguments_are_fields_with_scikit_learns_words():
    fields = fields_of(find("model", "sklearn.svm:SVC"))
    assert {"C", "kernel", "gamma", "degree", "class_weight"} <= set(fields)
    assert not {"random_state", "verbose", "n_jobs"} & set(fields)
    assert 'one of "linear", "poly"' in fields["kernel"].accepts
    assert fields["C"].doc.startswith("Regularization parameter.")
    assert find("model", "sklearn.svm:SVC").defaults["C"] == "1.0"
    assert find("model", "sklearn.svm:SVC").defaults["class_weight"] == "None"


def test_only_given_arguments_are_the_configuration():
    cls = find("model", "sklearn.svm:SVC")
    assert cls().config() == {}
    assert cls(C=1).config() == {"C": 1.0}
    layers = find("model", "sklearn.neural_network:MLPClassifier")(hidden_layer_sizes=[8, 4])
    assert layers.config() == {"hidden_layer_sizes": [8, 4]}
    assert layers.build().hidden_layer_sizes == (8, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"C": -1.0}, r"The 'C' parameter of SVC must be a float in the range \(0\.0, inf\]?\)?\.? ?.*Got -1\.0"),
        ({"C": "much"}, 'C: got "much"'),
        ({"kernel": "lineer"}, 'kernel: got "lineer".*Did you mean "linear"'),
        ({"gamma": -0.5}, "The 'gamma' parameter of SVC must be"),
        ({"c": 1.0}, 'Did you mean "C"|unexpected keyword'),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_fitted(arguments, message):
    with pytest.raises((ConfigError, TypeError)) as caught:
        find("model", "sklearn.svm:SVC")(**arguments)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_decision_function_is_the_logit():
    expected = SVC(C=0.5).fit(X, Y)
    model = fitted("sklearn.svm:SVC", C=0.5)
    np.testing.assert_array_equal(model.decision(X), expected.decision_function(X))
    assert model.log_odds(X, model.decision(X)) is None  # margins are no log-odds
    assert LinearSVC().fit(X, Y).decision_function(X).shape == fitted("sklearn.svm:LinearSVC").decision(X).shape


def test_without_one_it_is_the_clipped_log_odds_of_the_probability():
    model = fitted("sklearn.ensemble:RandomForestClassifier", n_estimators=5)
    seed = int(generator().integers(2**32))
    p = RandomForestClassifier(n_estimators=5, random_state=seed).fit(X, Y).predict_proba(X)[:, 1]
    assert p.max() == 1.0
    z = model.decision(X)
    np.testing.assert_allclose(z, logit(np.clip(p, SMALLEST, 1 - SMALLEST)), rtol=1e-12)
    assert np.isfinite(z).all()
    assert model.log_odds(X, z) is z


def test_without_either_it_is_plus_or_minus_one(tmp_path):
    (tmp_path / "plain.py").write_text(
        "from sklearn.base import BaseEstimator, ClassifierMixin\n\n\n"
        "class Sign(ClassifierMixin, BaseEstimator):\n"
        "    def __init__(self, column=0):\n        self.column = column\n\n"
        "    def fit(self, X, y):\n        return self\n\n"
        "    def predict(self, X):\n        return (X[:, self.column] > 0).astype(int)\n"
    )
    model = find("model", "plain:Sign", tmp_path)(column=1)
    model.fit(X, Y, generator())
    np.testing.assert_array_equal(model.decision(X), np.sign(X[:, 1]))
    assert model.log_odds(X, model.decision(X)) is None
    assert model.config() == {"column": 1}


def test_log_odds_are_those_of_the_probabilities():
    logistic = fitted("sklearn.linear_model:LogisticRegression", C=2.0)
    expected = LogisticRegression(C=2.0).fit(X, Y)
    np.testing.assert_allclose(expit(logistic.decision(X)), expected.predict_proba(X)[:, 1], rtol=1e-12)
    assert logistic.log_odds(X, z := logistic.decision(X)) is z
    boosted = fitted("sklearn.ensemble:GradientBoostingClassifier", loss="exponential", n_estimators=3)
    again = GradientBoostingClassifier(loss="exponential", n_estimators=3).fit(X, Y)
    z = boosted.decision(X)  # of the exponential loss: half the log-odds
    np.testing.assert_allclose(boosted.log_odds(X, z), logit(again.predict_proba(X)[:, 1]), rtol=1e-9)
    assert not np.allclose(boosted.log_odds(X, z), z)


def test_the_generator_decides_the_random_state():
    def forest(seed):
        model = find("model", "sklearn.ensemble:RandomForestClassifier")(n_estimators=3)
        model.fit(X, Y, generator(seed))
        return model.decision(X)

    np.testing.assert_array_equal(forest(0), forest(0))
    assert not np.array_equal(forest(0), forest(1))


def test_unfitted_says_so():
    with pytest.raises(DataError, match="SVC is not fitted yet"):
        find("model", "sklearn.svm:SVC")().decision(X)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)),
                                   lambda m: pickle.loads(cloudpickle.dumps(m))])  # fmt: skip
def test_it_can_be_copied_and_sent(again):
    model = fitted("sklearn.svm:SVC", C=0.5)
    other = again(model)
    assert type(other) is type(model)
    assert other == model
    np.testing.assert_array_equal(other.decision(X), model.decision(X))


def test_a_copy_to_be_fitted_leaves_the_original_alone():
    plain = find("model", "sklearn.svm:SVC")()
    plain.fresh().fit(X, Y, generator())
    with pytest.raises(DataError, match="not fitted"):
        plain.decision(X)


def test_other_classes_than_classifiers_stay_unknown():
    with pytest.raises(ConfigError, match="unknown model in collections"):
        find("model", "collections:OrderedDict")
