"""Several runs of one file at a time, in processes of their own: no trial is trained twice, all end with everything."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.experiments import SLOW, TASK

from qlab.experiment import schema
from qlab.experiment.plan import Plan
from qlab.experiment.runner import Runner
from qlab.tracking import names
from qlab.tracking.claims import Claims, TakenOver
from qlab.tracking.standing import REASON
from qlab.tracking.store import Store
from qlab.tracking.workers import Worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are not sent to processes on Windows")

EXPERIMENT = f"""
name = "shared"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "slow:Slow"
hidden = [4]
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 3
[run]
seeds = 3
oracles = 1
"""

MORE = """
[[unlearner]]
type = "Finetune"
steps = 3
[[probe]]
type = "HessianProbe"
"""


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "shared.toml").write_text(EXPERIMENT)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    return tmp_path


def start(folder: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qlab", "run", "shared.toml", *options],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def store_of(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)


def runs_of(folder: Path) -> list[Any]:
    store = store_of(folder)
    return list(store.search(store.experiment_ids(["shared"])))


def wait_for(condition: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


def stop(process: subprocess.Popen[str], folder: Path) -> None:
    """Stops a process at a moment at which it does not write: it would keep the database locked."""
    for _ in range(100):
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)  # the signal has arrived
        with contextlib.closing(
            sqlite3.connect(folder / "mlruns" / "mlflow.db", timeout=0, isolation_level=None)
        ) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.13)
    raise AssertionError("it never stops writing")


def running_trials(folder: Path) -> int:
    store = store_of(folder)
    if store.find_experiment("shared") is None:
        return 0
    return sum(run.info.status == "RUNNING" and run.data.tags[names.KIND] == names.TRIAL for run in runs_of(folder))


@pytest.mark.parametrize(("workers", "more", "others"), [(2, MORE, 6), (3, "", 0)])
def test_each_trial_is_run_once_and_all_end_with_everything(folder: Path, workers: int, more: str, others: int) -> None:
    (folder / "shared.toml").write_text(EXPERIMENT + more)
    processes = [start(folder) for _ in range(workers)]
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * workers, said
    for output, errors in said:
        assert "3 of 3" in output
        assert "Traceback" not in output + errors
    runs = runs_of(folder)
    assert {run.info.status for run in runs} == {"FINISHED"}
    kinds = Counter(run.data.tags[names.KIND] for run in runs)
    assert (kinds[names.EXPERIMENT], kinds[names.TRIAL]) == (1, 6)
    assert (kinds[names.UNLEARNING], kinds[names.PROBE]) == (others, others)
    assert {count for key, count in Counter(run.data.tags.get(names.TRIAL_KEY) for run in runs).items() if key} == {1}
    trained = [int(output.split(" trials trained")[0].split()[-1]) for output, _ in said]
    assert sum(trained) == 6


def test_who_waits_takes_over_from_who_is_killed(folder: Path) -> None:
    (folder / "wait").touch()
    first = start(folder)
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        second = start(folder)
        try:
            assert second.stdout is not None
            lines = [second.stdout.readline(), second.stdout.readline()]
            while "waiting" not in lines[-1]:
                assert lines[-1], lines
                lines.append(second.stdout.readline())
            assert f"process {first.pid} on " in lines[-1]
            experiment, store = schema.load(folder / "shared.toml"), store_of(folder)
            assert set(Plan.of(experiment, store).states.values()) == {"RUNNING"}
            assert not Plan.of(experiment, store).interrupted
            first.send_signal(signal.SIGKILL)
            first.wait()
            (folder / "wait").unlink()
            output, errors = second.communicate(timeout=240)
            assert second.returncode == 0, (output, errors)
        finally:
            second.kill()
            second.communicate()
    finally:
        first.kill()
        first.communicate()
    runs = runs_of(folder)
    assert not any(run.info.status == "RUNNING" for run in runs)
    finished = Counter(run.data.tags.get(names.TRIAL_KEY) for run in runs if run.info.status == "FINISHED")
    assert {count for key, count in finished.items() if key} == {1}
    for run in runs:
        if run.info.status == "KILLED":
            assert run.data.tags[names.ERROR] == REASON


FAR = """
import os
from qlab.tracking import workers
from qlab.tracking.claims import Claims

if os.environ.get("FAR"):  # as if on another machine, where nobody sees whether the process is there
    workers._space = lambda: ""
    Claims.__init__.__kwdefaults__["lease"] = 1.0
"""


@pytest.mark.parametrize(("states", "interrupted", "every"), [(True, False, 60), (False, False, 1), (True, True, 1)])
def test_who_slept_leaves_to_others_what_they_have_taken_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, states: bool, interrupted: bool, every: int
) -> None:
    (folder / "slow.py").write_text(SLOW + FAR)
    text = EXPERIMENT.replace("epochs = 3", "epochs = 60").replace("[run]", f"[run]\nevaluate_every = {every}")
    (folder / "shared.toml").write_text(text)
    seconds = 0.0 if states else 60.0
    if not states:
        (folder / "wait").touch()
    first = start(folder, "--set", f"run.checkpoint_seconds={seconds}", FAR="1")
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        if states:
            slow = "tags.`qlab.resume` != '' and attributes.status = 'RUNNING'"
            store = store_of(folder)
            ids = store.experiment_ids(["shared"])
            wait_for(lambda: len(list(store.search(ids, slow))) == 3, "three states")
            (folder / "wait").touch()
            time.sleep(2.0)  # it gets to where it waits
        stop(first, folder)
        (folder / "wait").unlink()
        monkeypatch.setitem(Claims.__init__.__kwdefaults__, "lease", 1.0)
        time.sleep(1.5)
        second = Runner(store_of(folder)).run(schema.load(folder / "shared.toml"))
        assert (second.trained, second.failed) == (6, {})
        if interrupted:
            first.send_signal(signal.SIGINT)  # reaches it when it wakes, before it has looked at anything
        first.send_signal(signal.SIGCONT)
        output, errors = first.communicate(timeout=240)
    finally:
        first.kill()
        first.communicate()
    assert first.returncode == (130 if interrupted else 0), (output, errors)
    assert ("so others have taken over 6 of the runs that it had for itself" in output) != interrupted
    (parent,) = [run for run in runs_of(folder) if run.data.tags[names.KIND] == names.EXPERIMENT]
    assert parent.info.status == "FINISHED"
    runs = [run for run in runs_of(folder) if run.data.tags[names.KIND] == names.TRIAL]
    done = [run for run in runs if run.info.status == "FINISHED"]
    assert sorted(run.data.tags[names.TRIAL_KEY] for run in done) == sorted(
        trial.key for trial in schema.load(folder / "shared.toml").trials
    )
    others = [run for run in runs if run.info.status != "FINISHED"]
    assert [run.info.status for run in others] == ([] if states else ["KILLED"] * 3)
    store = store_of(folder)
    for run in done:
        steps = [step for step, _ in store.metric_history(run.info.run_id, "train_loss")]
        assert steps == list(range(1 if every == 1 else 49, 61))  # the last fifth is always evaluated
        # Nor has it written states into runs that the others had finished.
        assert names.RESUME not in run.data.tags
        assert not (Path(store.artifact_place(run.info.run_id)) / "resume").exists()


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("kind", [names.UNLEARNING, names.PROBE])
def test_unlearning_and_probes_that_were_left_are_run_again_once_they_are_free(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, call: int
) -> None:
    (folder / "shared.toml").write_text(EXPERIMENT.replace("slow:Slow", "MLP").replace("[4]", "[3]", 1) + MORE)
    experiment = schema.load(folder / "shared.toml")
    items = experiment.unlearnings if kind == names.UNLEARNING else experiment.measurements
    wanted, confirm, calls = {item.key for item in items}, Claims.confirm, []

    def confirm_but_once(claims: Claims, keys: Iterable[str]) -> None:
        """As if another worker had claimed them before this call, and was gone after it."""
        given = set(keys)
        if given & wanted:
            calls.append(given)
            if len(calls) == call:
                raise TakenOver(len(given), 61.0)
        confirm(claims, given)

    monkeypatch.setattr(Claims, "confirm", confirm_but_once)
    outcome = Runner(store_of(folder)).run(experiment)
    assert (outcome.trained, outcome.unlearned, outcome.measured, outcome.failed) == (6, 6, 6, {})
    runs = [run for run in runs_of(folder) if run.data.tags[names.KIND] == kind]
    assert Counter(run.data.tags[names.TRIAL_KEY] for run in runs if run.info.status == "FINISHED") == Counter(wanted)
    left = [run for run in runs if run.info.status != "FINISHED"]
    # What is left before it has begun has no run.
    begun = {names.UNLEARNING: [0, 3, 3], names.PROBE: [0, 1, 0]}[kind][call - 1]
    assert [run.info.status for run in left] == ["KILLED"] * begun


def test_who_waits_can_be_interrupted(folder: Path) -> None:
    (folder / "wait").touch()
    first = start(folder)
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        second = start(folder)
        assert second.stdout is not None
        while "waiting" not in second.stdout.readline():
            assert second.poll() is None
        second.send_signal(signal.SIGINT)
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 130
        assert "Traceback" not in errors
        assert running_trials(folder) == 3
        (folder / "wait").unlink()
        first.communicate(timeout=240)
        assert first.returncode == 0
    finally:
        (folder / "wait").unlink(missing_ok=True)
        first.kill()
        first.communicate()


def test_what_fails_elsewhere_is_not_tried_again_and_counts_as_failed(folder: Path) -> None:
    (folder / "wait").touch()
    first = start(folder)
    try:
        wait_for(lambda: running_trials(folder) == 3, "three trials running")
        second = start(folder)
        assert second.stdout is not None
        while "waiting" not in second.stdout.readline():
            assert second.poll() is None
        (folder / "fail").touch()
        (folder / "wait").unlink()
        outputs = [process.communicate(timeout=240)[0] for process in (first, second)]
        assert [first.returncode, second.returncode] == [1, 1]
        for output in outputs:
            assert output.count("the kettle is dry") >= 1
    finally:
        first.kill()
        first.communicate()
    failed = [run for run in runs_of(folder) if run.info.status == "FAILED" and names.TRIAL_KEY in run.data.tags]
    assert len([run for run in failed if run.data.tags[names.KIND] == names.TRIAL]) == 3


def test_what_fails_elsewhere_just_before_it_is_claimed_is_not_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "fail").touch()
    experiment = schema.load(folder / "shared.toml")
    claim = Claims.claim

    def claim_late(claims: Claims, keys: Iterable[str]) -> set[str]:
        """The other begins, fails and ends between this one's look at the store and its claim."""
        monkeypatch.setattr(Claims, "claim", claim)
        assert len(Runner(store_of(folder)).run(experiment).failed) == 3
        return claim(claims, keys)

    monkeypatch.setattr(Claims, "claim", claim_late)
    outcome = Runner(store_of(folder)).run(experiment)
    assert len(outcome.failed) == 3
    assert all(error.startswith("RuntimeError: the kettle is dry [in ") for _, error in outcome.failed.values())
    trials = [run for run in runs_of(folder) if run.data.tags[names.KIND] == names.TRIAL]
    assert Counter(run.info.status for run in trials) == {"FAILED": 3, "FINISHED": 3}


def test_a_dry_run_calls_what_nobody_runs_interrupted(folder: Path) -> None:
    store = store_of(folder)
    experiment = schema.load(folder / "shared.toml")
    first, second = experiment.trials[:2]
    for trial, worker in ((first, None), (second, Worker.here().id)):
        tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: trial.key} | ({names.WORKER: worker} if worker else {})
        store.create_run(store.experiment_id("shared"), trial.label, params=trial.params, tags=tags)
    plan = Plan.of(experiment, store)
    assert [plan.state(trial.key) for trial in experiment.trials[:3]] == ["interrupted", "interrupted", "new"]


def test_threads_of_one_process_share_as_well(folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(_: int) -> int:
        store = store_of(folder)
        experiment = schema.load(folder / "shared.toml", [("training.epochs", 2)])
        return Runner(store).run(experiment).trained

    with ThreadPoolExecutor(2) as pool:
        trained = list(pool.map(work, range(2)))
    assert sum(trained) == 6
