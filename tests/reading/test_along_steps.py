"""Figures over the steps of unlearning: which runs follow steps, which metrics are drawn, and the lines there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from qlab.reading.along_steps import along_steps, figures_along, follows_steps, step_panels_of, stepped, types_along

METHODS = ("Finetune", "Scrub")
STEPS = (0, 5, 20)


def run(at: str, step: int | None, seed: int, value: float, **more: Any) -> dict[str, Any]:
    """A run of a probe, as a store's frame has it."""
    found = {
        "run_id": f"{at}{step}{seed}{more.get('probe.type')}{more.get('model.type')}",
        "status": "FINISHED",
        "health": "healthy",
        "seed": seed,
        "task.type": "XXZ",
        "model.type": "MLP",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.25,
        "probe.type": "HessianProbe",
        "probe.at": at,
        "probe.step": step,
        "hessian_trace": value,
        "hessian_eigenvalue_max": value / 2.0,
        "landscape_loss": value / 10.0,
    }
    return found | more


def followed(**more: Any) -> list[dict[str, Any]]:
    """Two methods over three steps, two seeds."""
    return [
        run(method, step, seed, 10.0 * number + step + seed, **more)
        for number, method in enumerate(METHODS, start=1)
        for step in STEPS
        for seed in (0, 2)
    ]


def levels(**more: Any) -> list[dict[str, Any]]:
    """The trained model and an oracle, which have no steps."""
    return [
        run(at, None, seed, value + seed, **more)
        for at, value in (("trained", 7.0), ("oracle", 3.0))
        for seed in (0, 2)
    ]


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def lines(panel: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {line.name: (line.x.tolist(), line.mean.tolist()) for line in panel.lines}


def test_runs_at_no_step_or_at_the_end_follow_none() -> None:
    """-1 is the end, whatever step that is: a run at it alone is no place on the axis."""
    runs = frame(
        run("trained", None, 0, 1.0), run("Scrub", -1, 0, 1.0), run("Scrub", 0, 0, 1.0), run("Scrub", 3, 0, 1.0)
    )
    assert stepped(runs).tolist() == [False, False, True, True]
    assert follows_steps(runs)
    assert not follows_steps(runs[:3])
    assert not follows_steps(runs[:2])
    assert types_along(runs[:2]) == []


def test_without_steps_there_is_no_figure() -> None:
    for runs in (frame(), frame(*levels()), frame(*followed())[lambda found: found["probe.step"] == 5]):
        assert not follows_steps(runs)
        assert figures_along(runs) == {}
    without_the_param = frame(*levels()).drop(columns="probe.step")
    assert not stepped(without_the_param).any()
    assert figures_along(without_the_param) == {}


def test_a_line_is_the_mean_over_seeds_at_each_step_with_its_deviation() -> None:
    (panel, _) = step_panels_of(frame(*followed()))
    assert lines(panel) == {"Finetune": ([0, 5, 20], [11.0, 16.0, 31.0]), "Scrub": ([0, 5, 20], [21.0, 26.0, 41.0])}
    for line in panel.lines:
        assert line.deviation.tolist() == pytest.approx([np.sqrt(2.0)] * 3)
    assert [line.label for line in panel.lines] == [f"{name} (2 of 2 runs)" for name in METHODS]
    assert (panel.xlabel, panel.title) == ("unlearning step", "")


def test_models_to_compare_with_are_level_lines_over_all_steps_behind_the_methods() -> None:
    (panel, _) = step_panels_of(frame(*levels(), *followed()))
    found = lines(panel)
    assert list(found) == [*METHODS, "trained model", "oracle"]
    assert found["trained model"] == ([0, 20], [8.0, 8.0])
    assert found["oracle"] == ([0, 20], [4.0, 4.0])
    assert {line.label for line in panel.lines[2:]} == {"trained model (2 of 2 runs)", "oracle (2 of 2 runs)"}
    assert len({line.style for line in panel.lines}) == 4


def test_methods_look_the_same_in_every_panel() -> None:
    """Also in that of a model to which only one was applied."""
    rows = [*followed(), *(row for row in followed(**{"model.type": "PennyLaneQNN"}) if row["probe.at"] == "Scrub")]
    panels = step_panels_of(frame(*rows))
    assert [panel.title for panel in panels] == ["MLP", "MLP", "PennyLaneQNN", "PennyLaneQNN"]
    assert [len(panel.lines) for panel in panels] == [2, 2, 1, 1]
    assert len({line.style for panel in panels for line in panel.lines if line.name == "Scrub"}) == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("HessianProbe", ["Hessian trace", "largest Hessian eigenvalue"]),
        ("RougheningProbe", ["Hessian trace"]),  # there is no LRR here
        ("own:Probe", ["landscape loss"]),
    ],
)
def test_what_is_of_most_interest_is_drawn_unless_something_else_is_asked_for(kind: str, expected: list[str]) -> None:
    runs = frame(*followed(**{"probe.type": kind}))
    assert [panel.ylabel for panel in step_panels_of(runs)] == expected
    (asked,) = step_panels_of(runs, ["landscape_loss"])
    assert lines(asked)["Finetune"] == ([0, 5, 20], [1.1, 1.6, 3.1])


def test_a_run_without_a_metric_is_in_the_panels_of_the_others_and_counted() -> None:
    rows = followed()
    for row in rows:
        if row["probe.at"] == "Scrub" and row["seed"] == 2:
            row["hessian_eigenvalue_max"] = None
    trace, largest = ({line.name: line for line in panel.lines} for panel in step_panels_of(frame(*rows)))
    assert trace["Scrub"].mean.tolist() == [21.0, 26.0, 41.0]
    assert largest["Scrub"].mean.tolist() == [10.0, 12.5, 20.0]
    assert trace["Scrub"].label == "Scrub (2 of 2 runs)"
    assert largest["Scrub"].label.startswith("Scrub (1 of 2 runs")


def test_models_that_diverged_are_in_no_mean() -> None:
    rows = followed()
    for row in rows:
        if row["seed"] == 2:
            row["health"] = "diverged"
    (panel, _) = step_panels_of(frame(*rows))
    assert lines(panel)["Finetune"] == ([0, 5, 20], [10.0, 15.0, 30.0])
    assert all("1 of 2 runs" in line.label and "diverged" in line.label for line in panel.lines)


def test_a_figure_for_each_type_of_probe() -> None:
    assert list(figures_along(frame(*followed(), *levels()))) == ["steps"]
    both = frame(*followed(), *levels(), *followed(**{"probe.type": "own:Probe"}))
    found = figures_along(both)
    assert list(found) == ["steps_hessianprobe", "steps_own_probe"]
    assert [len(own) for own in found.values()] == [16, 12]
    assert types_along(both) == ["HessianProbe", "own:Probe"]


def test_a_figure_has_a_row_for_each_model_and_a_column_for_each_metric() -> None:
    layout = along_steps(frame(*followed(), *followed(**{"model.type": "PennyLaneQNN"})))
    assert (len(layout), layout._max_cols) == (4, 2)
