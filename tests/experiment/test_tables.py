"""Experiments on a table beside their file: run, edited, run by workers, and shown."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from support.runs import Unheard

from qlab.cli import main
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.experiment.jobs.base import Inputs
from qlab.experiment.jobs.materials import Materials, Setting
from qlab.experiment.jobs.train import Train
from qlab.explorer.loaded import corrupted_of, data_of
from qlab.explorer.reader import Reader
from qlab.report.data import shown_data
from qlab.tasks.stored import load_stored
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

CELLS = (Path(__file__).parents[1] / "support" / "cells.csv").read_text()

FILE = """
name = "cells"
task = { type = "Table", path = "data/cells.csv", label = "kind", positive = "M", reduce = 2 }
corruption = { type = "FeatureRandomization", ratio = 0.25 }
training = { epochs = 2 }
run = { seeds = 2 }
[[model]]
type = "MLP"
[[model]]
type = "PennyLaneQNN"
"""


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment's folder; the current one is beside it."""
    own = tmp_path / "own"
    (own / "data").mkdir(parents=True)
    (own / "cells.toml").write_text(FILE)
    (own / "data" / "cells.csv").write_text(CELLS)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return own


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["run", "own/cells.toml", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def edit(folder: Path) -> None:
    (folder / "data" / "cells.csv").write_text(CELLS.replace("B,", "B,1", 1))


def test_a_file_beside_the_experiment_is_trained_on_and_an_edited_one_anew(folder: Path) -> None:
    first = run()
    assert "4 trials trained, 0 from the store" in first
    assert "test accuracy" in first
    edit(folder)
    assert "4 trials trained, 0 from the store" in run()
    (folder / "data" / "cells.csv").write_text(CELLS)
    assert "0 trials trained, 4 from the store" in run()
    store = Store()
    found = frames.trials(store, [str(store.find_experiment("cells"))])
    assert found["task.files"].nunique() == 2
    assert set(found["task.path"]) == {"data/cells.csv"}
    assert found["test_accuracy"].notna().all()


def test_results_of_two_states_of_a_file_are_told_apart_by_its_digest(folder: Path) -> None:
    from qlab.views.summary import summarize

    run()
    edit(folder)
    run()
    store = Store()
    found = frames.trials(store, [str(store.find_experiment("cells"))])
    table = summarize(found)
    assert len(table) == 4
    for digest in set(found["task.files"]):
        assert sum(str(digest) in label for label in table["model"]) == 2


def test_a_worker_needs_no_file(folder: Path) -> None:
    """What is sent to one: jobs and data, pickled; the file is nowhere by the time they are unpickled."""
    experiment = schema.load(folder / "cells.toml")
    here = Materials(Setting("cpu"))
    trials = tuple(trial for trial in experiment.trials if trial.names["model"] == "MLP")
    sent = cloudpickle.dumps((Train(trials), here.dataset(trials[0].task)))
    expected = Train(trials).run(here, Inputs(), Unheard())
    shutil.rmtree(folder)
    job, dataset = pickle.loads(sent)
    there = Materials(Setting("cpu"))
    there.give(job.task, lambda: dataset)
    found = job.run(there, Inputs(), Unheard())
    assert found.states.keys() == {trial.key for trial in trials}
    np.testing.assert_array_equal(found.final["test_loss"], expected.final["test_loss"])


@pytest.mark.slow
@pytest.mark.processes
def test_workers_give_the_results_of_this_process(folder: Path) -> None:
    assert "4 trials trained" in run("--jobs", "2")
    store = Store()
    found = frames.trials(store, [str(store.find_experiment("cells"))]).set_index("trial")["test_loss"]
    run("--set", "name=here")
    here = frames.trials(store, [str(store.find_experiment("here"))]).set_index("trial")["test_loss"]
    assert found.to_dict() == pytest.approx(here.to_dict(), abs=1e-6)


def test_another_file_is_named_on_the_command_line(folder: Path) -> None:
    (folder / "other.csv").write_text(CELLS.replace("kind", "sort"))
    assert "4 trials trained" in run("--set", "task.path=other.csv", "--set", "task.label=sort")
    refused = CliRunner().invoke(main, ["run", "own/cells.toml", "--set", "task.path=data/cell.csv"])
    assert refused.exit_code == 2
    assert 'there is no file "data/cell.csv" in' in refused.stderr
    assert 'Did you mean "cells.csv"?' in refused.stderr


def test_a_file_in_the_current_folder_alone_is_pointed_out(folder: Path) -> None:
    Path("here.csv").write_text(CELLS)
    with pytest.raises(ConfigError, match=r"There is one in the current folder: give its whole path, .*here\.csv"):
        schema.load(folder / "cells.toml", [("task.path", "here.csv")])


def test_the_explorer_and_reports_show_the_rows_that_were_trained_on(folder: Path) -> None:
    run()
    reader = Reader()
    row = reader.runs("cells").query("kind == 'trial'").iloc[0]
    config = reader.config("cells", row["trial"], row["parent_id"])
    assert config[names.FOLDER] == str(folder.absolute())
    corrupted = corrupted_of(config)
    assert (len(corrupted.split), int(corrupted.mask.sum())) == (24, 6)
    shown = shown_data(Store(), str(row["parent_id"]))
    assert shown is not None
    assert torch.equal(shown.dataset.train.x, data_of(config)[1].train.x)


def test_a_file_is_read_for_a_store_only_if_its_content_is_the_runs(folder: Path) -> None:
    config = schema.load(folder / "cells.toml").trials[0].config["task"]
    config = json.loads(json.dumps(config))
    assert len(load_stored(config, folder)[1].train) == 24
    edit(folder)
    with pytest.raises(DataError, match=r"data of these runs are not here.*edited since"):
        load_stored(config, folder)
    Path("data").mkdir()
    Path("data/cells.csv").write_text(CELLS)
    assert len(load_stored(config, folder)[1].train) == 24
    (folder / "data" / "cells.csv").unlink()
    Path("data/cells.csv").unlink()
    with pytest.raises(DataError, match=r'not here\. Table: path: there is no file "data/cells\.csv" in'):
        load_stored(config, folder)


def test_a_linked_file_has_its_table_beside_the_link_or_beside_itself(folder: Path) -> None:
    (folder.parent / "linked").mkdir()
    link = folder.parent / "linked" / "cells.toml"
    link.symlink_to(folder / "cells.toml")
    digest = schema.load(folder / "cells.toml").trials[0].config["task"]["files"]
    assert schema.load(link).trials[0].config["task"]["files"] == digest


def test_a_data_error_is_said_before_there_are_runs(folder: Path) -> None:
    (folder / "data" / "cells.csv").write_text(CELLS.replace("B,", "B,x", 1))
    refused = CliRunner().invoke(main, ["run", "own/cells.toml"])
    assert refused.exit_code == 2
    assert 'data/cells.csv: line 2, column "area": got "x' in refused.stderr
    assert "Traceback" not in refused.stderr
