"""Probes along unlearning: at what parameters they are taken, what is drawn of them, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner
from support.experiments import TASK
from support.runs import refused_alone, run_text

from qlab.cli import main
from qlab.errors import ConfigError
from qlab.reading import Results
from qlab.reading.along_steps import along_steps, figures_along, step_panels_of
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

BEFORE = f"""
name = "steps"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
known = [0.5, 1.0]
[[model]]
type = "MLP"
hidden = [4]
dtype = "float64"
[training]
epochs = 2
batch_size = 8
[run]
seeds = 2
oracles = 1
[[unlearner]]
type = "Retrain"
steps = 3
"""

METHODS = """
[[unlearner]]
type = "Finetune"
steps = [3, 2]
learning_rate = 0.1
"""

PROBES = """
[[probe]]
type = "HessianProbe"
at = ["Retrain", "Finetune[1]"]
step = [0, 2, 3, -1]
samples = "retain"
[[probe]]
type = "HessianProbe"
at = ["trained", "Finetune[2]", "oracle"]
samples = "retain"
"""

ONE = BEFORE.replace("[0.5, 1.0]", "1.0") + METHODS


@pytest.fixture(scope="module")
def found(tmp_path_factory, write_empty_store) -> tuple[Store, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("steps")
    store = Store(write_empty_store(folder / "mlruns" / "mlflow.db"))
    outcome = run_text(store, folder, ONE + PROBES)
    assert not outcome.failed
    runs = frames.runs(store, [store.find_experiment("steps")])
    return store, runs[runs["kind"] == names.PROBE]


def traces(runs: pd.DataFrame, at: str, step: int | None = None) -> list[float]:
    own = runs[(runs["probe.at"] == at) & ((runs["probe.step"] == step) | (step is None))]
    assert len(own) == 2
    return own.sort_values("seed")["hessian_trace"].tolist()


def test_they_are_taken_where_so_many_steps_lead(found) -> None:
    _, runs = found
    assert traces(runs, "Finetune[1]", 0) == pytest.approx(traces(runs, "trained"), rel=1e-9)
    assert traces(runs, "Finetune[1]", 2) == pytest.approx(traces(runs, "Finetune[2]"), rel=1e-9)
    assert traces(runs, "Finetune[1]", 3) == pytest.approx(traces(runs, "Finetune[1]", -1), rel=1e-9)
    assert traces(runs, "Retrain", 3) == pytest.approx(traces(runs, "Retrain", -1), rel=1e-9)
    assert traces(runs, "Retrain", 0) != pytest.approx(traces(runs, "trained"), rel=1e-3)


def test_a_line_for_each_method_and_levels_to_compare_with(found) -> None:
    store, runs = found
    panels = step_panels_of(runs)
    assert [panel.ylabel for panel in panels] == ["Hessian trace", "largest Hessian eigenvalue"]
    by_name = {line.name: line for line in panels[0].lines}
    assert list(by_name) == ["Retrain", "Finetune[1]", "trained model", "oracle"]
    assert by_name["Finetune[1]"].x.tolist() == [0, 2, 3]
    assert by_name["trained model"].x.tolist() == [0, 3]
    level = by_name["trained model"].mean
    assert level[0] == level[1] == pytest.approx(by_name["Finetune[1]"].mean[0], rel=1e-9)
    assert {line.label for line in panels[0].lines} == {f"{name} (2 of 2 runs)" for name in by_name}
    assert list(figures_along(runs)) == ["steps"]
    assert len(along_steps(runs)) == 2
    table = Results.of(store, ["steps"]).table(["hessian_trace"], x="step", of="probes")
    assert len(table)
    assert not figures_along(runs[runs["probe.step"] == 2])


def test_what_methods_are_told_counts(tmp_path, write_empty_store) -> None:
    """Of a method that knows half of the rows the path is its own, too."""
    store = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    probe = '[[probe]]\ntype = "HessianProbe"\nat = "Finetune[1]"\nstep = [3, -1]\nsamples = "retain"\n'
    run_text(store, tmp_path, BEFORE + METHODS.replace("[3, 2]", "3") + probe)
    runs = frames.runs(store, [store.find_experiment("steps")])
    runs = runs[runs["kind"] == names.PROBE]
    assert traces(runs, "Finetune[1]", 3) == pytest.approx(traces(runs, "Finetune[1]", -1), rel=1e-9)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ('at = "Retrain"\nstep = 4', r"got step = 4, accepts 0 to 3, as Retrain takes 3 steps"),
        ('at = "Retrain"\nstep = -2', r"step: got -2, accepts an integer of at least -1"),
        ("step = 1", r'step = 1, but at = "trained" is not an unlearner of the file'),
        ('at = "oracle"\nstep = 0', r'step = 0, but at = "oracle" is not an unlearner of the file'),
    ],
)
def test_steps_that_are_none_are_refused_before_anything_runs(tmp_path, write_empty_store, probe, message) -> None:
    store = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    with pytest.raises(ConfigError, match=message):
        run_text(store, tmp_path, f'{ONE}[[probe]]\ntype = "HessianProbe"\n{probe}\n')
    refused_alone(store)


@pytest.mark.usefixtures("figures")
def test_the_summary_has_a_figure_over_steps(tmp_path, monkeypatch, write_empty_store) -> None:
    monkeypatch.chdir(tmp_path)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    (tmp_path / "steps.toml").write_text(ONE + PROBES)
    done = CliRunner().invoke(main, ["run", "steps.toml"])
    assert done.exit_code == 0, done.output
    assert list(tmp_path.rglob("summary/steps.png"))
    assert list(tmp_path.rglob("summary/hessian.png"))
