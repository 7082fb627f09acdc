"""Metrics of one's own in tables and figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qlab.tracking import names
from qlab.views.resilience import accuracy_against_ratio, panels_of
from qlab.views.summary import summarize
from qlab.views.training import curves_over_epochs


def trials(**columns):
    ratios = [0.0, 0.0, 0.5, 0.5]
    frame = pd.DataFrame(
        {
            "run_id": list("abcd"),
            "seed": [0, 1, 0, 1],
            "status": "FINISHED",
            "health": "healthy",
            "model.type": "MLP",
            "corruption.type": "LabelFlip",
            "corruption.ratio": ratios,
            "train_accuracy": 0.9,
            "validation_accuracy": 0.8,
            names.NOT_FINITE: [(), (), (), ("validation_auc",)],
            names.MEASURED: [(("validation_auc", "0123 end"),)] * 4,
            "validation_auc": [0.5, 0.7, 0.6, np.nan],
        }
    )
    return frame.assign(**columns)


def test_means_are_over_finite_values_and_others_are_named() -> None:
    table = summarize(trials())
    np.testing.assert_allclose(table["validation_auc_mean"], [0.6, 0.6])
    assert table["left_out"].tolist() == ["", "validation_auc not a number"]
    assert table["kept"].tolist() == [2, 2]


def test_each_has_a_panel() -> None:
    table = summarize(trials())
    assert [metric for metric, _ in panels_of(table)] == ["validation_accuracy", "train_accuracy", "validation_auc"]
    assert len(accuracy_against_ratio(table)) == 3


def test_of_what_was_chosen_test_accuracy_is_drawn_first() -> None:
    chosen = trials(test_accuracy=0.7)
    chosen["select.over"] = [("training.learning_rate",)] * 4
    chosen["training.learning_rate"] = [0.1, 0.1, 0.2, 0.2]
    table = summarize(chosen)
    assert table["model"].tolist() == ["MLP", "MLP"]
    assert table["chosen"].tolist() == ["learning_rate 0.1", "learning_rate 0.2"]
    assert panels_of(table)[0][0] == "test_accuracy"
    assert "test_accuracy" not in dict(panels_of(summarize(trials(test_accuracy=0.7))))


def test_curves_get_a_panel_and_last_values_none() -> None:
    rows = [("a", name, step, 0.5) for name in ("train_loss", "validation_auc") for step in (1, 2)]
    rows += [("a", "forget_attack", 2, 0.5)]
    history = pd.DataFrame(rows, columns=["run_id", "metric", "step", "value"])
    assert len(curves_over_epochs(history, pd.Series({"a": "MLP"}))) == 3
