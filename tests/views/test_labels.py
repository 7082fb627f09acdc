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
