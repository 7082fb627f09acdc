"""Heat maps of a store's results: names of params and metrics, controls, tables and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import qlab
from qlab.errors import ConfigError


def test_a_table_of_cells_is_that_of_the_frame(study: qlab.Results) -> None:
    table = study.map_table("train_loss", y="learning_rate")
    frame = study.frame.groupby(["model.type", "ratio", "training.learning_rate"])["train_loss"].agg(["mean", "std"])
    assert len(table) == len(frame) == 6
    for row in table.to_dict("records"):
        kind = "MLP" if "MLP" in row["model"] else "PennyLaneQNN"
        expected = frame.loc[kind, row["corruption.ratio"], row["training.learning_rate"]]
        assert (row["mean"], row["std"]) == pytest.approx((expected["mean"], expected["std"]))
        assert (row["kept"], row["runs"]) == (2, 2)


def test_the_second_axis_is_found(study: qlab.Results) -> None:
    assert "training.learning_rate" in study.map_table()


def test_the_control_is_subtracted_seed_by_seed(study: qlab.Results) -> None:
    table = study.map_table("train_loss", y="learning_rate", control={"model": "MLP", "learning_rate": 0.001})
    frame = study.frame.set_index(["model.type", "ratio", "training.learning_rate", "seed"])["train_loss"].sort_index()
    for row in table.to_dict("records"):
        kind = "MLP" if "MLP" in row["model"] else "PennyLaneQNN"
        ratio = row["corruption.ratio"]
        ours = frame[kind, ratio, row["training.learning_rate"]]
        own = ours - frame["MLP", ratio, 0.001]
        assert row["difference"] == pytest.approx(own.mean())
        assert row["difference_std"] == pytest.approx(own.std())
        assert row["pairs"] == 2


def test_methods_can_be_an_axis(study: qlab.Results) -> None:
    table = study.map_table("validation_accuracy", y="method", of="unlearning")
    assert set(table["method"]) == {"Finetune"}
    assert len(table) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": "acuracy"}, 'metric: unknown metric "acuracy". Did you mean "train_accuracy"'),
        ({"y": "learning_rat"}, 'y: unknown param "learning_rat". Did you mean "training.learning_rate"'),
        ({"y": "ratio"}, "y: got corruption.ratio, which is x already"),
        ({"y": "strength"}, "y: no run here has a channel of noise"),
        ({"y": "method"}, 'y: unknown label "method"'),
        ({"x": []}, "x: got no param"),
        ({"control": {}}, "control: got nothing"),
        ({"control": {"hiden": 3}}, 'control: unknown param "hiden"'),
        (
            {"control": {"learning_rate": 7}},
            r"no run here has training.learning_rate = 7 \(there is 0.001, 0.03, 0.1\)",
        ),
        ({"of": "probes"}, "metric: is needed for probes"),
        ({"contours": ["high"]}, "contours: got 'high', accepts finite numbers"),
    ],
)
def test_what_is_not_there_is_named(study: qlab.Results, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        study.heat_map(**options)


def test_a_map_is_written_for_print(study: qlab.Results, tmp_path: Path) -> None:
    file = study.save_heat_map(tmp_path / "map.pdf", "train_accuracy", y="learning_rate", contours=[0.5], width="7in")
    assert file.read_bytes().startswith(b"%PDF")
    with pytest.raises(ConfigError, match="figure"):
        study.save_heat_map(tmp_path / "map.bmp")


def test_a_notebook_draws_a_map_for_each_model(study: qlab.Results) -> None:
    assert len(study.heat_map(y="learning_rate")) == 2
    assert len(study.heat_map(y="model")) == 1
