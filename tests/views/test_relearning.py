"""Relearning curves: which values stand in them, what they are compared with, who is counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qlab.tracking.names import TEACHER
from qlab.views.relearning import (
    relearning_curves,
    relearning_history,
    relearning_panels,
    relearning_table,
    was_audited,
)

STEPS = 4


def rows() -> pd.DataFrame:
    """Two methods on two seeds of two models; the MLP has hidden rows, and one of its runs was not audited."""
    found = []
    for model in ("MLP", "PennyLaneQNN"):
        for seed in (0, 1):
            for method in ("Finetune", "Scrub"):
                audited = not (model == "MLP" and seed == 1 and method == "Scrub")
                known = {f"relearning_known{end}": 0.5 if audited else np.nan for end in ("", "_teacher", "_oracle")}
                hidden = {
                    f"relearning_hidden{end}": 0.5 if audited and model == "MLP" else np.nan
                    for end in ("", "_teacher", "_oracle")
                }
                found.append(
                    {
                        "run_id": f"{model}-{seed}-{method}",
                        "status": "FINISHED",
                        "health": "healthy",
                        "seed": seed,
                        "model.type": model,
                        "corruption.type": "LabelFlip",
                        "corruption.ratio": 0.3,
                        "unlearner.type": method,
                        TEACHER: f"{model}-{seed}",
                        "qlab.curve": f"{model}-{method}",
                        **known,
                        **hidden,
                    }
                )
    return pd.DataFrame(found)


def value(run: str, metric: str, step: int) -> float:
    seed = run.split("-")[1]
    level = 0.0 if metric.endswith("oracle") else 0.5 if metric.endswith("teacher") else 0.25
    return level + 0.1 * int(seed) + 0.01 * step + (0.05 if "hidden" in metric else 0.0)


def read(run: str, metric: str) -> list[tuple[int, float]]:
    return [(step, value(run, metric, step)) for step in range(STEPS + 1)]


def test_each_line_is_the_mean_over_models_beside_trained_models_and_oracles() -> None:
    frame = rows()
    panels = relearning_panels(relearning_history(frame, read), frame)
    assert [(panel.title, panel.ylabel) for panel in panels] == [
        ("MLP", "polluted labels given, known rows"),
        ("MLP", "polluted labels given, hidden rows"),
        ("PennyLaneQNN", "polluted labels given, known rows"),
    ]
    for panel in panels:
        lines = {line.name: line for line in panel.lines}
        assert list(lines) == ["Finetune", "Scrub", "trained model", "oracle"]
        shift = 0.05 if "hidden" in panel.ylabel else 0.0
        for name, level in {"Finetune": 0.25, "trained model": 0.5, "oracle": 0.0}.items():
            expected = level + shift + 0.05 + 0.01 * np.arange(STEPS + 1)
            np.testing.assert_allclose(lines[name].mean, expected, atol=1e-12)
            np.testing.assert_allclose(lines[name].deviation, 0.1 / np.sqrt(2), atol=1e-12)
            assert lines[name].x.tolist() == list(range(STEPS + 1))
        # Trained models and oracles are those of two seeds, whichever methods were applied to them.
        assert lines["oracle"].label == "oracle (2 of 2 runs)"
    counted = panels[0].lines[1]
    assert counted.label == "Scrub (1 of 2 runs; left out: not audited)"
    assert np.isnan(counted.deviation).all()


def test_runs_that_failed_or_were_not_audited_have_no_values() -> None:
    frame = rows()
    frame.loc[0, "health"] = "diverged"
    history = relearning_history(frame, read)
    mean = history[(history["model"] == "MLP") & (history["method"] == "Finetune")]
    metrics = ("relearning_known", "relearning_hidden")
    expected = [value("MLP-1-Finetune", metric, step) for metric in metrics for step in range(STEPS + 1)]
    assert mean["value"].tolist() == pytest.approx(expected)
    label = relearning_panels(history, frame)[0].lines[0].label
    assert label == "Finetune (1 of 2 runs; left out: diverged)"
    assert was_audited(frame)
    assert not was_audited(frame[["run_id", "unlearner.type"]])
    assert not was_audited(frame.assign(relearning_known=np.nan, relearning_hidden=np.nan))


def test_the_table_says_what_the_figure_shows() -> None:
    frame = rows()
    table = relearning_table(relearning_history(frame, read))
    own = table[(table["model"] == "MLP") & (table["method"] == "oracle") & (table["metric"] == "relearning_known")]
    assert own["mean"].tolist() == pytest.approx([0.05 + 0.01 * step for step in range(STEPS + 1)])
    assert set(own["runs"]) == {2}


def test_known_rows_stand_beside_hidden_ones(tmp_path) -> None:
    from qlab.views.saving import save_png

    frame = rows()
    layout = relearning_curves(relearning_history(frame, read), frame)
    assert len(layout) == 3
    assert save_png(layout, tmp_path / "relearning.png", dpi=30).stat().st_size > 1000
