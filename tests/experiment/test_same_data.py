"""Runs that were made with other data than there are now: new trials if the task names its files, else refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import invoke
from support.runs import runner

from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.retry import Unfinished
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Outcome
from qlab.registry import make
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

TASK = '''
import csv
import pathlib

import numpy as np
import torch

from qlab import Dataset, Split, Task

HERE = pathlib.Path(__file__).parent


class Csv(Task):
    """Rows of a CSV file, the label last.

    Args:
        path: of the file.
    """

    path: str = "data.csv"

    def load(self):
        with (HERE / self.path).open() as file:
            rows = np.array([[float(value) for value in row] for row in csv.reader(file)])
        x, y = torch.tensor(rows[:, :-1]), torch.tensor(rows[:, -1]).long()
        return Dataset(Split(x[:30], y[:30]), Split(x[30:], y[30:]))

    def random_features(self, n, generator):
        return torch.randn(n, 4, generator=generator, dtype=torch.float64)
'''

FILES = "\n    def files(self):\n        return [self.path]\n"

FILE = """
name = "csv"
[task]
type = "mydata:Csv"
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.4]
[[model]]
type = "MLP"
hidden = [4]
training = { epochs = 2, batch_size = 8, learning_rate = 0.05 }
[run]
seeds = 2
"""


def rows(first: int = 0, last: int = 60, shift: int = 0) -> str:
    """Sixty rows; those from first to last are moved."""
    lines = []
    for i in range(60):
        moved = shift if first <= i < last else 0
        lines.append(f"{(i % 2) * 2 + moved},{i % 7},{i % 5 + 1},{i % 3},{i % 2}\n")
    return "".join(lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "csv.toml").write_text(FILE)
    (tmp_path / "mydata.py").write_text(TASK)
    (tmp_path / "data.csv").write_text(rows())
    return tmp_path


def run(folder: Path, store: Store, *pairs: tuple[str, object]) -> Outcome:
    return runner(store).run(schema.load(folder / "csv.toml", pairs))


def test_files_that_a_task_names_are_part_of_its_trials(folder: Path, store: Store) -> None:
    (folder / "mydata.py").write_text(TASK + FILES)
    assert (run(folder, store).trained, run(folder, store).reused) == (4, 4)
    trial = schema.load(folder / "csv.toml").trials[0]
    assert len(trial.config["task"]["files"]) == 16
    assert trial.params["task.files"] == trial.config["task"]["files"]
    (folder / "data.csv").write_text(rows(shift=3))
    outcome = run(folder, store, ("run.seeds", 3))
    assert (outcome.trained, outcome.reused) == (6, 0)
    (folder / "data.csv").write_text(rows())
    assert run(folder, store).reused == 4


def test_a_missing_file_is_named_before_anything_is_made(folder: Path) -> None:
    (folder / "mydata.py").write_text(TASK + FILES)
    (folder / "data.csv").unlink()
    with pytest.raises(ConfigError, match=r"csv\.toml: Csv\.files: .*data\.csv cannot be read: No such file"):
        schema.load(folder / "csv.toml")


def test_a_file_edited_while_an_experiment_starts_is_noticed(folder: Path, store: Store) -> None:
    (folder / "mydata.py").write_text(TASK + FILES)
    experiment = schema.load(folder / "csv.toml")
    (folder / "data.csv").write_text(rows(shift=3))
    with pytest.raises(DataError, match="files of the task Csv were edited while the experiment was started"):
        runner(store).run(experiment)


def test_what_a_store_says_of_a_task_with_files_makes_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qlab.registry

    (folder / "mydata.py").write_text(TASK + FILES)
    config = schema.load(folder / "csv.toml").trials[0].config["task"]
    cls = qlab.registry.find("task", "mydata:Csv", folder)
    monkeypatch.setattr(qlab.registry, "find", lambda *_, **__: cls)
    assert make("task", config).config() == {"path": "data.csv"}


@pytest.mark.parametrize(
    ("first", "last", "split", "pairs"),
    [
        (0, 60, "validation", ()),
        (0, 60, "validation", (("run.seeds", 3),)),
        (0, 30, "training", ()),
        (0, 30, "training", (("run.seeds", [7]),)),
        (30, 60, "validation", (("model.hidden", [3]),)),
    ],
    ids=str,
)
def test_other_data_behind_the_same_task_are_refused(
    folder: Path, store: Store, first: int, last: int, split: str, pairs: tuple[tuple[str, object], ...]
) -> None:
    run(folder, store)
    (folder / "data.csv").write_text(rows(first, last, 3))
    with pytest.raises(DataError) as raised:
        run(folder, store, *pairs)
    for part in (f"csv: the {split} data that mydata:Csv loads now", "MLP LabelFlip 0 seed 0 (run ", "and 1 more"):
        assert part in str(raised.value)
    for remedy in ("Restore the data", "Csv.files()", "another name", "delete these runs"):
        assert remedy in str(raised.value)
    assert len(list(store.search(store.experiment_ids([]), "tags.`qlab.kind` = 'trial'"))) == 4
    (folder / "data.csv").write_text(rows())
    assert run(folder, store).reused == 4


def test_labels_count_too(folder: Path, store: Store) -> None:
    run(folder, store)
    (folder / "data.csv").write_text(rows().replace(",1\n", ",0\n", 1))
    with pytest.raises(DataError, match="the training data that mydata:Csv loads now are not those"):
        run(folder, store)


def test_each_remedy_works(folder: Path, store: Store) -> None:
    run(folder, store)
    (folder / "data.csv").write_text(rows(shift=3))
    assert run(folder, store, ("name", "other")).trained == 4
    (folder / "mydata.py").write_text(TASK + FILES)
    assert run(folder, store).trained == 4
    (folder / "mydata.py").write_text(TASK)
    for trial in store.search(store.experiment_ids(["csv"])):
        if trial.data.tags[names.KIND] == names.TRIAL:
            store.client.delete_run(trial.info.run_id)
    assert run(folder, store).trained == 4


def test_stores_of_older_versions_are_compared_by_what_their_runs_used(folder: Path, store: Store) -> None:
    run(folder, store)
    ids = store.experiment_ids([])
    trials = [found for found in store.search(ids) if found.data.tags[names.KIND] == names.TRIAL]
    for trial in trials:
        store.client.delete_tag(trial.info.run_id, names.DATA)
    assert run(folder, store).reused == 4
    (folder / "data.csv").write_text(rows(0, 30, 3))
    with pytest.raises(DataError, match="the training data"):
        run(folder, store)
    (folder / "data.csv").write_text(rows(30, 60, 3))
    with pytest.raises(DataError, match="the validation data"):
        run(folder, store, ("run.seeds", [7]))


def test_runs_without_digests_are_taken_as_they_are(folder: Path, store: Store) -> None:
    experiment = schema.load(folder / "csv.toml")
    for trial in experiment.trials:
        tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: trial.key, names.HEALTH: "healthy"}
        run_id = store.create_run(store.experiment_id("csv"), trial.label, params=trial.params, tags=tags)
        store.finish(run_id)
    assert runner(store).run(experiment).reused == 4


def test_classes_that_one_function_makes_have_data_of_their_own(folder: Path, store: Store) -> None:
    made = TASK.replace("class Csv(Task)", "def make(shift):\n  class Csv(Task)").replace("\n    ", "\n      ")
    made = made.replace("rows[:, :-1])", "rows[:, :-1] + shift)") + "\n  return Csv\n\n\nA, B = make(0.0), make(1.0)\n"
    (folder / "mydata.py").write_text(made)
    two = FILE.replace('[task]\ntype = "mydata:Csv"', '[[task]]\ntype = "mydata:A"\n[[task]]\ntype = "mydata:B"')
    (folder / "csv.toml").write_text(two)
    assert run(folder, store, ("run.seeds", 1)).trained == 4
    runs = list(store.search(store.experiment_ids([]), "tags.`qlab.kind` = 'trial'"))
    assert len({found.data.tags[names.DATA] for found in runs}) == 2


class Stopping(Silent):
    """Presses Ctrl-C after three epochs, and keeps what it is told."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.notices: list[str] = []

    def epoch(self, epoch: int, metrics: object) -> None:
        if epoch == self.last:
            raise KeyboardInterrupt

    def notice(self, message: str) -> None:
        self.notices.append(message)


@pytest.mark.parametrize(("shift", "anew"), [(0, 0), (3, 4)], ids=["the same data", "other data"])
def test_a_training_goes_on_with_the_data_it_was_begun_with_alone(
    folder: Path, store: Store, shift: int, anew: int
) -> None:
    pairs = [("training.epochs", 6), ("run.checkpoint_seconds", 0)]
    (folder / "csv.toml").write_text(FILE.replace("epochs = 2, ", ""))
    with pytest.raises(KeyboardInterrupt):
        runner(store, Stopping(3)).run(schema.load(folder / "csv.toml", pairs))
    (folder / "data.csv").write_text(rows(shift=shift))
    told = Stopping(-1)
    assert runner(store, told).run(schema.load(folder / "csv.toml", pairs)).trained == 4
    assert len([line for line in told.notices if "others than before the interruption" in line]) == anew


def test_qlabs_own_tasks_are_not_loaded_where_nothing_is_to_be_done(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qlab.tasks import XXZ

    text = FILE.replace('type = "mydata:Csv"', 'type = "XXZ"\nlength = 4')
    (folder / "csv.toml").write_text(text)
    run(folder, store)
    assert all(names.DATA not in found.data.tags for found in store.search(store.experiment_ids([])))
    monkeypatch.setattr(XXZ, "load", lambda self: pytest.fail("loaded"))
    assert run(folder, store).reused == 4


def test_nothing_is_retried_with_other_files(folder: Path, store: Store) -> None:
    (folder / "mydata.py").write_text(TASK + FILES)
    run(folder, store)
    found = next(run for run in store.search(store.experiment_ids([])) if run.data.tags[names.KIND] == names.TRIAL)
    store.client.delete_run(found.info.run_id)
    (folder / "data.csv").write_text(rows(shift=3))
    (refused,) = Unfinished.of(store).refused
    assert "has now, or other data files" in str(refused)
    assert len(Plan.of(schema.load(folder / "csv.toml"), store).todo) == 4


def test_the_command_refuses_with_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    monkeypatch.chdir(folder)
    write_empty_store(folder / "mlruns" / "mlflow.db")
    invoke("run", "csv.toml")
    (folder / "data.csv").write_text(rows(shift=3))
    done = invoke("run", "csv.toml", "--seeds", "3", code=2)
    assert done.stderr.startswith("Error: csv: the validation data that mydata:Csv")
