"""Ctrl-C and SIGTERM at any moment: the command ends at once, with 130 and one line, and what it ran is marked."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import started
from support.experiments import TASK
from support.forks import Forks

from qlab.interrupts import GRACE_SECONDS
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here"),
]

EXPERIMENT = f"""
name = "swept"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "MLP"
hidden = [4]
[[model]]
type = "PennyLaneQNN"
depth = 2
[training]
epochs = 40
batch_size = 8
[[unlearner]]
type = "Scrub"
steps = 4
[[probe]]
type = "HessianProbe"
[run]
seeds = 2
oracles = 1
checkpoint_seconds = 0.0
"""

UNMARKED = "there was no time to mark what was running"
"""What a process says that was ended since its clean-up took too long, as it may on a busy machine."""

ALLOWED_SECONDS = GRACE_SECONDS + 4.0
"""From the signal to the end: some more than the grace, for a machine that is busy with other tests."""


def statuses(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{folder}/mlruns/mlflow.db?mode=ro", uri=True)) as connection:
        return [status for (status,) in connection.execute("SELECT status FROM runs WHERE name != 'claims'")]


def read_statuses(folder: Path) -> set[str]:
    store = Store(f"sqlite:///{folder}/mlruns/mlflow.db", create=False)
    return set(frames.runs(store, store.experiment_ids())["status"])


def send(pid: int, moment: int) -> None:
    """Ctrl-C, SIGTERM, both as `timeout` sends them, or a second one a little later."""
    os.kill(pid, signal.SIGTERM if moment % 4 == 1 else signal.SIGINT)
    if moment % 4 == 2:
        os.kill(pid, signal.SIGINT)
    if moment % 4 == 3:
        time.sleep(0.7)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)


def kinds(folder: Path) -> Counter[tuple[str, str]]:
    """How many runs there are, by kind and status."""
    query = "SELECT tags.value, status FROM runs JOIN tags USING (run_uuid) WHERE tags.key = 'qlab.kind'"
    with contextlib.closing(sqlite3.connect(f"file:{folder}/mlruns/mlflow.db?mode=ro", uri=True)) as connection:
        return Counter((kind, status) for kind, status in connection.execute(query))


STAGES: dict[str, Callable[[Counter[tuple[str, str]]], bool]] = {
    "planning": lambda found: True,
    "creating runs": lambda found: found["trial", "RUNNING"] > 0,
    "training": lambda found: found["trial", "RUNNING"] > 1,
    "retraining": lambda found: found["oracle", "RUNNING"] > 0,
    "unlearning": lambda found: found["unlearning", "RUNNING"] > 0,
    "probing": lambda found: found["probe", "RUNNING"] > 0,
    "summing up": lambda found: not any(kind != "experiment" for kind, status in found if status == "RUNNING"),
}
"""When a signal is sent: as soon as the store says so, or some random time later."""


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param([*STAGES], id="once each"),
        pytest.param([*STAGES, *STAGES, "planning", "training"], id="often", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("figures")
def test_stopped_at_any_moment_it_marks_its_runs_and_goes_on_later(
    stages: list[str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    write_empty_store: Callable[[Path], str],
) -> None:
    moments = random.Random(2)
    warmup = tmp_path_factory.mktemp("warmup")
    for folder in (tmp_path, warmup):
        (folder / "swept.toml").write_text(EXPERIMENT)
        write_empty_store(folder / "mlruns" / "mlflow.db")
    output = tmp_path / "output.txt"
    output.touch()
    stopped = Counter[str]()
    with contextlib.closing(Forks(tmp_path, warmup)) as forks:
        for number, stage in enumerate(stages):
            before = output.stat().st_size
            seeds = str(1 + number // 4)  # there is always something new to do
            pid = forks.start("run", "swept.toml", "--seeds", seeds)
            time.sleep(moments.uniform(0.0, 0.1))
            end = time.monotonic() + 20.0
            while time.monotonic() < end and not STAGES[stage](kinds(tmp_path)) and ends_later(pid):
                time.sleep(0.002)
            time.sleep(moments.choice([0.0, 0.05, 0.3, 1.0]))
            start = time.monotonic()
            send(pid, number)
            status = forks.wait()
            said = output.read_bytes()[before:].decode()
            assert status in (130, 0), said
            assert time.monotonic() - start < ALLOWED_SECONDS
            assert "Traceback" not in said
            assert "Error" not in said
            assert said.count("Interrupted") == (status == 130), said
            if number % 4 == 3:  # the clean-up may have been interrupted as well
                assert "RUNNING" not in read_statuses(tmp_path)
            elif UNMARKED not in said:
                assert "RUNNING" not in statuses(tmp_path), said
            stopped[stage] += status == 130
        assert stopped.total() >= len(stages) // 2, stopped
        forks.start("run", "swept.toml", "--seeds", seeds)
        assert forks.wait() == 0, output.read_text()
    store = Store(f"sqlite:///{tmp_path}/mlruns/mlflow.db", create=False)
    runs = frames.runs(store, store.experiment_ids())
    done = runs[runs["status"] == "FINISHED"].groupby("kind")["trial"].nunique()
    number = 2 * int(seeds)
    assert {kind: done[kind] for kind in ("trial", "oracle", "unlearning", "probe")} == {
        "trial": number, "oracle": number, "unlearning": number, "probe": number
    }  # fmt: skip
    assert "FINISHED" in set(runs[runs["kind"] == "experiment"]["status"])


def ends_later(pid: int) -> bool:
    """Whether a process runs; one that waits for its status to be asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def test_fifteen_hundred_runs_are_marked_in_time(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    experiment = store.experiment_id("many")
    first = store.create_run(experiment, "first", tags={names.WORKER: "me"})
    other = store.create_run(experiment, "another's", tags={names.WORKER: "other"})
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        for table in ("runs", "tags"):  # as MLflow would make them, in no time
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            copied = ", ".join("printf('%032d', number)" if name == "run_uuid" else name for name in columns)
            connection.execute(
                "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT 1499) "
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {copied} FROM {table}, numbers WHERE run_uuid = ?",
                (first,),
            )
    found = store.running(experiment, "me")
    assert len(found) == 1500
    start = time.monotonic()
    store.end(found, "KILLED", "interrupted")
    assert time.monotonic() - start < 2.0
    assert store.running(experiment, "me") == []
    run = store.get_run(found[-1])
    assert (run.info.status, run.data.tags[names.ERROR]) == ("KILLED", "interrupted")
    assert run.info.end_time is not None
    assert store.get_run(other).info.status == "RUNNING"
    store.end(found, "FAILED", "again")
    assert store.get_run(found[0]).data.tags[names.ERROR] == "again"


def write_class(folder: Path, code: str) -> None:
    (folder / "own.py").write_text(f"from pathlib import Path\nimport time\nhere = Path(__file__).parent\n{code}")
    (folder / "own.toml").write_text(f'{TASK}\n[model]\ntype = "own:Own"\n')


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Path:
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    (tmp_path / "plain.toml").write_text(f'{TASK}\n[model]\ntype = "MLP"\n')
    return tmp_path


def stop(process: subprocess.Popen[str], number: int) -> tuple[int, list[str]]:
    """The exit status and what it said, after a signal; it has to end in time."""
    start = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < ALLOWED_SECONDS, errors
    return process.returncode, errors.splitlines()


def wait_for(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 90.0
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


SWALLOWS = """
while True:
    try:
        (here / "ready").touch()
        time.sleep(30)
    except BaseException:
        pass
"""

IMPORTS = {
    "waits": '(here / "ready").touch()\ntime.sleep(30)',
    "loses an interrupt": """
class Loses:
    def __del__(self):
        (here / "ready").touch()
        time.sleep(30)

Loses()
time.sleep(30)
""",
    "swallows every interrupt": SWALLOWS,
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "termination"])
@pytest.mark.parametrize("code", IMPORTS.values(), ids=IMPORTS.keys())
def test_stopped_while_a_class_is_imported(code: str, number: int, folder: Path) -> None:
    write_class(folder, code)
    with started(folder, "run", "own.toml") as process:
        wait_for(process, (folder / "ready").exists)
        status, lines = stop(process, number)
    assert status == 130
    assert len(lines) == 1
    assert lines[0].startswith("Interrupted")


def test_stopped_while_another_process_has_the_store_locked(folder: Path) -> None:
    write_class(folder, "from qlab import MLP\n\n\nclass Own(MLP):\n    '''It.'''\n\n(here / 'ready').touch()\n")
    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db", isolation_level=None)
    with contextlib.closing(connection), started(folder, "run", "own.toml") as process:
        connection.execute("BEGIN EXCLUSIVE")
        wait_for(process, (folder / "ready").exists)
        time.sleep(3.0)
        status, lines = stop(process, signal.SIGINT)
    assert status == 130
    assert lines[-1].startswith("Interrupted")
    assert not [line for line in lines if not line.startswith(("Interrupted", "Waiting for the store"))]


@pytest.mark.parametrize("command", [("run", "plain.toml"), ("runs",)], ids=" ".join)
def test_stopped_while_a_server_does_not_answer(command: tuple[str, ...], folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        server.settimeout(90.0)
        with started(folder, *command, "--tracking-uri", address) as process:
            server.accept()[0].close()  # the sign of life
            connection, _ = server.accept()
            with connection:
                time.sleep(0.5)
                status, lines = stop(process, signal.SIGINT)
    assert status == 130
    assert [line[:11] for line in lines] == ["Interrupted"]


def test_stopped_at_a_question(folder: Path) -> None:
    code = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); import click; click.confirm('?', abort=True)"
    script = f"from qlab.cli import main\nmain.command('ask')(lambda: exec({code!r}))\nmain(['ask'])"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    status, lines = stop(process, signal.SIGINT)
    assert (status, lines[-1]) == (130, "Interrupted.")
