"""Figures the explorer adds to those of reports: every one with both backends, from numbers known in advance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from qlab.errors import DataError
from qlab.landscape import ProbeResult
from qlab.views.data_map import SPIKES, amplitudes
from qlab.views.labels import label_models, varying
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.saving import page_html, picture_bytes
from qlab.views.slices import cut_picture, surface_picture
from qlab.views.summary import labelled_trials, summarize
from qlab.views.training import curves_over_epochs
from qlab.views.unlearning import accuracy_against_step, curves_of, final_bars, summarize_unlearning, trade_off


def trial(model: str = "MLP", seed: int = 0, ratio: float = 0.2, accuracy: float = 0.9, **more: Any) -> dict[str, Any]:
    row = {"run_id": f"{model}{seed}{ratio}{more}", "model.type": model, "corruption.type": "LabelFlip", "seed": seed}
    row |= {"corruption.ratio": ratio, "status": "FINISHED", "health": "healthy", "task.type": "XXZ"}
    row |= {"train_accuracy": accuracy, "validation_accuracy": accuracy}
    return row | {name.replace("__", "."): value for name, value in more.items()}


def drawn(figure: Any) -> None:
    """With both backends; warnings are errors."""
    hv.render(figure, backend="bokeh")
    assert picture_bytes(figure, "png", dpi=40).startswith(b"\x89PNG")
    assert picture_bytes(figure, "svg").lstrip().startswith(b"<?xml")


def test_params_that_differ_are_those_that_can_tell_groups_apart() -> None:
    frame = pd.DataFrame(
        [
            trial(training__epochs="2", model__depth="1"),
            trial(training__epochs="3", model__depth="1", seed=1, ratio=0.4),
        ]
    )
    assert varying(frame) == ["model.type", "training.epochs"]


def test_grouping_by_less_averages_over_the_rest() -> None:
    frame = pd.DataFrame(
        [
            trial(accuracy=0.6, training__epochs="2"),
            trial(accuracy=0.8, training__epochs="3"),
            trial("PennyLaneQNN", accuracy=1.0, training__epochs="2"),
        ]
    )
    assert set(label_models(frame)) == {"MLP training.epochs=2", "MLP training.epochs=3", "PennyLaneQNN"}
    table = summarize(frame, ["model.type"]).set_index("model")
    assert table.loc["MLP", "validation_accuracy_mean"] == pytest.approx(0.7)
    assert table.loc["MLP", "kept"] == 2
    assert set(label_models(frame, ["training.epochs"])) == {"training.epochs=2", "training.epochs=3"}
    assert set(label_models(frame, ["no.such"])) == {"all"}


def test_every_run_is_drawn_beside_the_means() -> None:
    frame = pd.DataFrame(
        [trial(seed=seed, ratio=r, accuracy=0.5 + r + seed / 10) for seed in (0, 1) for r in (0.0, 0.4)]
    )
    plain = accuracy_against_ratio(summarize(frame))
    traced = accuracy_against_ratio(summarize(frame), traces=labelled_trials(frame))
    means, both = ([part.dframe() for part in one.traverse(lambda part: part, [hv.Curve])] for one in (plain, traced))
    assert not any("seed" in part for part in means)
    lines = [part for part in both if "seed" in part]
    assert len(lines) == 2  # one in each panel, with a gap between seeds
    one = lines[0][["ratio", "mean"]].to_numpy()
    expected = [[0.0, 0.5], [0.4, 0.9], [math.nan, math.nan], [0.0, 0.6], [0.4, 1.0]]
    np.testing.assert_allclose(one, expected, rtol=1e-12)
    drawn(traced)


def test_training_curves_are_means_over_the_runs_of_a_label() -> None:
    rows = [
        (run, f"{split}_{what}", epoch, value + epoch)
        for run, value in (("a", 0.0), ("b", 1.0))
        for split in ("train", "validation")
        for what in ("loss", "accuracy")
        for epoch in (1, 2)
    ]
    history = pd.DataFrame(rows, columns=["run_id", "metric", "step", "value"])
    figure = curves_over_epochs(history, pd.Series({"a": "MLP", "b": "MLP"}))
    curves = figure.traverse(lambda curve: curve, [hv.Curve])
    assert [curve.label for curve in curves] == ["MLP, train (2)", "MLP, validation (2)"] * 2
    assert curves[0]["value"].tolist() == [1.5, 2.5]
    drawn(figure)
    drawn(curves_over_epochs(history.iloc[:0], pd.Series({"a": "MLP"})))


@pytest.fixture
def unlearned() -> pd.DataFrame:
    """Two methods on two teachers."""
    return pd.DataFrame(
        [
            trial(seed=seed, accuracy=0.7 + seed / 10, **{"unlearner__type": method})
            | {
                "forget_accuracy_polluted": 0.3,
                "retain_accuracy": 0.9,
                "oracle_accuracy": 0.95,
                "oracle_accuracy_std": 0.01,
            }
            for method in ("Scrub", "Finetune")
            for seed in (0, 1)
        ]
    )


def test_bars_and_trade_off_show_every_method(unlearned: pd.DataFrame) -> None:
    table = summarize_unlearning(unlearned)
    bars = final_bars(table, ["validation_accuracy", "retain_accuracy"])
    heights = bars.traverse(lambda part: part, [hv.Bars])
    assert [sorted(part["mean"].tolist()) for part in heights] == [pytest.approx([0.75] * 2), pytest.approx([0.9] * 2)]
    drawn(bars)
    figure = trade_off(unlearned)
    points = figure.traverse(lambda part: part, [hv.Points])
    assert sorted(part.label for part in points) == ["Finetune (2 of 2 runs)", "Scrub (2 of 2 runs)"]
    assert points[0].dimension_values("forget_accuracy_polluted").tolist() == [0.3, 0.3]
    drawn(figure)


def test_any_metric_is_drawn_over_steps_with_the_oracles_noise_floor(unlearned: pd.DataFrame) -> None:
    table = summarize_unlearning(unlearned)
    history = pd.DataFrame(
        [
            {"model": "MLP", "corruption": "LabelFlip", "ratio": 0.2, "method": "Scrub", "metric": metric, "step": step}
            | {"value": 0.5}
            for metric in ("validation_accuracy", "retain_loss")
            for step in (0, 1, 2)
        ]
    )
    figure = accuracy_against_step(curves_of(history), table, metrics=["validation_accuracy", "retain_loss"])
    band = figure.traverse(lambda part: part, [hv.Spread])[0]
    assert band["mean"].tolist() == [0.95, 0.95]
    assert band["deviation"].tolist() == pytest.approx([0.01, 0.01])
    drawn(figure)


@pytest.fixture
def bowl() -> ProbeResult:
    """A slice of a paraboloid, a^2 + 2 b^2."""
    axis = np.linspace(-1.0, 1.0, 5)
    loss = axis[:, None] ** 2 + 2.0 * axis[None, :] ** 2
    arrays = {
        "axis": axis,
        "loss": loss,
        "accuracy": 1.0 - loss / 3.0,
        "directions": np.eye(2),
        "marks": np.zeros((1, 3)),
    }
    scalars = {"direction_length_1": 1.0, "direction_length_2": 1.0}
    return ProbeResult(scalars, arrays, "slice", {"marks": ["trained"]}, "SliceProbe", {"directions": "random"})


def test_a_cut_runs_along_both_axes_through_the_nearest_grid_point(bowl: ProbeResult) -> None:
    figure = cut_picture({"one": bowl, "two": bowl}, (0.4, -0.9))
    along_a, _, along_b, _ = figure.traverse(lambda curve: curve, [hv.Curve])
    assert along_a["loss"].tolist() == pytest.approx([3.0, 2.25, 2.0, 2.25, 3.0])  # b = -1
    assert along_b["loss"].tolist() == pytest.approx([2.25, 0.75, 0.25, 0.75, 2.25])  # a = 0.5
    drawn(figure)


def test_a_surface_is_drawn_and_a_line_has_none(bowl: ProbeResult) -> None:
    assert picture_bytes(surface_picture(bowl), "png", dpi=40).startswith(b"\x89PNG")
    line = ProbeResult(bowl.scalars, {**bowl.arrays, "loss": bowl.arrays["loss"][0]})
    with pytest.raises(DataError, match="no surface"):
        surface_picture(line)


def test_long_vectors_show_their_largest_amplitudes() -> None:
    vector = np.zeros(2**14, dtype=complex)
    vector[[5, 16000]] = [0.6j, -0.8]
    spikes = amplitudes(vector, "a state")
    assert len(spikes) == SPIKES
    shown = dict(zip(spikes["basis state"].tolist(), spikes["modulus"].tolist(), strict=True))
    assert (shown[5], shown[16000]) == pytest.approx((0.6, 0.8))


def test_a_page_holds_its_figures_and_shows_its_title_as_text(tmp_path: Path, hostile: str) -> None:
    page = page_html([hv.Curve([1, 2]), hv.Curve([3, 4])], hostile)
    assert hostile not in page
    assert page.count("data-root-id") == 2
