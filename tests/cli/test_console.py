"""Progress and tables as text."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from qlab import progress
from qlab.console import frame_table, probe_tables, summary_table
from qlab.experiment.asking import schema
from qlab.experiment.planning.plan import Plan
from qlab.progress import ConsoleReporter

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


def plain() -> Console:
    return Console(file=io.StringIO(), width=140, highlight=False)


def text(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def metrics(loss: float) -> dict[str, np.ndarray]:
    return {"train_loss": np.array([loss, np.nan]), "validation_accuracy": np.array([0.5, 1.0])}


def test_a_long_ensemble_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch, tiny: str) -> None:
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    out = plain()
    with ConsoleReporter(out) as reporter:
        reporter.planned(Plan.of(schema.parse(tiny, source="tiny.toml"), None))
        reporter.assembled(2)
        reporter.ensemble_started("MLP [bold]on[/bold] XXZ", "", 4, 2)
        reporter.epoch(0, metrics(0.5))  # unlearning reports where it starts from, which may take long
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
        reporter.assembled(2)
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


PROBED = """
[task]
type = "XXZ"
length = 4
[corruption]
type = "LabelFlip"
ratio = 0.5
[model]
type = "MLP"
hidden = [4]
[[probe]]
type = "HessianProbe"
[[probe]]
type = "RougheningProbe"
[run]
seeds = 2
"""


def test_probes_are_counted_among_what_is_to_be_done() -> None:
    out = plain()
    with ConsoleReporter(out) as reporter:
        reporter.planned(Plan.of(schema.parse(PROBED, source="x", default_name="probed"), None))
        reporter.assembled(3)
        reporter.ensemble_started("MLP", "", 4, 2)
        reporter.ensemble_finished(1.0, ["healthy"] * 4)
        reporter.ensemble_started("oracles of MLP", "", 2, 2)
        reporter.ensemble_finished(1.0, ["healthy"] * 2)
        reporter.measuring_started("landscapes of [b]MLP[/b]", 2, 4)
        for _ in range(4):
            reporter.measured()
        reporter.measuring_finished(0.5, 3)
    lines = text(out).splitlines()
    assert lines[:2] == [
        "probed: 4 trials, 0 in the store already, 4 to train in 1 ensemble",
        "4 probes, 0 in the store already, 4 to take",
    ]
    assert lines[2] == "[1/3] MLP: 4 trials, 2 epochs"
    assert lines[-2:] == [
        "[3/3] landscapes of [b]MLP[/b]: 2 models, 4 probes",
        "[3/3] done in 0.5 s: 3 failed",
    ]


def row(metric: str, mean: float, **changed: object) -> dict[str, object]:
    nan = float("nan")
    found: dict[str, object] = {
        "model": "MLP",
        "corruption": "LabelFlip",
        "ratio": 0.5,
        "probe": "RougheningProbe",
        "probe_type": "RougheningProbe",
        "metric": metric,
        "mean": mean,
        "std": nan,
        "low": nan,
        "high": nan,
        "n": 2,
        "kept": 2,
        "runs": 2,
        "left_out": "",
    }
    return found | changed


def shown(*rows: dict[str, object]) -> str:
    out = plain()
    for table in probe_tables(pd.DataFrame(rows), "an experiment"):
        out.print(table)
    return text(out)


def cells(output: str) -> list[list[str]]:
    """The cells of every row of numbers."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if " of " in line]


def test_a_roughening_ratio_has_deviation_interval_and_traces_beside_it() -> None:
    output = shown(
        row("lrr", 6.25, std=1.5, low=5.0, high=7.5),
        row("hessian_trace", 2.5, std=0.25),
        row("hessian_trace_clean", 0.4, std=0.1),
        row("hessian_trace_a", 9.9),
    )
    assert "an experiment: RougheningProbe" in output
    assert [name for name in ("LRR", "trace polluted", "trace clean", "kept") if name not in output] == []
    [cell] = cells(output)
    assert cell == ["MLP", "LabelFlip", "0.5", "6.25 ± 1.5 [5, 7.5]", "2.5 ± 0.25", "0.4 ± 0.1", "2 of 2"]


def test_probes_that_are_left_out_are_counted_with_the_reason() -> None:
    output = shown(
        row("lrr", 6.25, n=1, kept=1, runs=3, left_out="collapsed, failed"),
        row("lrr", float("nan"), ratio=0.75, n=0, kept=0, left_out="diverged"),
    )
    first, second = cells(output)
    assert first[-1] == "1 of 3 (collapsed, failed)"
    assert (second[-2], second[-1]) == ("-", "0 of 2 (diverged)")
    assert "nan" not in output


def test_a_mean_over_fewer_than_are_kept_says_so() -> None:
    """Where a clean trace is zero there is no ratio: the mean is over the other pairs."""
    output = shown(row("lrr", 3.0, n=2, kept=3, runs=3), row("hessian_trace_clean", 1.0, n=3, kept=3, runs=3))
    assert "2 of 3" in output


def test_probes_of_a_users_own_show_their_first_metrics() -> None:
    metrics = [f"metric_{number}" for number in range(9)]
    output = shown(
        *(row(metric, 1.0 + k, probe="own:Probe", probe_type="own:Probe") for k, metric in enumerate(metrics))
    )
    assert [metric in output for metric in metrics] == [True] * 6 + [False] * 3
    assert "an experiment: own:Probe" in output


def test_several_probes_of_a_kind_are_told_apart() -> None:
    names = ("SliceProbe 1-D hessian 0", "SliceProbe 2-D filter")
    output = shown(*(row("landscape_loss", 0.5, probe=name, probe_type="SliceProbe") for name in names))
    assert [cell[2] for cell in cells(output)] == list(names)


@pytest.mark.parametrize("value", [0.0, 1e-12, -3.5, 1234.5, 1e9, 1e300])
def test_numbers_of_any_size_fit_in_a_cell(value: float) -> None:
    output = shown(row("lrr", value, std=value, low=value, high=value))
    shown_value = cells(output)[0][3].split(" ± ")[0]
    assert float(shown_value) == pytest.approx(value, rel=6e-3)


def test_names_of_models_and_probes_are_text_and_not_markup() -> None:
    hostile = "[red]x[/red]"
    output = shown(
        row("lrr", 2.0, model=hostile, corruption="[b]y[/b]", probe="[i]z[/i]", left_out="[u]w[/u]"),
        row("lrr", 2.0, probe="other"),
        row("height", 2.0, probe_type="<b>[blue]own[/blue]</b>"),
    )
    for part in (hostile, "[b]y[/b]", "[i]z[/i]", "[u]w[/u]", "<b>[blue]own[/blue]</b>"):
        assert part in output
