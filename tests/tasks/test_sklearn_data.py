"""Data sets of scikit-learn as tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import datasets

from qlab import Sklearn
from qlab.errors import ConfigError, DataError
from qlab.tasks.base import load_data


def rows(data):
    """All rows of a data set, with their classes, in an order of their own."""
    x = torch.cat([split.x for split in data.splits.values()])
    y = torch.cat([split.y for split in data.splits.values()])
    return sorted((*row, label) for row, label in zip(x.tolist(), y.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "positive", "number", "classes"),
    [
        ("breast_cancer", "malignant", 0, ("benign", "malignant")),
        ("breast_cancer", 1, 1, ("malignant", "benign")),
        ("iris", "virginica", 2, ("not virginica", "virginica")),
        ("wine", 0, 0, ("not class_0", "class_0")),
        ("digits", 7, 7, ("not 7", 7)),
    ],
)
def test_measured_data_are_those_of_scikit_learn_one_class_against_the_others(name, positive, number, classes):
    data = load_data(Sklearn(name=name, positive=positive, scale="none"))
    x, target = getattr(datasets, f"load_{name}")(return_X_y=True)
    expected = sorted((*row, label) for row, label in zip(x.tolist(), (target == number).tolist(), strict=True))
    assert rows(data) == expected
    assert data.preprocessing.classes == classes


@pytest.mark.parametrize(
    ("name", "make", "fields"),
    [
        ("moons", datasets.make_moons, {"noise": 0.1}),
        ("circles", datasets.make_circles, {"noise": 0.1, "factor": 0.5}),
        ("blobs", datasets.make_blobs, {"cluster_std": 0.1, "n_features": 4, "centers": 2}),
    ],
)
def test_drawn_data_are_those_of_scikit_learn(name, make, fields):
    data = load_data(Sklearn(name=name, n=60, noise=0.1, scale="none", seed=5))
    x, y = make(60, random_state=5, **fields)
    assert rows(data) == sorted((*row, label) for row, label in zip(x.tolist(), y.tolist(), strict=True))


def test_classification_has_noise_on_features_and_none_on_labels():
    clean, noisy = (load_data(Sklearn(name="classification", n=4000, noise=noise, scale="none")) for noise in (0, 0.3))
    for name, split in clean.splits.items():
        other = noisy.splits[name]
        assert torch.equal(split.y, other.y)
        difference = other.x - split.x
        assert abs(float(difference.std()) - 0.3) < 4 * 0.3 / (2 * difference.numel()) ** 0.5
        assert abs(float(difference.mean())) < 4 * 0.3 / difference.numel() ** 0.5


@pytest.mark.parametrize("features", [1, 2, 3, 8])
def test_classification_has_as_many_features_as_asked_for(features):
    assert load_data(Sklearn(name="classification", features=features)).train.x.shape == (240, features)


def test_columns_are_chosen_by_name():
    names = ("mean area", "worst texture")
    data = load_data(Sklearn(columns=names, scale="none"))
    found = datasets.load_breast_cancer(as_frame=True).frame
    assert {tuple(row[:2]) for row in rows(data)} == set(map(tuple, found[list(names)].to_numpy().tolist()))
    assert data.preprocessing.columns == names


def test_another_seed_is_another_split():
    first, second = (Sklearn(seed=seed).load().train.x for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"name": "iris", "positive": "rose"}, DataError, r'positive: got "rose", accepts a class of "iris": "setosa"'),
        ({"name": "iris", "positive": 3}, DataError, r"or its number from 0 to 2"),
        ({"name": "moons", "positive": "up"}, ConfigError, r'positive: got "up", accepts 0 or 1: "moons" has no names'),
        (
            {"name": "moons", "features": 3},
            ConfigError,
            r'features: got 3, which "moons" is not drawn with',
        ),
        ({"name": "wine", "noise": 0.2}, ConfigError, r'noise: got 0.2, which "wine" is not drawn with'),
        ({"name": "moons", "n": 4}, DataError, r"n: got 4, accepts at least 6"),
        ({"name": "iris", "columns": ("petal",)}, DataError, r'columns: "iris" has no column "petal"'),
        ({"name": "irises"}, ConfigError, r'name: got "irises".*Did you mean "iris"'),
    ],
)
def test_what_does_not_fit_is_refused(fields, error, said):
    with pytest.raises(error, match=said):
        load_data(Sklearn(**fields))
