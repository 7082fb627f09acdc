"""Reading a real store: in bulk, again only where it changed, and never outside a run's artifacts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.experiments import TASK
from support.runs import run_in

from qlab.errors import ConfigError, DataError, StoreError
from qlab.explorer.loaded import Loader, checkpoints, corrupted_of, related
from qlab.explorer.reader import Reader
from qlab.landscape import SliceProbe
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = f"""
name = "small"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "MLP"
hidden = [3]
[[model]]
type = "PennyLaneQNN"
depth = 1
[training]
epochs = 3
[[unlearner]]
type = "Finetune"
steps = 2
[[probe]]
type = "RougheningProbe"
[run]
seeds = 1
oracles = 1
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return run_in(tmp_path_factory.mktemp("read"), FILE)


@pytest.fixture
def reader(store: Store) -> Reader:
    return Reader(store.uri)


def test_runs_are_those_of_the_store(reader: Reader, store: Store) -> None:
    assert reader.experiments() == ["small"]
    ids = store.experiment_ids(["small"])
    pd.testing.assert_frame_equal(reader.runs("small"), frames.runs(store, ids))
    own = reader.runs("small", "params.`model.type` = 'MLP'")
    assert set(own["model.type"]) == {"MLP"}
    with pytest.raises(StoreError, match="no experiment"):
        reader.runs("large")
    with pytest.raises(StoreError, match="does not accept the filter"):
        reader.runs("small", "nonsense")


def test_a_refresh_finds_what_began_and_what_ended_since(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    store = Store(write_empty_store(tmp_path / "runs.db"))
    experiment = store.experiment_id("live")
    reader = Reader(store.uri)
    assert reader.runs("live").empty
    versions = [reader.refresh("live")]
    first = store.create_run(experiment, "first", tags={names.KIND: names.TRIAL})
    versions += [reader.refresh("live"), reader.refresh("live")]
    store.log(first, metrics=[("train_loss", 0.5, 1, 1)])
    versions.append(reader.refresh("live"))
    second = store.create_run(experiment, "second", tags={names.KIND: names.TRIAL})
    store.finish(first)
    versions.append(reader.refresh("live"))
    assert [later - earlier for earlier, later in itertools.pairwise(versions)] == [1, 0, 1, 1]
    frame = reader.runs("live").set_index("run_id")
    assert frame.loc[[first, second], "status"].tolist() == ["FINISHED", "INTERRUPTED"]  # no worker has it
    assert frame.loc[first, "train_loss"] == 0.5
    store.delete_run(second)
    assert reader.refresh("live") == versions[-1] + 1
    assert reader.runs("live")["run_id"].tolist() == [first]


def test_runs_that_began_together_do_not_look_like_a_change(
    tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(write_empty_store(tmp_path / "runs.db"))
    experiment = store.experiment_id("live")
    reader = Reader(store.uri)
    for number in range(30):
        name = f"run {number}"
        store.client.create_run(experiment, start_time=1000, run_name=name, tags={names.KIND: names.TRIAL})
        run_id = store.client.create_run(experiment, start_time=1000, run_name=name).info.run_id
        store.log(run_id, params={f"p{number % 3}": "1"})
        if number == 15:
            reader.refresh("live")
    version = reader.refresh("live")
    frame = reader.runs("live")
    assert [reader.refresh("live") for _ in range(3)] == [version] * 3
    monkeypatch.setattr("qlab.explorer.run_tables.WHOLE_SECONDS", 0.0)
    assert reader.refresh("live") == version
    assert reader.runs("live") is frame


def test_histories_are_read_in_bulk_and_kept(reader: Reader, store: Store) -> None:
    trials = reader.runs("small").query("kind == 'trial'")["run_id"].tolist()
    found = reader.histories(trials, ["train_loss", "no_such_metric"])
    for run_id in trials:
        own = found[(found["run_id"] == run_id) & (found["metric"] == "train_loss")]
        assert list(zip(own["step"], own["value"], strict=True)) == store.metric_history(run_id, "train_loss")
    assert len(found) == 3 * len(trials)
    assert store.metric_histories(trials, "no_such_metric") == {}


def test_a_landscape_is_that_of_the_stored_model_on_its_own_data(reader: Reader) -> None:
    frame = reader.runs("small")
    every = checkpoints(frame)
    taught = next(item for item in every if item.kind == names.TRIAL and "MLP LabelFlip 0.5" in item.label)
    points = related(taught, every, frame)
    assert list(points) == ["Finetune", "trained", "oracle", "clean"]
    landscape = Loader(reader).landscape("small", taught, {"clean": points["clean"], "Finetune": points["Finetune"]})
    row = frame.set_index("run_id").loc[taught.run_id]
    loss, accuracy = landscape.evaluate_points(landscape.theta[None])
    assert float(loss[0]) == pytest.approx(row["train_loss"], abs=1e-6)
    assert float(accuracy[0]) == row["train_accuracy"]
    clean = frame.set_index("run_id").loc[points["clean"].run_id]
    on_validation = landscape.on("validation")
    assert (
        float(on_validation.at("clean").evaluate_points(landscape.points["clean"][None])[1][0])
        == (clean["validation_accuracy"])
    )
    result = SliceProbe(resolution=3).measure(landscape)
    assert np.isfinite(result.arrays["loss"]).all()
    assert corrupted_of(reader.config("small", taught.trial, taught.parent)).mask.sum() == 8


def test_models_of_another_shape_are_no_points(reader: Reader) -> None:
    frame = reader.runs("small")
    every = checkpoints(frame)
    mlp, qnn = (
        next(item for item in every if item.kind == names.TRIAL and name in item.label) for name in ("MLP", "QNN")
    )
    assert set(Loader(reader).landscape("small", mlp, {"other": qnn}).points) == {"trained"}


def test_predictions_are_the_models_own(reader: Reader) -> None:
    every = checkpoints(reader.runs("small"))
    items = [item for item in every if item.kind == names.TRIAL]
    loader = Loader(reader)
    for (label, probability), item in zip(loader.predictions("small", items, 2), items, strict=True):
        model = reader.model(item.run_id)
        x = corrupted_of(loader.config("small", item)).split.x
        with torch.no_grad():
            assert (label, probability) == (item.label, pytest.approx(float(model(model.prepare(x))[2].sigmoid())))
    with pytest.raises(DataError, match="no training row 99"):
        loader.predictions("small", items, 99)


def test_what_is_missing_is_said(reader: Reader, store: Store) -> None:
    run_id = store.create_run(store.experiment_id("small"), "bare")
    store.finish(run_id)
    with pytest.raises(DataError, match="has no artifact"):
        reader.model(run_id)
    with pytest.raises(DataError, match="has no artifact"):
        reader.result(run_id)
    with pytest.raises(DataError, match="configuration of trial nobody is missing"):
        reader.config("small", "nobody", None)
    store.delete_run(run_id)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../mlflow.db", "checkpoint/../../../x"])
def test_paths_do_not_leave_a_runs_artifacts(reader: Reader, tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="not a path below"):
        reader._fetch("anything", path, tmp_path)


def test_a_link_among_artifacts_leads_nowhere(reader: Reader, store: Store, tmp_path: Path) -> None:
    run_id = reader.runs("small").query("kind == 'oracle'")["run_id"].iloc[0]
    secret = tmp_path / "secret"
    secret.write_text("{}")
    place = Path(store.artifact_place(str(run_id))) / "trials.json"
    place.symlink_to(secret)
    try:
        fetched = reader._fetch(str(run_id), "trials.json", tmp_path / "here")
    except (DataError, StoreError):
        return
    assert not fetched.is_symlink()


def test_names_from_a_store_are_not_imported(reader: Reader, store: Store, tmp_path: Path) -> None:
    import json

    import safetensors.torch

    run_id = str(reader.runs("small").query("kind == 'oracle'")["run_id"].iloc[0])
    bad = tmp_path / "model.safetensors"
    described = {"format": 1, "model": {"type": "antigravity:Model"}, "features": {"dimension": 1, "is_complex": False}}
    safetensors.torch.save_file({"features.active": torch.ones(1)}, bad, {"qlab": json.dumps(described)})
    place = Path(store.artifact_place(run_id)) / names.CHECKPOINT
    content = place.read_bytes()
    place.write_bytes(bad.read_bytes())
    try:
        with pytest.raises(ConfigError, match="not imported"):
            Reader(store.uri).model(run_id)
    finally:
        place.write_bytes(content)


def test_a_store_that_goes_away_and_comes_back(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    reader = Reader(write_empty_store(tmp_path / "runs.db"))
    assert reader.experiments() == []
    (tmp_path / "runs.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreError, match="is gone"):
        reader.experiments()
    (tmp_path / "elsewhere.db").rename(tmp_path / "runs.db")
    assert reader.experiments() == []


def test_a_store_whose_file_is_replaced_is_read_anew(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    reader = Reader(write_empty_store(tmp_path / "runs.db"))
    Store(reader.uri).experiment_id("old")
    assert reader.experiments() == ["old"]
    version = reader.refresh("old")
    other = Store(write_empty_store(tmp_path / "other.db"))
    number = other.experiment_id("old")
    other.finish(other.create_run(number, "theirs", tags={names.KIND: names.TRIAL}))
    other.experiment_id("new")
    other.reopen()  # what was written stands in the file, not in a journal beside it
    (tmp_path / "other.db").replace(tmp_path / "runs.db")
    assert reader.experiments() == ["new", "old"]
    assert reader.refresh("old") > version
    assert reader.runs("old")["name"].tolist() == ["theirs"]


def test_a_run_opens_in_the_servers_own_ui() -> None:
    assert Reader("http://lab.example:5000/").run_url("r", "7") == (
        "http://lab.example:5000/#/experiments/7/runs/r?workflowType=machine_learning"
    )
    assert Reader("sqlite:///runs.db").run_url("r", "7").startswith("http://127.0.0.1:5000/#/experiments/7")


def test_runs_that_come_later_mean_what_they_do_not_state(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    store = Store(write_empty_store(tmp_path / "runs.db"))
    experiment = store.experiment_id("told")

    def add(name: str, **params: str) -> None:
        own = {"corruption.type": "LabelFlip", "unlearner.type": "Finetune", **params}
        store.finish(store.create_run(experiment, name, params=own, tags={names.KIND: names.UNLEARNING}))

    def known(frame: pd.DataFrame) -> list[object]:
        return frame["corruption.known"].tolist()

    add("half", **{"corruption.known": "0.5"})
    reader = Reader(store.uri)
    version = reader.refresh("told")
    time.sleep(0.002)  # the store tells runs apart by milliseconds
    add("all")
    assert reader.refresh("told") == version + 1
    # The last run alone is read again and again; read together with the first, it is known to be told of all.
    for _ in range(2):
        assert known(reader.runs("told")) == known(Reader(store.uri).runs("told")) == [0.5, 1.0]
        reader.refresh("told")
    settled = reader.refresh("told")
    assert reader.refresh("told") == settled
