"""Progress and tables as text."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from qlab import console
from qlab.console import ConsoleReporter, frame_table, summary_table
from qlab.experiment import schema
from qlab.experiment.plan import Plan

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


def plain() -> Console:
    return Console(file=io.StringIO(), width=140, highlight=False)


def text(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def metrics(loss: float) -> dict[str, np.ndarray]:
    return {"train_loss": np.array([loss, np.nan]), "validation_accuracy": np.array([0.5, 1.0])}


def test_a_long_ensemble_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch, tiny: str) -> None:
    monkeypatch.setattr(console, "_PLAIN_SECONDS", 0.0)
    out = plain()
    with ConsoleReporter(out) as reporter:
        reporter.planned(Plan.of(schema.parse(tiny, source="tiny.toml"), None))
        reporter.ensemble_started("MLP [bold]on[/bold] XXZ", "", 4, 2)
        reporter.epoch(1, metrics(0.25))
        reporter.epoch(2, metrics(0.125))
        reporter.ensemble_finished(1.25, ["healthy", "diverged", "healthy"])
    lines = text(out).splitlines()
    assert lines[1] == "[1/2] MLP [bold]on[/bold] XXZ: 4 trials, 2 epochs"
    # Means are over the members that have a finite value.
    assert lines[2] == "[1/2] epoch 1/2, loss 0.250, validation accuracy 0.750, 0 s left"
    assert lines[3] == "[1/2] done in 1.2 s: 1 diverged, 2 healthy"
    assert len(lines) == 4


def test_a_short_ensemble_is_two_lines(tiny: str) -> None:
    out = plain()
    with ConsoleReporter(out) as reporter:
        reporter.planned(Plan.of(schema.parse(tiny, source="tiny.toml"), None))
        reporter.ensemble_started("MLP", "some engine", 4, 3)
        for epoch in (1, 2, 3):
            reporter.epoch(epoch, metrics(0.5))
        reporter.ensemble_failed("ValueError: [red]no[/red]")
    assert text(out).splitlines()[1:] == [
        "[1/2] MLP: 4 trials, 3 epochs; some engine",
        "[1/2] FAILED: ValueError: [red]no[/red]",
    ]


def summary(**changed: object) -> pd.DataFrame:
    row = {"model": "MLP", "corruption": "LabelFlip", "ratio": 0.5, "kept": 2, "trials": 2, "left_out": ""}
    for metric in ("train_accuracy", "validation_accuracy"):
        row |= {f"{metric}_mean": 0.75, f"{metric}_std": 0.125}
    return pd.DataFrame([row | changed])


def test_the_table_shows_mean_and_deviation_and_how_many() -> None:
    out = plain()
    out.print(summary_table(summary(), "an experiment"))
    assert "an experiment" in text(out)
    assert text(out).count("0.750 ± 0.125") == 2
    assert "2 of 2" in text(out)
    assert "left out" not in text(out)


def test_the_table_says_what_was_left_out_and_why() -> None:
    out = plain()
    nan = float("nan")
    table = pd.concat(
        [
            summary(ratio=0.1, kept=1, trials=3, left_out="diverged, failed", validation_accuracy_std=nan),
            summary(ratio=0.2, kept=0, left_out="killed", validation_accuracy_mean=nan, validation_accuracy_std=nan),
        ],
        ignore_index=True,
    )
    out.print(summary_table(table, "x"))
    rows = [line for line in text(out).splitlines() if " of " in line]
    assert "1 of 3" in rows[0]
    assert "diverged, failed" in rows[0]
    assert "0.750 │" in rows[0]
    assert "0 of 2" in rows[1]
    assert " - │" in rows[1]
    assert "nan" not in text(out)


def test_cells_are_text_and_not_markup() -> None:
    out = plain()
    out.print(
        frame_table(pd.DataFrame({"[b]name[/b]": ["[red]x[/red]", None], "value": [0.12345, 1.0]}), "[i]title[/i]")
    )
    for part in ("[b]name[/b]", "[red]x[/red]", "[i]title[/i]", "0.123"):
        assert part in text(out)
