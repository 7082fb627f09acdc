"""What a finished experiment leaves in a store: an SQLite file and a real tracking server hold the same."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from support.experiments import TINY
from support.pages import Page
from support.runs import runner

import qlab
from qlab.experiment.asking import schema
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.runner import Outcome, Runner
from qlab.models import checkpoint
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = TINY.replace("tiny", "tracked").replace("epochs = 2", "epochs = 3")

EVERY_EPOCH = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
FINAL = ("retain_accuracy", "forget_accuracy_polluted", "forget_accuracy_clean")


@dataclasses.dataclass(frozen=True)
class Tracked:
    """An experiment that was run, run again, and run with one more seed."""

    store: Store
    project: Path
    experiment: Experiment
    first: Outcome
    again: Outcome
    more: Outcome

    @property
    def client(self) -> MlflowClient:
        return self.store.client

    def runs(self, kind: str) -> list[Any]:
        ids = self.store.experiment_ids(["tracked"])
        return list(self.store.search(ids, f"tags.`{names.KIND}` = '{kind}'"))

    def first_trials(self) -> dict[str, Any]:
        """The runs of the first time, by the key of their trial."""
        return {
            run.data.tags[names.TRIAL_KEY]: run
            for run in self.runs(names.TRIAL)
            if run.data.tags[names.PARENT] == self.first.parent_run
        }

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        points = self.client.get_metric_history(run_id, metric)
        return sorted((point.step, point.value) for point in points)

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        return Path(self.client.download_artifacts(run_id, path, str(folder)))


def git(project: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false"]
    result = subprocess.run(["git", *identity, *arguments], cwd=project, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def run_thrice(project: Path, uri: str | None) -> Tracked:
    file = project / "tracked.toml"
    file.write_text(FILE)
    if shutil.which("git"):
        git(project, "init", "--quiet")
        git(project, "add", "tracked.toml")
        git(project, "commit", "--quiet", "--message", "An experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        store = Store(uri)
        experiment = schema.load(Path("tracked.toml"))
        first = Runner(store).run(experiment)
        again = Runner(store).run(schema.load(Path("tracked.toml")))
        more = runner(store).run(schema.load(Path("tracked.toml"), [("run.seeds", 3)]))
    return Tracked(store, project, experiment, first, again, more)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Iterator[Tracked]:
    """Tracked in the store under the current folder."""
    project = tmp_path_factory.mktemp("embedded")
    write_empty_store(project / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield run_thrice(project, None)


@pytest.fixture(scope="module")
def served(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """Tracked on a server."""
    return run_thrice(tmp_path_factory.mktemp("served"), server.uri)


@pytest.fixture(params=["embedded", "served"])
def tracked(request: pytest.FixtureRequest) -> Tracked:
    found: Tracked = request.getfixturevalue(request.param)
    return found


def test_one_parent_and_a_child_for_each_trial(tracked: Tracked) -> None:
    assert set(tracked.first_trials()) == {trial.key for trial in tracked.experiment.trials}
    parent = tracked.client.get_run(tracked.first.parent_run)
    assert parent.data.tags[names.KIND] == "experiment"
    assert parent.info.run_name == "tracked"
    assert parent.data.tags["mlflow.note.content"] == "Four spins, a handful of states"
    assert parent.data.tags[names.CONTENT] == tracked.experiment.content
    assert names.PARENT not in parent.data.tags


def test_every_run_is_finished(tracked: Tracked) -> None:
    assert {run.info.status for kind in (names.EXPERIMENT, names.TRIAL) for run in tracked.runs(kind)} == {"FINISHED"}


def test_tags_of_a_trial(tracked: Tracked) -> None:
    runs = tracked.first_trials()
    for trial in tracked.experiment.trials:
        tags = runs[trial.key].data.tags
        assert tags["qlab.kind"] == "trial"
        assert tags["qlab.trial"] == trial.key
        assert tags["qlab.seed"] == str(trial.seed)
        assert tags["qlab.health"] in {"healthy", "collapsed", "unconverged"}
        assert tags["qlab.version"] == qlab.__version__
        assert tags["mlflow.source.name"] == "tracked.toml"
        assert tags["mlflow.runName"] == trial.label
        assert "qlab.error" not in tags
        assert ("light cone" in tags.get("qlab.engine", "")) == (trial.names["model"] == "PennyLaneQNN")


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_every_run_carries_the_git_commit(tracked: Tracked) -> None:
    commit = git(tracked.project, "rev-parse", "HEAD")
    found = {run.data.tags.get(names.COMMIT) for kind in (names.EXPERIMENT, names.TRIAL) for run in tracked.runs(kind)}
    assert found == {commit}


def test_params_are_the_resolved_configuration_under_dotted_names(tracked: Tracked) -> None:
    runs = tracked.first_trials()
    for trial in tracked.experiment.trials:
        params = runs[trial.key].data.params
        assert params == trial.params
        assert params["task.type"] == "XXZ"
        assert params["corruption.ratio"] in {"0.0", "0.5"}
        assert params["training.epochs"] == "3"


def test_metrics_have_a_value_for_every_epoch(tracked: Tracked) -> None:
    for run in tracked.first_trials().values():
        for metric in EVERY_EPOCH:
            history = tracked.history(run.info.run_id, metric)
            assert [step for step, _ in history] == [1, 2, 3]
            assert history[-1][1] == run.data.metrics[metric]
            assert all(math.isfinite(value) for _, value in history)


def test_retain_and_forget_metrics_are_logged_at_the_end(tracked: Tracked) -> None:
    for run in tracked.first_trials().values():
        assert {*EVERY_EPOCH, *FINAL} <= set(run.data.metrics)
        for metric in FINAL:
            ((step, value),) = tracked.history(run.info.run_id, metric)
            assert step == 3
            # At ratio 0 there is no forget set.
            empty = metric.startswith("forget") and run.data.params["corruption.ratio"] == "0.0"
            assert math.isnan(value) if empty else 0.0 <= value <= 1.0


def test_accuracies_of_the_sets_add_up(tracked: Tracked) -> None:
    for run in tracked.first_trials().values():
        metrics = run.data.metrics
        if run.data.params["corruption.ratio"] == "0.5":
            assert metrics["forget_accuracy_polluted"] + metrics["forget_accuracy_clean"] == pytest.approx(1.0)
            both = (metrics["retain_accuracy"] + metrics["forget_accuracy_polluted"]) / 2
            assert both == pytest.approx(metrics["train_accuracy"])


def test_the_datasets_of_a_trial_are_named_by_their_content(tracked: Tracked) -> None:
    digests: dict[str, set[str]] = {"training": set(), "validation": set()}
    for run in tracked.first_trials().values():
        inputs = run.inputs.dataset_inputs
        assert [[(tag.key, tag.value) for tag in item.tags] for item in inputs] == [
            [("mlflow.data.context", "training")],
            [("mlflow.data.context", "validation")],
        ]
        ratio = float(run.data.params["corruption.ratio"])
        train, validation = (item.dataset for item in inputs)
        assert json.loads(train.profile) == {"rows": 16, "corrupted_rows": int(16 * ratio)}
        assert json.loads(validation.profile) == {"rows": 12}
        assert json.loads(train.source)["corruption"] == {"type": "LabelFlip", "ratio": ratio}
        assert json.loads(validation.source)["task"]["length"] == 4
        digests["training"].add(train.digest)
        digests["validation"].add(validation.digest)
    # Two seeds flip two sets of labels; at ratio 0, and in the validation split, all have the same.
    assert len(digests["training"]) == 3
    assert len(digests["validation"]) == 1


def test_a_checkpoint_gives_back_the_model_that_was_measured(tracked: Tracked, tmp_path: Path) -> None:
    runs = tracked.first_trials()
    for index, trial in enumerate(tracked.experiment.trials):
        run = runs[trial.key]
        folder = tmp_path / str(index)
        folder.mkdir()
        model = checkpoint.load(tracked.download(run.info.run_id, names.CHECKPOINT, folder))
        assert model.config() == trial.model.config()
        validation = trial.task.load().validation
        with torch.no_grad():
            logits = model(model.prepare(validation.x))
        accuracy = float(((logits > 0).long() == validation.y).double().mean())
        assert accuracy == pytest.approx(run.data.metrics["validation_accuracy"])


def test_the_parent_holds_file_trials_and_summary(tracked: Tracked, tmp_path: Path) -> None:
    folder = tracked.download(tracked.first.parent_run, "", tmp_path)
    assert (folder / "experiment.toml").read_text() == FILE
    assert json.loads((folder / "trials.json").read_text()) == {
        trial.key: trial.config for trial in tracked.experiment.trials
    }
    assert (folder / "summary" / "accuracy.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    page = (folder / "summary" / "accuracy.html").read_text()
    assert "<html" in page
    assert Page(page).outside == []
    table = pd.read_csv(folder / "summary" / "summary.csv")
    assert list(zip(table["model"], table["ratio"], table["kept"], table["trials"], strict=True)) == [
        (model, ratio, 2, 2) for model in ("MLP", "PennyLaneQNN") for ratio in (0.0, 0.5)
    ]


def test_the_table_is_that_of_the_runs(tracked: Tracked) -> None:
    runs = tracked.first_trials().values()
    assert len(tracked.first.table) == 4
    for row in tracked.first.table.to_dict("records"):
        own = [
            run.data.metrics["validation_accuracy"]
            for run in runs
            if (run.data.params["model.type"], float(run.data.params["corruption.ratio"]))
            == (row["model"], row["ratio"])
        ]
        assert row["validation_accuracy_mean"] == pytest.approx(sum(own) / 2)
        assert row["validation_accuracy_std"] == pytest.approx(abs(own[0] - own[1]) / math.sqrt(2))


def test_running_again_trains_nothing_and_keeps_the_parent(tracked: Tracked) -> None:
    assert (tracked.first.trained, tracked.first.reused) == (8, 0)
    assert (tracked.again.trained, tracked.again.reused) == (0, 8)
    assert tracked.again.parent_run == tracked.first.parent_run
    pd.testing.assert_frame_equal(tracked.again.table, tracked.first.table)


def test_another_seed_trains_what_is_missing_under_a_parent_of_its_own(tracked: Tracked) -> None:
    assert (tracked.more.trained, tracked.more.reused) == (4, 8)
    assert tracked.more.parent_run != tracked.first.parent_run
    assert {run.info.run_id for run in tracked.runs(names.EXPERIMENT)} == {
        tracked.first.parent_run,
        tracked.more.parent_run,
    }
    added = [run for run in tracked.runs(names.TRIAL) if run.data.tags[names.PARENT] == tracked.more.parent_run]
    assert {run.data.tags[names.SEED] for run in added} == {"2"}
    assert len(added) == 4
    assert list(tracked.more.table["kept"]) == [3, 3, 3, 3]


def test_the_two_stores_hold_the_same_numbers(embedded: Tracked, served: Tracked) -> None:
    one, other = embedded.first_trials(), served.first_trials()
    assert set(one) == set(other)
    for key, run in one.items():
        for metric in EVERY_EPOCH:
            assert embedded.history(run.info.run_id, metric) == served.history(other[key].info.run_id, metric)
        assert run.data.params == other[key].data.params
    pd.testing.assert_frame_equal(embedded.more.table, served.more.table)


def test_artifacts_of_the_embedded_store_lie_beside_it(embedded: Tracked) -> None:
    place = Path(embedded.first.artifacts)
    assert place.is_relative_to(embedded.project / "mlruns" / "artifacts")
    assert (place / "summary" / "accuracy.png").is_file()
    assert sorted(path.name for path in embedded.project.iterdir()) in (
        ["mlruns", "tracked.toml"],
        [".git", "mlruns", "tracked.toml"],
    )


def test_a_server_leaves_nothing_in_the_project(served: Tracked) -> None:
    assert not (served.project / "mlruns").exists()


def test_trials_come_back_as_a_frame(tracked: Tracked) -> None:
    frame = frames.trials(tracked.store, tracked.store.experiment_ids(["tracked"]))
    assert len(frame) == 12
    assert list(frame.columns[: len(names.COLUMNS)]) == list(names.COLUMNS)
    assert set(frame["corruption.ratio"]) == {0.0, 0.5}
    assert set(frame["seed"]) == {0, 1, 2}
    assert set(frame["kind"]) == {"trial"}
    assert frame["validation_accuracy"].between(0.0, 1.0).all()
    filtered = frames.runs(tracked.store, tracked.store.experiment_ids(["tracked"]), "params.`model.type` = 'MLP'")
    assert len(filtered) == 6
