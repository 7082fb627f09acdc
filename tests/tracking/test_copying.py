"""Runs copied from one store into another: everything is there, to the bit, once, and nothing half made looks whole."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import invoke, tree
from support.copies import ALL, assert_same, of, results

from qlab.explorer.reader import Reader
from qlab.tracking import names
from qlab.tracking.lock import experiment_lock


def states(place: Path, everything: bool = False) -> list[str]:
    """The statuses of the copies in a store."""
    store = of(place)
    runs = store.search(store.experiment_ids())
    return sorted(run.info.status for run in runs if everything or names.COPIED in run.data.tags)


@pytest.fixture
def source(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ``mlruns`` of a copy of that project, which is the current folder."""
    folder = shutil.copytree(finished, tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder / "mlruns"


@pytest.fixture
def empty(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Path:
    """The folder of another, empty store."""
    write_empty_store(tmp_path / "group" / "mlflow.db")
    return tmp_path / "group"


def test_a_copy_has_everything_and_a_second_one_nothing_to_do(finished: Path, empty: Path, tmp_path: Path) -> None:
    before = tree(finished)
    assert invoke("copy", finished / "mlruns", empty).stdout.splitlines() == [ALL]
    assert_same(of(finished / "mlruns"), of(empty))
    assert invoke("copy", finished / "mlruns" / "mlflow.db", empty).stdout == "copied nothing; 13 were there already\n"
    assert tree(finished) == before
    assert states(empty) == ["FINISHED"] * 13


def test_commands_work_on_a_copy_as_on_the_first(
    finished: Path, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    invoke("copy", finished / "mlruns", empty)
    there = ["--tracking-uri", f"sqlite:///{empty / 'mlflow.db'}"]
    run = invoke("run", finished / "small.toml", *there).stdout
    assert "0 trials trained, 2 from the store, 0 unlearning runs, 0 probes taken" in run
    assert "2 finished" in invoke("runs", *there).stdout
    assert "Nothing to retry" in invoke("retry", *there).stdout
    assert "1 experiment;" in invoke("report", "-o", tmp_path / "report", *there).stdout
    assert "Nothing to delete" in invoke("gc", "--dry-run", *there).stdout
    reader = Reader(there[1])
    frame = reader.runs("small")
    for row in frame[frame["kind"] == names.TRIAL].to_dict("records"):
        assert reader.model(row["run_id"]) is not None
        assert reader.config("small", row["trial"], row["parent_id"])


def test_stores_with_different_seeds_become_one_with_all(source: Path, empty: Path) -> None:
    uri = f"sqlite:///{empty / 'mlflow.db'}"
    invoke("run", "small.toml", "--seeds", "1,2", "--tracking-uri", uri)
    invoke("run", "small.toml", "--seeds", "3")  # the source has 0, 1, 2
    found = invoke("copy", source, empty, "small").stdout
    assert "copied 1 trial, 1 unlearning run, 3 oracles, 1 probe, 2 parents of 1 experiment; " in found
    again = invoke("run", "small.toml", "--seeds", "3", "--tracking-uri", uri).stdout
    assert "0 trials trained, 3 from the store, 0 unlearning runs, 0 probes taken" in again
    back = invoke("copy", empty, source).stdout
    assert "copied 1 parent of 1 experiment" in back  # that of seeds 1 and 2
    for store in (of(source), of(empty)):
        frame = results(store)
        assert (frame["trial"].value_counts() == 1).all()
        assert frame["kind"].value_counts()[names.EXPERIMENT] == 3


def test_a_store_that_was_moved_and_cannot_be_written_is_copied_as_it_is(
    source: Path, empty: Path, tmp_path: Path
) -> None:
    moved = shutil.move(source.parent, tmp_path / "moved #1")
    before = tree(moved)
    for path in [moved, *moved.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert invoke("copy", moved / "mlruns", empty).stdout.splitlines() == [ALL]
        assert {name: content for name, (_, content) in tree(moved).items()} == {
            name: content for name, (_, content) in before.items()
        }
    finally:
        for path in [moved, *moved.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
    assert tree(moved) == before
    assert_same(of(moved / "mlruns"), of(empty))


def test_a_copy_into_itself_is_refused_however_it_is_spelled(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "hard.db").hardlink_to(source / "mlflow.db")
    before = tree(source)
    spellings = ["mlruns", source / "mlflow.db", "sqlite:///mlruns/mlflow.db", tmp_path / "link", tmp_path / "hard.db"]
    for spelling in [*spellings, f"sqlite:///{source.parent}/../project/mlruns/mlflow.db"]:
        assert "are the same store" in invoke("copy", source, spelling, code=2).stderr
    assert tree(source) == before


def test_a_copy_that_is_killed_again_and_again_gets_done_by_the_same_command(
    finished: Path, empty: Path, tmp_path: Path
) -> None:
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED.format(signal="SIGKILL"))
    command = [sys.executable, script, finished / "mlruns", empty, "45"]
    kills = 0
    while (result := subprocess.run(command, capture_output=True, text=True, check=False)).returncode != 0:
        assert result.returncode == -signal.SIGKILL, result.stderr
        kills += 1
        frame = results(of(empty))
        unfinished = frame[frame["status"] != "FINISHED"]
        assert (unfinished["status"] == "INTERRUPTED").all()
        assert 1 <= len(unfinished) <= 2
        assert (unfinished["kind"] == names.EXPERIMENT).sum() == 1
    assert kills >= 1
    assert_same(of(finished / "mlruns"), of(empty))
    assert states(empty) == ["FINISHED"] * 13


STOPPED = """
import os, signal, sys
from qlab.cli import main
from qlab.tracking.store import Store

write = Store._write
left = int(sys.argv[3])

def stop(self, *given):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.{signal})
    return write(self, *given)

Store._write = stop
main(["copy", *sys.argv[1:3]])
"""
"""A copy that is stopped before one of its writes, the one of a given number."""


def test_a_run_that_is_whole_is_kept_though_its_tag_does_not_say_so_yet(finished: Path, empty: Path) -> None:
    invoke("copy", finished / "mlruns", empty)
    store = of(empty)
    frame = results(store)
    for kind in (names.EXPERIMENT, names.TRIAL):
        run_id = str(frame[frame["kind"] == kind].iloc[0]["run_id"])
        store.set_tags(run_id, {names.COPIED: names.COPYING + store.get_run(run_id).data.tags[names.COPIED]})
    assert invoke("copy", finished / "mlruns", empty).stdout == "copied nothing; 13 were there already\n"
    tags = [store.get_run(run_id).data.tags[names.COPIED] for run_id in frame["run_id"]]
    assert set(tags) == set(results(of(finished / "mlruns"))["run_id"])


def test_an_interrupted_copy_says_so_and_leaves_nothing_that_looks_whole(
    finished: Path, empty: Path, tmp_path: Path
) -> None:
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED.format(signal="SIGINT"))
    command = [sys.executable, script, finished / "mlruns", empty, "45"]
    stopped = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stderr.splitlines()[-1] == (
        "Interrupted: what was copied is kept; give the same command again to copy the rest."
    )
    frame = results(of(empty))
    assert list(frame[frame["kind"] == names.EXPERIMENT]["status"]) == ["KILLED"]
    assert set(frame[frame["kind"] != names.EXPERIMENT]["status"]) <= {"FINISHED"}
    invoke("copy", finished / "mlruns", empty)
    assert_same(of(finished / "mlruns"), of(empty))


def test_what_did_not_finish_is_left_out_and_counted_unless_all_is_asked_for(source: Path, empty: Path) -> None:
    store = of(source)
    frame = results(store)
    trials = list(frame[frame["kind"] == names.TRIAL]["run_id"])
    store.end([trials[0]], "FAILED", "the kettle is dry")
    number = store.experiment_ids(["small"])[0]
    store.create_run(number, "a stranger")
    deleted = store.create_run(number, "deleted", tags={names.KIND: names.TRIAL, names.TRIAL_KEY: "x"})
    store.finish(deleted)
    store.delete_run(deleted)
    store.create_run(number, "half", tags={names.KIND: names.TRIAL, names.TRIAL_KEY: "y"})

    first = invoke("copy", source, empty).stdout.splitlines()
    assert first == [
        "left out: 1 failed, 1 interrupted, 1 not qlab's, 5 of a run that is left out "
        "(--all copies also failed, killed and interrupted runs, and what belongs to them)",
        "copied 1 trial, 1 unlearning run, 3 oracles, 1 probe, 1 parent of 1 experiment; 0 were there already",
    ]
    second = invoke("copy", source, empty, "--all").stdout.splitlines()
    assert second == [
        "left out: 1 not qlab's",
        "copied 2 trials, 1 unlearning run, 3 oracles, 1 probe of 1 experiment; 7 were there already",
    ]
    third = invoke("copy", source, empty, "--all").stdout.splitlines()
    assert third == ["left out: 1 not qlab's", "copied nothing; 14 were there already"]
    found = results(of(empty))
    assert sorted(found["status"]) == ["FAILED", *["FINISHED"] * 12, "KILLED"]
    assert "the kettle is dry" in set(found[names.ERROR])


def test_a_run_that_is_still_running_is_named_and_copied_when_it_has_finished(source: Path, empty: Path) -> None:
    store = of(source)
    frame = results(store)
    number = store.experiment_ids(["small"])[0]
    trial = frame[frame["kind"] == names.TRIAL].iloc[0]
    parent = str(frame[frame["kind"] == names.EXPERIMENT].iloc[0]["run_id"])
    with experiment_lock(store, number) as lock:
        lock.acquire()
        for run_id in (str(trial["run_id"]), parent):
            store.finish(run_id, "RUNNING")
        first = invoke("copy", source, empty).stdout
    assert f"still running, not copied: {trial['name']} (run {trial['run_id']}), small (run {parent})" in first
    there = results(of(empty))
    assert list(there[there["kind"] == names.EXPERIMENT]["status"]) == ["KILLED"]
    for run_id in (str(trial["run_id"]), parent):
        store.finish(run_id)
    invoke("copy", source, empty)
    assert_same(store, of(empty))


def test_a_damaged_checkpoint_is_named_and_copied_when_it_is_mended(source: Path, empty: Path) -> None:
    store = of(source)
    frame = results(store)
    trial = frame[frame["kind"] == names.TRIAL].iloc[0]
    file = Path(store.artifact_place(trial["run_id"])) / names.CHECKPOINT
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    found = invoke("copy", source, empty, code=1)
    said = f"Error: not copied: {trial['name']} (run {trial['run_id']}): its artifact {names.CHECKPOINT} is damaged"
    assert said in found.stderr
    assert found.stderr.count("the run that it belongs to was not copied") == 5
    there = results(of(empty))
    assert list(there[there["kind"] == names.EXPERIMENT]["status"]) == ["KILLED"]
    file.write_bytes(content)
    invoke("copy", source, empty)
    assert_same(store, of(empty))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mlruns", "DST", "smal"], 'has no experiment "smal". Did you mean "small"?'),
        (["nowhere.db", "DST"], "There is no store at"),
        (["mlruns", "localhost:5000"], "there is no such file or folder"),
        (["http://me:secret@127.0.0.1:1", "DST"], "The tracking server http://me:***@127.0.0.1:1 does not answer"),
        (["small.toml", "DST"], "is not an SQLite database"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_copied(
    arguments: list[str], said: str, source: Path, empty: Path
) -> None:
    found = invoke("copy", *[str(empty) if each == "DST" else each for each in arguments], code=2)
    assert said in found.stderr
    assert "secret" not in found.output
    assert states(empty) == []


def test_what_another_command_is_at_in_the_destination_is_left_to_it(finished: Path, empty: Path) -> None:
    store = of(empty)
    with experiment_lock(store, store.experiment_id("small")) as lock:
        lock.acquire()
        assert (
            "another command is working on it in the "
            "destination" in invoke("copy", finished / "mlruns", empty, code=1).stderr
        )
    invoke("copy", finished / "mlruns", empty)
    assert_same(of(finished / "mlruns"), of(empty))
