"""Names of models whose training differs in a field that has fields of its own."""

from __future__ import annotations

import pandas as pd

from qlab.views.labels import label_models, varying


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


def noisy(*channels):
    """Params of a circuit with these channels, by their names and strengths."""
    found = {"model.type": "PennyLaneQNN"}
    for number, (channel, p) in enumerate(channels, start=1):
        own = {"channel": channel, "p": p, "after": "readout" if channel == "ReadoutError" else "all", "wires": "[]"}
        found |= {f"model.noise.{number}.{name}": value for name, value in own.items()}
    return found


def test_of_a_channel_that_some_circuits_have_only_what_differs_among_them_is_named():
    rows = frame(
        noisy(),
        noisy(("BitFlip", 0.1)),
        noisy(("BitFlip", 0.1), ("ReadoutError", 0.0)),
        noisy(("BitFlip", 0.1), ("ReadoutError", 0.02)),
        noisy(("BitFlip", 0.1), ("PhaseFlip", 0.3)),
    )
    assert list(label_models(rows)) == [
        "PennyLaneQNN",
        "PennyLaneQNN noise.1=BitFlip",
        "PennyLaneQNN noise.1=BitFlip noise.2=ReadoutError noise.2.p=0",
        "PennyLaneQNN noise.1=BitFlip noise.2=ReadoutError noise.2.p=0.02",
        "PennyLaneQNN noise.1=BitFlip noise.2=PhaseFlip",
    ]
    assert varying(rows) == ["model.type", "model.noise.1.channel", "model.noise.2.channel", "model.noise.2.p"]
