"""What a metric gets, which rows are meant, and what it may return."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from qlab.corruptions.base import Corrupted
from qlab.errors import ConfigError, DataError
from qlab.metrics import BalancedAccuracy, Metric, Rows
from qlab.metrics.evaluation import EpochMetrics, Evaluated, tried, value_of
from qlab.tasks import Split

Y = torch.tensor([0, 1, 0, 1, 1])
MASK = torch.tensor([True, False, False, True, False])


class Given(Metric):
    """Returns what it is told to."""

    def compute(self, logits, split):
        return RETURNED[0](logits, split)


RETURNED: list[Any] = [None]


def returning(function):
    RETURNED[0] = function
    return Given()


def trial():
    x = torch.arange(10, dtype=torch.float64).reshape(5, 2)
    corrupted = Corrupted(Split(x, torch.where(MASK, 1 - Y, Y), {"place": torch.arange(5)}), MASK, Y)
    validation = Split(x[:3] + 100.0, Y[:3])
    return Evaluated(corrupted, {"validation": Rows.clean(validation)})


def clean(n=4):
    return Rows.clean(Split(torch.zeros(n, 1), torch.arange(n) % 2))


def test_each_choice_of_rows_gets_its_labels_features_and_logits():
    rows, z = trial(), torch.arange(8, dtype=torch.float64)
    expected = {"train": range(5), "retain": [1, 2, 4], "forget": [0, 3]}
    for on, chosen in expected.items():
        own = rows.rows(on)
        assert own.x[:, 0].tolist() == [2.0 * row for row in chosen]
        assert own.clean_y.tolist() == Y[list(chosen)].tolist()
        assert own.y.tolist() == [1 - int(Y[row]) if MASK[row] else int(Y[row]) for row in chosen]
        assert own.about["place"].tolist() == list(chosen)
        assert rows.logits(on, z).tolist() == list(chosen)
    assert rows.logits("validation", z).tolist() == [5, 6, 7]
    assert not rows.rows("validation").mask.any()
    with pytest.raises(DataError, match="no test split"):
        rows.rows("test")


@pytest.mark.parametrize("number", [0.5, 1, np.float32(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor([2])])
def test_numbers_of_any_kind_are_taken(number):
    assert value_of(returning(lambda z, split: number), torch.zeros(4), clean()) == float(number)


def test_nan_is_a_value():
    assert math.isnan(value_of(returning(lambda z, split: math.nan), torch.zeros(4), clean()))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "got NoneType"),
        ("0.5", "got str"),
        (True, "got bool"),
        (1j, "got complex"),
        (torch.zeros(4), r"got Tensor of shape \[4\], .* For a value of each row: \.mean\(\)"),
        (np.zeros((2, 2)), r"got ndarray of shape \[2, 2\]"),
    ],
)
def test_what_is_no_number_is_refused_with_file_and_line(value, said):
    with pytest.raises(ConfigError, match=rf"Given\.compute \(test_evaluation\.py, line \d+\): {said}"):
        value_of(returning(lambda z, split: value), torch.zeros(4), clean())


def test_changes_in_place_do_not_reach_the_data():
    rows = clean()

    def change(z, split):
        z += 1.0
        split.x.fill_(9.0)
        split.y.zero_()
        return 0.0

    z = torch.zeros(4, dtype=torch.float64)
    value_of(returning(change), z, rows)
    assert not z.any()
    assert not rows.x.any()
    assert rows.y.any()


def test_what_is_raised_is_a_reason_with_its_place():
    def divide(z, split):
        return 1 / 0

    said = tried(returning(divide), trial(), torch.zeros(8))
    assert isinstance(said, str)
    assert "ZeroDivisionError: division by zero [in test_evaluation.py, line" in said


def test_over_epochs_a_metric_that_fails_for_one_member_goes_on_for_others():
    def positive(z, split):
        if bool((z < 0).any()):
            raise ValueError("negative")
        return float(z.mean())

    metric = returning(positive)
    epochs = EpochMetrics([metric], [trial(), trial()])
    for sign in (-1.0, 1.0):
        found = epochs(torch.stack([torch.ones(8), sign * torch.ones(8)]))["validation_given"]
        assert found[0] == 1.0
        assert math.isnan(found[1])  # also when it would not fail any more
    assert list(epochs.failed) == [(1, "validation_given")]
    assert "ValueError: negative" in epochs.failed[1, "validation_given"]


@pytest.mark.parametrize("name", ["", "9lives", "a b", "a.b", "a/b"])
def test_a_name_that_the_store_would_not_take_is_refused(name):
    with pytest.raises(ConfigError, match="accepts a letter, followed by letters, digits and underscores"):
        BalancedAccuracy(name=name)


def test_test_rows_are_not_looked_at_after_every_epoch():
    with pytest.raises(ConfigError, match='when: got "epoch" with on = "test", accepts "end"'):
        BalancedAccuracy(on="test", when="epoch")


@pytest.mark.parametrize(
    ("name", "expected"), [("AttackSuccess", "attack_success"), ("ROCCurve", "roc_curve"), ("F1Score", "f1_score")]
)
def test_names_of_classes_become_names_of_metrics(name, expected):
    assert type(name, (Given,), {"__module__": __name__})().logged_as == f"validation_{expected}"
