"""The runner where something goes wrong: what ends up in the store, and in the table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from support.experiments import TASK

from qlab.errors import ConfigError, DataError, QlabError, StoreError
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.planning.plan import Plan
from qlab.experiment.recording import recorder as recording
from qlab.experiment.recording import summary
from qlab.experiment.recording.summary import tabulate
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Outcome, Runner
from qlab.models import MLP
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

MODELS = '''
from __future__ import annotations

import shutil
from pathlib import Path

from qlab import MLP


class Breaks(MLP):
    """Raises at the first evaluation, but not on the few rows that a model is tried on."""

    def forward(self, prepared):
        if prepared.shape[-2] > 4:
            raise RuntimeError("the kettle is dry\\nand has been for a while")
        return super().forward(prepared)


class Spoils(MLP):
    """Puts a file where the artifacts of the store are to go."""

    def forward(self, prepared):
        artifacts = Path("mlruns/artifacts")
        if artifacts.is_dir() and prepared.shape[-2] > 4:
            shutil.rmtree(artifacts)
            artifacts.write_text("in the way")
        return super().forward(prepared)
'''

TASKS = '''
from __future__ import annotations

import torch

from qlab import Dataset, Split, Task


class Three(Task):
    """Three features, which no register of qubits has."""

    def load(self):
        split = Split(torch.eye(3, dtype=torch.float64), torch.tensor([0, 1, 1]))
        return Dataset(split, split)

    def random_features(self, n, generator):
        return torch.ones(n, 3, dtype=torch.float64)


class Missing(Three):
    """Data that are not there."""

    def load(self):
        raise FileNotFoundError("no such data")
'''

XXZ = f"""
{TASK}
"""

MIXED = (
    'name = "mixed"\n'
    + XXZ
    + """
[training]
epochs = 2
[run]
seeds = 2
[[model]]
type = "own_models:Breaks"
hidden = [[2], [3]]
[[model]]
type = "MLP"
hidden = [4]
[[model]]
type = "MLP"
hidden = [5]
training = { learning_rate = 1e30 }
"""
)


class Recorder(Silent):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def planned(self, plan: Plan) -> None:
        self.events.append(f"planned {len(plan.todo)}")

    def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
        self.events.append(f"started {trials} for {epochs}")

    def epoch(self, epoch: int, metrics: dict[str, NDArray[np.float64]]) -> None:
        self.events.append(f"epoch {epoch}")

    def ensemble_finished(self, seconds: float, health: Sequence[str]) -> None:
        self.events.append(f"finished {', '.join(health)}")

    def ensemble_failed(self, error: str) -> None:
        self.events.append(f"failed {error.splitlines()[0]}")


@dataclasses.dataclass(frozen=True)
class Mixed:
    """An experiment of which some ensembles fail, some diverge and one succeeds, after it was run."""

    store: Store
    experiment: Experiment
    outcome: Outcome
    events: list[str]

    def runs(self, **params: str) -> list[Any]:
        ids = [self.store.experiment_id("mixed")]
        trials = self.store.search(ids, f"tags.`{names.KIND}` = '{names.TRIAL}'")
        return [
            run
            for run in trials
            if all(run.data.params[key.replace("__", ".")] == value for key, value in params.items())
        ]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Iterator[Mixed]:
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "own_models.py").write_text(MODELS)
    (folder / "mixed.toml").write_text(MIXED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        store = Store(write_empty_store(folder / "mlruns" / "mlflow.db"))
        experiment = schema.load(folder / "mixed.toml")
        recorder = Recorder()
        outcome = Runner(store, recorder).run(experiment)
        yield Mixed(store, experiment, outcome, recorder.events)


def test_an_ensemble_that_raises_fails_with_the_reason(mixed: Mixed) -> None:
    failed = mixed.runs(model__type="own_models:Breaks")
    assert [run.info.status for run in failed] == ["FAILED"] * 4
    assert {run.data.tags[names.ERROR] for run in failed} == {
        "RuntimeError: the kettle is dry [in own_models.py, line 15, in forward]"
    }
    assert not any(names.HEALTH in run.data.tags for run in failed)


def test_the_other_ensembles_finish(mixed: Mixed) -> None:
    finished = mixed.runs(model__type="MLP")
    assert [run.info.status for run in finished] == ["FINISHED"] * 4
    assert not any(names.ERROR in run.data.tags for run in finished)


def test_every_failed_trial_is_counted_and_named(mixed: Mixed) -> None:
    assert mixed.outcome.trained == 4
    assert mixed.outcome.reused == 0
    assert len(mixed.outcome.failed) == 4


def test_what_failed_alike_is_said_once_with_how_many_of_how_many(mixed: Mixed) -> None:
    [line] = mixed.outcome.failures
    assert line.startswith("4 of 8 trials (own_models:Breaks ")
    assert line.split("\n")[0].endswith(": RuntimeError: the kettle is dry [in own_models.py, line 15, in forward]")


def test_an_experiment_with_failures_is_itself_failed(mixed: Mixed) -> None:
    assert mixed.store.client.get_run(mixed.outcome.parent_run).info.status == "FAILED"


def test_failed_and_diverged_trials_are_in_the_table_and_left_out(mixed: Mixed) -> None:
    rows = {row["model"]: row for row in mixed.outcome.table.to_dict("records")}
    assert len(rows) == 4
    broken = [row for model, row in rows.items() if model.startswith("own_models:Breaks")]
    assert [(row["kept"], row["trials"], row["left_out"]) for row in broken] == [(0, 2, "failed")] * 2
    (diverged,) = [row for model, row in rows.items() if "1e+30" in model]
    assert (diverged["kept"], diverged["trials"], diverged["left_out"]) == (0, 2, "diverged")
    assert math.isnan(diverged["validation_accuracy_mean"])
    (kept,) = [row for model, row in rows.items() if "hidden=[4]" in model]
    assert (kept["kept"], kept["trials"], kept["left_out"]) == (2, 2, "")
    assert 0.0 <= kept["validation_accuracy_mean"] <= 1.0


def test_a_diverged_trial_says_so_and_keeps_its_numbers(mixed: Mixed) -> None:
    for run in mixed.runs(training__learning_rate="1e+30"):
        assert run.data.tags[names.HEALTH] == "diverged"
        losses = mixed.store.client.get_metric_history(run.info.run_id, "train_loss")
        assert sorted(metric.step for metric in losses) == [1, 2]
        assert any(math.isnan(metric.value) for metric in losses)


def test_the_reporter_is_told_in_order(mixed: Mixed) -> None:
    assert mixed.events == [
        "planned 8",
        *["started 2 for 2", "failed RuntimeError: the kettle is dry [in own_models.py, line 15, in forward]"] * 2,
        *["started 2 for 2", "epoch 1", "epoch 2", "finished healthy, healthy"],
        *["started 2 for 2", "epoch 1", "epoch 2", "finished diverged, diverged"],
    ]


def test_what_failed_is_left_to_do_and_what_diverged_is_not(mixed: Mixed) -> None:
    plan = Plan.of(mixed.experiment, mixed.store)
    assert {trial.names["model"] for trial in plan.todo} == {"own_models:Breaks"}
    assert len(plan.todo) == 4
    assert set(plan.states.values()) == {"FAILED"}


def test_the_summary_is_saved_although_some_failed(mixed: Mixed) -> None:
    saved = {file.path for file in mixed.store.client.list_artifacts(mixed.outcome.parent_run, "summary")}
    assert saved == {"summary/summary.csv", "summary/accuracy.png", "summary/accuracy.html"}


UNUSABLE = {
    "features that the model refuses": (
        '[task]\ntype = "own_tasks:Three"\n[model]\ntype = "PennyLaneQNN"\n',
        DataError,
        "3",
    ),
    "a device of a GPU there is not": (XXZ + '[model]\ntype = "MLP"\n[run]\ndevice = "cuda:99"\n', ConfigError, "CUDA"),
    "a model beyond any memory": (
        XXZ + '[model]\ntype = "MLP"\nhidden = [1000000000000]\n',
        QlabError,
        "1000000000000",
    ),
}


@pytest.mark.parametrize(("text", "error", "expected"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_cannot_be_prepared_leaves_a_failed_run_alone(
    text: str, error: type[Exception], expected: str, tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    (tmp_path / "own_tasks.py").write_text(TASKS)
    experiment = schema.parse(text, source="given.toml", folder=tmp_path, default_name="unusable")
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    with pytest.raises(error, match=expected):
        Runner(store).run(experiment)
    assert only_refused(store) or "CUDA" in expected  # a device there is not is a value that is not accepted


def only_refused(store: Store) -> bool:
    """Whether there is nothing in a store but an experiment's own run, which failed and says why."""
    runs = list(store.search(store.experiment_ids()))
    return [(run.info.status, run.data.tags[names.KIND], names.ERROR in run.data.tags) for run in runs] == [
        ("FAILED", names.EXPERIMENT, True)
    ]


def test_data_that_do_not_load_leave_a_failed_run_alone(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    (tmp_path / "own_tasks.py").write_text(TASKS)
    text = '[task]\ntype = "own_tasks:Missing"\n[model]\ntype = "MLP"\n'
    experiment = schema.parse(text, source="given.toml", folder=tmp_path, default_name="unusable")
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    with pytest.raises((QlabError, FileNotFoundError), match="no such data"):
        Runner(store).run(experiment)
    assert only_refused(store)


def test_the_device_of_a_file_is_refused_under_its_key(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    text = XXZ + '[model]\ntype = "MLP"\n[run]\ndevice = "gpu"\n'
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    with pytest.raises(ConfigError, match=r'given\.toml: run\.device: got "gpu", accepts "cpu", "cuda" or "cuda:N"'):
        Runner(store).run(schema.parse(text, source="given.toml", default_name="unusable"))


def test_a_store_that_fails_under_way_leaves_no_run_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_models.py").write_text(MODELS)
    text = XXZ + '[model]\ntype = "own_models:Spoils"\n[training]\nepochs = 1\n[run]\nseeds = 2\n'
    experiment = schema.parse(text, source="given.toml", folder=tmp_path, default_name="spoilt")
    store = Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))
    with pytest.raises(StoreError, match="cannot be used"):
        Runner(store).run(experiment)
    found = frames.runs(store, store.experiment_ids(["spoilt"]))
    assert sorted(zip(found["kind"], found["status"], strict=True)) == [
        ("experiment", "FAILED"),
        ("trial", "KILLED"),
        ("trial", "KILLED"),
    ]


UNLEARNED = (
    XXZ
    + """
[corruption]
type = "LabelFlip"
ratio = 0.5
[model]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[[unlearner]]
type = "Finetune"
steps = 2
[run]
seeds = 3
oracles = 1
"""
)


def test_an_error_while_an_ensemble_is_written_fails_what_is_left_of_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    save, calls = recording.Recorder.save_checkpoint, []

    def save_but_the_third(*given: Any, **more: Any) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise OSError("no room for a temporary file")
        save(*given, **more)

    monkeypatch.setattr(recording.Recorder, "save_checkpoint", save_but_the_third)
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    outcome = Runner(store).run(schema.parse(UNLEARNED, source="given.toml", default_name="partial"))
    assert (outcome.trained, outcome.unlearned) == (2, 2)
    assert [label for label, _ in outcome.failed.values()] == [
        "MLP LabelFlip 0.5 seed 2",
        "Finetune of MLP LabelFlip 0.5 seed 2",
    ]
    assert list(outcome.table["kept"]) == [2]


class Killed(BaseException):
    """As if the process were gone."""


def test_a_summary_that_was_broken_off_is_drawn_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    experiment = schema.parse(UNLEARNED, source="given.toml", default_name="drawn")
    with monkeypatch.context() as patch:

        def be_killed(*given: Any) -> None:
            raise Killed

        patch.setattr(summary, "write_unlearning", be_killed)
        with pytest.raises(Killed):
            Runner(store).run(experiment)
    outcome = Runner(store).run(experiment)
    assert outcome.trained == outcome.unlearned == 0
    names_of = {
        file.path.removeprefix("summary/") for file in store.client.list_artifacts(outcome.parent_run, "summary")
    }
    assert {"summary.csv", "accuracy.png", "unlearning.csv", "unlearning.png", "unlearning.html"} <= names_of

    def draw_again(*given: Any) -> None:
        raise AssertionError("drawn although nothing is new")

    monkeypatch.setattr(summary, "write_summary", draw_again)
    Runner(store).run(experiment)


def test_a_summary_follows_what_other_files_have_run_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    """What failed here was run for an experiment of the same name with more seeds."""
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    two, three = (
        schema.parse(UNLEARNED.replace("seeds = 3", f"seeds = {seeds}"), source="given.toml", default_name="drawn")
        for seeds in (2, 3)
    )
    with monkeypatch.context() as patch:
        patch.setattr(MLP, "reset_parameters", lambda self, generator: 1 / 0)
        assert len(Runner(store).run(two).failed) == 4
    assert Runner(store).run(three).failed == {}
    outcome = Runner(store).run(two)
    assert (outcome.trained, outcome.failed) == (0, {})
    place = store.fetch_file(outcome.parent_run, "summary/summary.csv", tmp_path)
    assert list(pd.read_csv(place)["kept"]) == [2]


def test_a_runner_without_figures_leaves_them_to_the_next(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    """The tables are the same, and so is what the MLflow UI shows but for the picture."""
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    experiment = schema.parse(UNLEARNED, source="given.toml", default_name="plain")

    def files(parent: str) -> set[str]:
        return {Path(file.path).name for file in store.client.list_artifacts(parent, "summary")}

    def note() -> str:
        return store.experiment_tags(store.experiment_ids([experiment.name])[0])[names.NOTE]

    plain = Runner(store, summarise=tabulate).run(experiment)
    assert files(plain.parent_run) == {"summary.csv", "unlearning.csv"}
    assert names.SUMMARY not in store.get_run(plain.parent_run).data.tags
    assert "accuracy.png" not in note()
    drawn = Runner(store).run(experiment)
    assert drawn.parent_run == plain.parent_run
    assert files(drawn.parent_run) >= {"accuracy.png", "accuracy.html", "unlearning.png", "unlearning.html"}
    assert "accuracy.png" in note()
    pd.testing.assert_frame_equal(plain.table, drawn.table)
    pd.testing.assert_frame_equal(plain.unlearning, drawn.unlearning)
    Runner(store, summarise=tabulate).run(experiment)
    assert "accuracy.png" in note()
