"""Runs crossed by two params: cells, controls, and when a map is drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.mapped_runs import RATIOS, STRENGTHS, accuracy, frame_of, noisy, run

from qlab.errors import ConfigError
from qlab.views.controls import Control
from qlab.views.crossed import Crossing, cells
from qlab.views.mapped import sketches
from qlab.views.sweeps import map_worth_drawing, second_axis, strengths, swept_numbers

RATIO = ("corruption.ratio",)
P = ("model.noise.1.p",)


def crossed(rows: list[dict[str, Any]], control: dict[str, Any] | None = None, y: tuple[str, ...] = P) -> pd.DataFrame:
    return cells(frame_of(rows), Crossing(RATIO, y, "validation_accuracy", control and Control(control)))


def cell(table: pd.DataFrame, x: float, y: float) -> dict[str, Any]:
    (found,) = table[(table["x"] == x) & (table["y"] == y)].to_dict("records")
    return found


def test_each_cell_is_the_mean_over_seeds_with_its_deviation() -> None:
    table = crossed(noisy())
    assert len(table) == len(RATIOS) * len(STRENGTHS)
    for ratio in RATIOS:
        for strength in STRENGTHS:
            own = cell(table, ratio, strength)
            values = [accuracy(ratio, strength, seed) for seed in (0, 1)]
            assert own["mean"] == pytest.approx(sum(values) / 2)
            assert own["std"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
            assert (own["kept"], own["runs"], own["left_out"]) == (2, 2, "")


def test_runs_that_do_not_count_are_counted() -> None:
    rows = noisy()
    rows[0]["health"] = "diverged"
    rows[1]["validation_accuracy"] = math.nan
    rows[2]["status"] = "FAILED"
    table = crossed(rows)
    lost = cell(table, 0.0, 0.0)
    assert (lost["kept"], lost["runs"], lost["left_out"]) == (0, 2, "diverged, no validation_accuracy")
    assert math.isnan(lost["mean"])
    assert cell(table, 0.0, 0.001)["left_out"] == "failed"


def test_pairs_that_were_not_tried_have_no_cell() -> None:
    rows = [row for row in noisy() if (row["corruption.ratio"], row["model.noise.1.p"]) != (0.2, 0.01)]
    assert len(crossed(rows)) == 11


def test_what_is_on_no_axis_makes_a_map_each() -> None:
    table = crossed([*noisy("BitFlip"), *noisy("PhaseFlip")])
    assert table["model"].nunique() == 2
    assert all(len(own) == 12 for _, own in table.groupby("model"))


def test_channels_that_call_their_strength_differently_share_an_axis() -> None:
    rows = [*noisy("BitFlip"), *noisy("AmplitudeDamping", "gamma")]
    frame = frame_of(rows)
    assert strengths(frame) == ("model.noise.1.gamma", "model.noise.1.p")
    table = crossed(rows, y=strengths(frame))
    assert [sorted(set(own["y"])) for _, own in table.groupby("model")] == [list(STRENGTHS)] * 2
    assert (table["runs"] == 2).all()


def test_an_axis_of_methods() -> None:
    rows = [
        run(seed=seed, validation_accuracy=0.5 + known / 10)
        | {"corruption.known": known, "unlearner.type": method, "unlearner.steps": 5}
        for known in (0.25, 0.5, 1.0)
        for method in ("Scrub", "Finetune")
        for seed in (0, 1)
    ]
    crossing = Crossing(("corruption.known",), ("method",), "validation_accuracy")
    table = cells(frame_of(rows), crossing, "method")
    assert set(table["y"]) == {"Scrub", "Finetune"}
    assert "method" not in table
    assert len(table) == 6


def test_differences_are_of_the_same_seed() -> None:
    # Seeds differ by far more than strengths do: only pairs see what the strength does.
    table = crossed(noisy(reach=lambda ratio, p, seed: seed * 0.3 - p), {"model.noise.1.p": 0.0})
    own = cell(table, 0.2, 0.1)
    assert own["difference"] == pytest.approx(-0.1)
    assert own["difference_std"] == pytest.approx(0.0, abs=1e-12)
    assert own["pairs"] == 2
    assert own["std"] > 0.2
    assert cell(table, 0.2, 0.0)["difference"] == 0.0


def test_only_seeds_that_both_have_are_paired() -> None:
    rows = [row for row in noisy(seeds=(0, 1, 2)) if row["model.noise.1.p"] > 0.0 or row["seed"] < 2]
    assert cell(crossed(rows, {"model.noise.1.p": 0.0}), 0.2, 0.1)["pairs"] == 2


def test_without_common_seeds_the_means_are_compared() -> None:
    rows = noisy(seeds=(0, 1), strengths=(0.1,)) + noisy(seeds=(5, 6), strengths=(0.0,))
    own = cell(crossed(rows, {"model.noise.1.p": 0.0}), 0.2, 0.1)
    ours, theirs = ([accuracy(0.2, p, seed) for seed in seeds] for p, seeds in ((0.1, (0, 1)), (0.0, (5, 6))))
    assert own["pairs"] == 0
    assert own["difference"] == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert own["difference_std"] == pytest.approx(math.hypot(np.std(ours, ddof=1), np.std(theirs, ddof=1)))


def test_the_control_is_of_the_same_ratio_and_channel() -> None:
    rows = noisy("BitFlip") + noisy("PhaseFlip", reach=lambda ratio, p, seed: 0.5)
    table = crossed(rows, {"model.noise.1.p": 0.0})
    for row in table.to_dict("records"):
        expected = 0.0 if "PhaseFlip" in row["model"] else -2.0 * row["y"]
        assert row["difference"] == pytest.approx(expected)


def test_noiseless_runs_with_the_scale_that_was_measured() -> None:
    bare = [
        run(corruption__ratio=ratio, seed=seed, model__scale=scale, validation_accuracy=scale / 10)
        for ratio in RATIOS
        for seed in (0, 1)
        for scale in (5.0, 4.5, 2.0)
    ]
    group = {"model.noise": [], "model.scale": "noise_attenuation"}
    table = crossed(noisy(reach=lambda *_: 0.7) + bare, group)
    # The attenuation at strength 0.1 is 0.9: the scale sought is 4.5.
    assert cell(table, 0.4, 0.1)["difference"] == pytest.approx(0.7 - 0.45)
    assert cell(table, 0.4, 0.1)["against"] == "scale 4.5 for 4.5"
    assert cell(table, 0.4, 0.001)["difference"] == pytest.approx(0.7 - 0.5)


def test_a_scale_that_is_far_off_is_no_control() -> None:
    bare = [run(corruption__ratio=ratio, model__scale=2.0) for ratio in RATIOS]
    table = crossed(noisy() + bare, {"model.noise": [], "model.scale": "noise_attenuation"})
    assert table["difference"].isna().all()
    assert set(table["against"]) == {"no scale near 5", "no scale near 4.95", "no scale near 4.5"}


def test_a_control_of_several_models_is_refused() -> None:
    rows = noisy()
    for row in rows:
        del row["model.scale"]
    bare = [run(corruption__ratio=ratio, model__scale=scale) for ratio in RATIOS for scale in (1.0, 2.0)]
    with pytest.raises(ConfigError, match=r"several values of model.scale \(there is 1, 2\); say which"):
        crossed(rows + bare, {"model.noise": []})


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"model.noise.1.p": 0.5}, r"no run here has model.noise.1.p = 0.5 \(there is 0, 0.001, 0.01, 0.1\)"),
        ({"model.noise": []}, r"no run here has model.noise = \[\]"),
        ({"model.depth": 3}, "no run here has model.depth = 3"),
    ],
)
def test_a_control_that_is_not_there_is_named(group: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        crossed(noisy(), group)


def test_runs_without_noise_are_at_strength_zero_of_every_channel() -> None:
    bare = [
        run(corruption__ratio=ratio, seed=seed, validation_accuracy=accuracy(ratio, 0.0, seed))
        for ratio in RATIOS
        for seed in (0, 1)
    ]
    other = [run(corruption__ratio=ratio, model__scale=2.0, validation_accuracy=0.1) for ratio in RATIOS]
    noise = noisy(strengths=(0.01, 0.1)) + noisy("AmplitudeDamping", "gamma", strengths=(0.3,))
    rows = bare + other + noise
    axis = strengths(frame_of([*rows, *noisy("AmplitudeDamping", "gamma")]))
    table = crossed(rows, {"model.noise.1.p": 0.0}, axis)
    assert {label: sorted(set(own["y"])) for label, own in table.groupby("model")} == {
        "PennyLaneQNN noise.1=BitFlip": [0.0, 0.01, 0.1],
        "PennyLaneQNN noise.1=AmplitudeDamping": [0.0, 0.3],
    }
    for row in table.to_dict("records"):
        assert row["runs"] == 2
        assert row["mean"] == pytest.approx(sum(accuracy(row["x"], row["y"], seed) for seed in (0, 1)) / 2)
        assert row["difference"] == pytest.approx(-2.0 * row["y"])
        assert row["pairs"] == 2


def test_strength_zero_that_was_tried_stays_as_it_was() -> None:
    bare = [run(corruption__ratio=ratio, seed=seed) for ratio in RATIOS for seed in (0, 1)]
    table = crossed(noisy() + bare)
    assert (table["runs"] == 2).all()
    assert cell(table, 0.0, 0.0)["mean"] == pytest.approx(accuracy(0.0, 0.0, 0) + 0.005)


def test_a_map_stands_beside_the_curves_of_a_sweep_over_two_numbers() -> None:
    frame = frame_of(noisy() + noisy("PhaseFlip"))
    found = map_worth_drawing(frame, "validation_accuracy")
    assert found is not None
    assert (found.x, found.y) == (RATIO, P)
    assert found.control == Control({"model.noise.1.p": 0.0})
    assert swept_numbers(frame) == ["model.noise.1.p"]


def test_models_that_cross_nothing_are_counted_and_not_drawn() -> None:
    rows = noisy() + [run(corruption__ratio=ratio, model__depth=7) | {"model.noise.1.p": 0.5} for ratio in RATIOS]
    own = sketches(frame_of(rows), pd.DataFrame())["map"]
    assert (len(own.table), own.left) == (12, 3)
    assert own.caption == (
        "Validation accuracy over corruption ratio and error probability p: mean over seeds; beside it the difference "
        "to error probability p = 0, seed by seed. Crosses: not tried, or no run kept. 3 runs of models with one value "
        "of either: not here."
    )
    assert list(own.named_table.columns[2:4]) == ["corruption.ratio", "model.noise.1.p"]


def test_a_sweep_beside_two_strengths_is_found() -> None:
    rows = [
        row | {"training.learning_rate": rate}
        for row in noisy(strengths=(0.0, 0.1), seeds=(0,))
        for rate in (0.1, 0.2, 0.3, 0.4)
    ]
    found = map_worth_drawing(frame_of(rows), "validation_accuracy")
    assert found is not None
    assert found.y == ("training.learning_rate",)
    assert second_axis(frame_of(rows), RATIO) == P


@pytest.mark.parametrize(
    "rows",
    [
        noisy(strengths=(0.0, 0.01, 0.1)),  # too few strengths
        [row for row in noisy() if row["corruption.ratio"] < 0.3],  # too few ratios
        [run(model__type=name, corruption__ratio=ratio) for name in "abcd" for ratio in RATIOS],  # no numbers
        # Four values, but each of a model of its own.
        [run(model__type=n, corruption__ratio=r, model__depth=d) for d, n in enumerate("abcd") for r in RATIOS],
        [],
    ],
)
def test_other_experiments_keep_their_figures(rows: list[dict[str, Any]]) -> None:
    assert map_worth_drawing(frame_of(rows) if rows else pd.DataFrame(), "validation_accuracy") is None


def test_the_second_axis_is_the_param_with_most_values() -> None:
    rows = [
        run(corruption__ratio=ratio, model__depth=depth, training__learning_rate=rate)
        for ratio in RATIOS
        for depth in (1, 2)
        for rate in (0.1, 0.2, 0.3)
    ]
    assert second_axis(frame_of(rows), RATIO) == ("training.learning_rate",)
    assert second_axis(frame_of(rows[:1]), RATIO) is None
