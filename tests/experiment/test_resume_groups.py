"""Interrupted trainings whose runs are kept together go on from their ensemble's state, and end as if undisturbed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.experiments import FLIPPED, TASK
from support.forks import Forks
from support.runs import Stop, Stopper, runner

from qlab.experiment.asking import schema
from qlab.reading import Results
from qlab.tracking import names
from qlab.tracking.query import Query
from qlab.tracking.store import Store

TEXT = f"""
name = "swept"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.25]
[[model]]
type = "MLP"
hidden = [4]
dtype = "float64"
[training]
epochs = 9
batch_size = 8
[run]
seeds = 3
checkpoint_seconds = 0.0
track = "groups"
"""


def go_on(store: Store, stop_after: int | None = None, **pairs: Any) -> Stopper:
    """Runs the experiment until it ends or is stopped."""
    stopper = Stopper(stop_after)
    assigned = [(key.replace("__", "."), value) for key, value in pairs.items()]
    experiment = schema.parse(TEXT, source="swept.toml", assignments=assigned)
    with pytest.raises(Stop) if stop_after else contextlib.nullcontext():
        runner(store, stopper).run(experiment)
    return stopper


def read(store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tidy frame of what has finished, and all its curves."""
    results = Results.of(Store(store.uri, create=False))
    by = ["ratio", "seed"]
    frame = results.frame[results.frame["status"] == "FINISHED"].sort_values(by)
    curves = results.curves(["train_loss", "validation_accuracy"]).sort_values([*by, "metric", "epoch"])
    return (
        frame.drop(columns=["run_id", "start"]).reset_index(drop=True),
        curves.drop(columns="run_id").reset_index(drop=True),
    )


def assert_no_states(store: Store) -> None:
    runs = store.search_kept(store.experiment_ids(), Query())
    assert not [tag for run in runs for tag in run.data.tags if tag.startswith(names.RESUME)]
    assert not any(path.is_file() for path in Path(store.uri.removeprefix("sqlite:///")).parent.rglob("resume/*/*"))


@pytest.fixture
def undisturbed(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    store = Store(write_empty_store(tmp_path / "undisturbed" / "mlflow.db"))
    go_on(store, run__checkpoint_seconds=30.0)
    return store


def test_an_ensemble_goes_on_where_it_was(store: Store, undisturbed: Store) -> None:
    go_on(store, stop_after=6)
    kept = list(store.search_kept(store.experiment_ids(), Query()))
    assert {run.info.status for run in kept if run.data.tags[names.KIND] != names.CLAIMS} == {"KILLED"}
    told = go_on(store)
    assert told.sizes == ["MLP on XXZ, LabelFlip, after epoch 5: 6"]
    for ours, theirs in zip(read(store), read(undisturbed), strict=True):
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert_no_states(store)
    groups = list(store.groups_of(store.experiment_ids(), Query()))
    assert [run.info.status for run in groups] == ["FINISHED", "FINISHED"]
    assert all(names.ERROR not in run.data.tags for run in groups)


def test_with_more_seeds_those_that_had_begun_go_on_and_the_others_begin(store: Store) -> None:
    go_on(store, stop_after=6)
    told = go_on(store, run__seeds=5)
    assert sorted(told.sizes) == ["MLP on XXZ, LabelFlip, after epoch 5: 6", "MLP on XXZ, LabelFlip: 4"]
    frame, curves = read(store)
    assert len(frame) == 10
    assert set(curves.groupby(["ratio", "seed", "metric"]).size()) == {9}
    assert_no_states(store)


def test_a_damaged_state_is_named_and_the_one_before_is_used(store: Store, undisturbed: Store) -> None:
    go_on(store, stop_after=6)
    folder = Path(store.uri.removeprefix("sqlite:///")).parent
    newest = max(folder.rglob("resume/*/*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-9])
    told = go_on(store)
    assert told.sizes == ["MLP on XXZ, LabelFlip, after epoch 4: 6"]
    assert told.notices == ["MLP on XXZ, LabelFlip: its state after epoch 5 is damaged and is not used"]
    pd.testing.assert_frame_equal(read(store)[1], read(undisturbed)[1], check_exact=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_killed_at_any_moment_it_ends_as_if_undisturbed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]
) -> None:
    text = TEXT.replace("epochs = 9", "epochs = 60")
    warmup = tmp_path_factory.mktemp("warmup")
    for folder in (tmp_path, warmup):
        (folder / "swept.toml").write_text(text)
        write_empty_store(folder / "mlruns" / "mlflow.db")
    moments = random.Random(3)
    with contextlib.closing(Forks(tmp_path, warmup)) as forks:
        for number in range(3):
            pid = forks.start("run", "swept.toml", "--no-figures")
            end = time.monotonic() + 120.0
            while number == 1 and not any(tmp_path.rglob("resume/*/b.safetensors")) and time.monotonic() < end:
                time.sleep(0.02)
            time.sleep(moments.uniform(0.1, 1.0) if number != 1 else 0.0)
            os.kill(pid, signal.SIGKILL)
            assert forks.wait() in (-signal.SIGKILL, 0)
        forks.start("run", "swept.toml", "--no-figures", "--set", "run.checkpoint_seconds=30.0")
        assert forks.wait() == 0, (tmp_path / "output.txt").read_text()
    said = (tmp_path / "output.txt").read_text()
    assert "after epoch " in said
    assert "Traceback" not in said
    store = Store(f"sqlite:///{tmp_path}/mlruns/mlflow.db", create=False)
    alone = Store(write_empty_store(tmp_path / "alone" / "mlflow.db"))
    pairs = [("run.checkpoint_seconds", 30.0), ("run.track", "runs")]
    runner(alone).run(schema.parse(text, source="swept.toml", assignments=pairs))
    ours, theirs = read(store), read(alone)
    assert len(ours[0]) == 6
    for found, expected in zip(ours, theirs, strict=True):
        pd.testing.assert_frame_equal(found, expected, check_like=True, atol=1e-9, rtol=0)
    runs = list(store.search_kept(store.experiment_ids(), Query()))
    assert not [run for run in runs if run.info.status == "RUNNING" and run.data.tags[names.KIND] != names.CLAIMS]
    assert_no_states(store)


def test_a_group_that_a_killed_command_left_running_is_marked(store: Store) -> None:
    text = f'name = "left"\n{FLIPPED}\n[run]\nseeds = 2\ntrack = "groups"'
    runner(store).run(schema.parse(text, source="left.toml"))
    (group,) = store.groups_of(store.experiment_ids(), Query())
    store.finish(str(group.info.run_id), "RUNNING")
    from qlab.tracking.orphans import end_orphans

    end_orphans(store, store.experiment_ids())
    (group,) = store.groups_of(store.experiment_ids(), Query())
    assert (group.info.status, group.data.tags[names.ERROR]) == ("KILLED", "interrupted: its command is gone")
    assert list(Results.of(store).frame["status"]) == ["FINISHED", "FINISHED"]
