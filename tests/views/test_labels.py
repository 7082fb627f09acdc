"""Names of models whose training differs in a field that has fields of its own."""

from __future__ import annotations

import pandas as pd

from qlab.views.labels import label_models


def frame(*rows):
    return pd.DataFrame([{"task.type": "XXZ", "model.type": "MLP", **row} for row in rows])


def test_a_loss_is_named_and_its_fields_where_they_differ():
    found = label_models(
        frame(
            {},
            {"training.loss.type": "GeneralizedCrossEntropy", "training.loss.q": 0.3},
            {"training.loss.type": "GeneralizedCrossEntropy", "training.loss.q": 0.7},
            {"training.loss.type": "my:Focal", "training.loss.gamma": 2.0, "training.loss.code": "abc"},
        )
    )
    assert list(found) == [
        "MLP",
        "MLP training.loss=GeneralizedCrossEntropy training.loss.q=0.3",
        "MLP training.loss=GeneralizedCrossEntropy training.loss.q=0.7",
        "MLP training.loss=my:Focal",
    ]


def test_versions_of_a_loss_are_told_apart():
    loss = {"training.loss.type": "my:Focal"}
    found = label_models(frame({**loss, "training.loss.code": "abc"}, {**loss, "training.loss.code": "def"}))
    assert list(found) == ["MLP training.loss.code=abc", "MLP training.loss.code=def"]


def test_of_several_settings_those_of_other_rows_are_left_out():
    usual = {"training.optimizer": "Adam", "training.weight_decay": 0.0, "model.dropout": 0.0}
    found = label_models(
        frame(
            usual,
            {**usual, "model.dropout": 0.5},
            {**usual, "training.optimizer": "AdamW", "training.weight_decay": 1.0},
        )
    )
    assert list(found) == ["MLP", "MLP dropout=0.5", "MLP training.optimizer=AdamW training.weight_decay=1"]


def test_a_single_setting_is_named_whatever_its_value():
    assert list(label_models(frame({"model.dropout": 0.0}, {"model.dropout": 0.5}))) == [
        "MLP dropout=0",
        "MLP dropout=0.5",
    ]
