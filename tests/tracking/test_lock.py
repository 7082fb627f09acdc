"""The lock of an experiment in an embedded store: real files, and real processes that are killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.children import Child
from support.commands import tree

from qlab import interrupts
from qlab.errors import StoreError
from qlab.tracking.file_lock import FileLock
from qlab.tracking.holding import HeldError, Holder, TakenOver
from qlab.tracking.lease import Lease
from qlab.tracking.lock import experiment_lock
from qlab.tracking.store import Store
from qlab.tracking.uri import embedded_file
from qlab.tracking.workers import Worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there the lock is a lease")

Fork = Callable[[str], Child]


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))


@pytest.fixture
def place(store: Store) -> str:
    return store.experiment_id("flip")


def lock_of(store: Store, place: str, poll: float = 0.02) -> FileLock:
    file = embedded_file(store.uri)
    assert file is not None
    return FileLock(store, place, file, poll=poll)


def holding(store: Store, place: str, then: str = "time.sleep(60)") -> str:
    """The lines of a process that holds the lock."""
    return (
        f"import time\nlock = experiment_lock(Store({store.uri!r}), {place!r})\n"
        f"lock.acquire()\nprint('held', flush=True)\n{then}\n"
    )


def test_who_has_the_lock_is_the_only_one_that_has_it(store: Store, place: str) -> None:
    first, second = experiment_lock(store, place), experiment_lock(Store(store.uri), place)
    assert isinstance(first, FileLock)
    assert first.holder() is None
    with first:
        first.acquire()
        first.acquire()
        first.confirm()
        found = second.holder()
        assert found is not None
        assert found == first.holder()
        assert f"{found}".startswith(f"process {os.getpid()} on {Worker.here().host}, since ")
        with pytest.raises(HeldError, match="without --no-wait"):
            second.acquire(wait=False)
        assert (first.held, second.held) == (True, False)
    assert (first.held, second.holder()) == (False, None)
    with second:
        second.acquire(wait=False)
        second.confirm()
        assert second.held


def test_the_message_for_who_does_not_wait(store: Store, place: str) -> None:
    with lock_of(store, place) as held:
        held.acquire()
        with pytest.raises(HeldError) as caught:
            lock_of(store, place).acquire(wait=False)
    assert str(caught.value) == (
        f"flip is being run by {caught.value.holder}. Give the command again when that has ended, or without "
        "--no-wait: then it waits."
    )


def test_an_error_inside_gives_the_lock_back(store: Store, place: str) -> None:
    with contextlib.suppress(ZeroDivisionError), lock_of(store, place) as held:
        held.acquire()
        print(1 / 0)
    assert (held.held, held.holder()) == (False, None)


def test_experiments_and_stores_in_one_folder_have_locks_of_their_own(
    store: Store, place: str, tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    beside = Store(write_empty_store(tmp_path / "mlruns" / "other.db"))
    assert beside.experiment_id("flip") == place
    with lock_of(store, place) as one, lock_of(store, store.experiment_id("b")) as two, lock_of(beside, place) as three:
        for lock in (one, two, three):
            lock.acquire(wait=False)
        assert {lock.path.parent for lock in (one, two, three)} == {tmp_path / "mlruns" / "locks"}


def test_a_store_by_another_path_has_the_same_lock(store: Store, place: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "mlruns")
    with lock_of(store, place) as held:
        held.acquire()
        assert lock_of(Store(f"sqlite:///{tmp_path}/link/mlflow.db"), place).holder() == held.holder()


def test_a_copied_store_is_not_locked(store: Store, place: str, tmp_path: Path) -> None:
    with lock_of(store, place) as held:
        held.acquire()
        shutil.copytree(tmp_path / "mlruns", tmp_path / "copy")
        assert lock_of(Store(f"sqlite:///{tmp_path}/copy/mlflow.db"), place).holder() is None


def test_a_killed_process_holds_nothing_and_the_next_has_it_at_once(store: Store, place: str, fork: Fork) -> None:
    holder = fork(holding(store, place))
    holder.prints("held")
    lock, told = experiment_lock(store, place), list[str]()
    assert str(lock.holder()).startswith(f"process {holder.pid} on ")
    taken = threading.Event()

    def take() -> None:
        lock.acquire(tell=told.append)
        taken.set()

    threading.Thread(target=take).start()
    assert not taken.wait(0.7)
    (line,) = told
    assert line.startswith(f"flip is being run by process {holder.pid} on ")
    assert line.endswith(": waiting")
    assert time.strftime(", since %H:") in line
    holder.kill()
    assert taken.wait(1.0)
    assert len(told) == 1
    assert holder.wait() == -signal.SIGKILL
    lock.release()


def test_a_holder_that_was_killed_long_ago_is_not_named_for_the_next(store: Store, place: str, fork: Fork) -> None:
    dead = fork(holding(store, place))
    dead.prints("held")
    dead.kill()
    dead.wait()
    with lock_of(store, place) as held:
        assert f'"pid": {dead.pid}' in held.path.read_text()
        assert held.holder() is None
        held.acquire(wait=False)
        assert str(lock_of(store, place).holder()).startswith(f"process {os.getpid()} ")


def test_four_processes_are_never_at_it_together(store: Store, place: str, tmp_path: Path, fork: Fork) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    source = f"""
import random, time
from pathlib import Path
from qlab.tracking.file_lock import FileLock
counter = Path({str(counter)!r})
lock = FileLock(Store({store.uri!r}), {place!r}, Path({str(embedded_file(store.uri))!r}), poll=0.001)
for _ in range(25):
    with lock:
        lock.acquire(tell=lambda line: None)
        found = int(counter.read_text())
        time.sleep(0.002)
        counter.write_text(str(found + 1))
"""
    children = [fork(source) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4, [child.printed for child in children]
    assert counter.read_text() == "100"


def test_readers_never_keep_the_lock_from_somebody(store: Store, place: str, fork: Fork) -> None:
    made = f"lock = experiment_lock(Store({store.uri!r}), {place!r})"
    source = f"{made}\nprint('on', flush=True)\nwhile True:\n    lock.holder()"
    readers = [fork(source) for _ in range(2)]
    for reader in readers:
        reader.prints("on")
    for _ in range(300):
        with lock_of(store, place) as held:
            held.acquire(wait=False)
    assert [reader.printed for reader in readers] == ["on\n"] * 2


@pytest.mark.parametrize("watched", [False, True])
def test_ctrl_c_ends_the_wait_at_once(store: Store, place: str, fork: Fork, watched: bool) -> None:
    with lock_of(store, place) as held:
        held.acquire()
        tell = "lambda line: print(line, flush=True)"
        wait = f"experiment_lock(Store({store.uri!r}), {place!r}).acquire(tell={tell})"
        waiter = fork(f"with interrupts.watching():\n    {wait}" if watched else wait)
        waiter.prints(": waiting\n")
        start = time.monotonic()
        waiter.kill(signal.SIGINT)
        assert waiter.wait() == 130
        assert time.monotonic() - start < 1.0
        assert waiter.printed.count("\n") == 1
        assert str(held.holder()).startswith(f"process {os.getpid()} ")


def test_an_interrupt_that_was_lost_ends_the_wait_as_well(
    store: Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock_of(store, place) as held, interrupts.watching():
        held.acquire()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            lock_of(store, place).acquire(tell=lambda line: None)


def test_a_process_that_is_forked_from_the_holder_does_not_hold_it(store: Store, place: str, fork: Fork) -> None:
    holder = fork(
        holding(
            store,
            place,
            "import subprocess, sys\n"
            "other = subprocess.Popen(['sleep', '30'], stdin=subprocess.DEVNULL)\n"
            "child = os.fork()\n"
            "if child == 0:\n    lock.release(); lock.confirm(); print(lock.held, flush=True); time.sleep(30)\n"
            "print('also', other.pid, child, flush=True)\n"
            "time.sleep(60)\n",
        )
    )
    holder.prints("also")
    holder.prints("False")
    others = next(line for line in holder.printed.splitlines() if line.startswith("also")).split()[1:]
    try:
        with lock_of(store, place) as lock:
            assert str(lock.holder()).startswith(f"process {holder.pid} ")
            holder.kill()
            holder.wait()
            assert lock.holder() is None
            lock.acquire(wait=False)
            assert all(Path(f"/proc/{pid}").exists() for pid in others) or sys.platform != "linux"
    finally:
        for pid in others:
            os.kill(int(pid), signal.SIGKILL)


def test_who_looks_leaves_everything_as_it_was(store: Store, place: str, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert experiment_lock(Store(store.uri, read_only=True), place).holder() is None
    assert tree(tmp_path) == before
    with lock_of(store, place) as held:
        held.acquire()
        before = tree(tmp_path)
        assert experiment_lock(Store(store.uri, read_only=True), place).holder() is not None
        assert tree(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="another user reads the store")
def test_a_user_that_may_only_read_the_store(write_empty_store: Callable[[Path], str], fork: Fork) -> None:
    folder = Path(tempfile.mkdtemp(prefix="qlab-lock-"))
    try:
        store = Store(write_empty_store(folder / "mlflow.db"))
        place = store.experiment_id("flip")
        folder.chmod(0o755)
        (folder / "mlflow.db").chmod(0o644)
        source = f"""
from qlab.tracking.workers import Worker
lock = experiment_lock(Store({store.uri!r}, read_only=True), {place!r})
Worker.here()  # Python itself may be where the other user cannot read it
os.setuid(65534)
print(lock.holder())
try:
    lock.acquire(wait=False)
except Exception as error:
    print(type(error).__name__, error)
"""
        refusal = f"StoreError The store {folder}/mlflow.db cannot be locked: Permission denied: {folder}/locks"
        free = fork(source)
        assert free.wait() == 0
        assert free.printed.startswith(f"None\n{refusal}")
        with lock_of(store, place) as held:
            held.acquire()
            reader = fork(source)
            assert reader.wait() == 0, reader.printed
            assert reader.printed.startswith(f"{held.holder()}\n{refusal}")
            held.path.chmod(0o600)
            blind = fork(source)
            assert blind.wait() == 0
            assert blind.printed.startswith("another process\n")
    finally:
        shutil.rmtree(folder)


def test_who_may_write_the_store_may_lock_it(store: Store, place: str, tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "mlflow.db").chmod(0o664)
    (tmp_path / "mlruns").chmod(0o2775)
    with lock_of(store, place) as held:
        held.acquire()
        assert held.path.stat().st_mode & 0o777 == 0o664
        assert held.path.parent.stat().st_mode & 0o7777 == 0o2775


def test_a_lock_that_was_deleted_while_it_was_held(store: Store, place: str) -> None:
    with lock_of(store, place) as first, lock_of(store, place) as second:
        first.acquire()
        shutil.rmtree(first.path.parent)
        first.confirm()  # nobody else is there
        second.acquire(wait=False)
        with pytest.raises(TakenOver, match=r"was deleted while .* flip has been taken over by process \d+ on "):
            first.confirm()
        second.confirm()
        first.release()
        assert second.holder() is not None


def test_a_holder_on_another_machine_is_said_with_its_host(store: Store, place: str) -> None:
    with lock_of(store, place) as held:
        held.acquire()
        far = dataclasses.replace(Worker.here(), host="gpu7", space="another boot", pid=123)
        held.path.write_text(far.show())
        with pytest.raises(HeldError, match=r"^flip is being run by process 123 on gpu7, since \d\d:\d\d\. "):
            lock_of(store, place).acquire(wait=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[" * 4000,
        "[]",
        '{"id": [], "host": 1, "space": 2, "pid": 3, "start": 4}',
        Worker("x", "h", "", 1, "", since=1e300).show().replace("1e+300", "Infinity").replace('"x"', "[1]"),
    ],
)
def test_a_lock_that_says_nothing_readable_is_held_all_the_same(store: Store, place: str, text: str) -> None:
    with lock_of(store, place) as held:
        held.acquire()
        held.path.write_text(text)
        assert str(lock_of(store, place).holder()) == "another process"


def test_what_a_holder_says_of_itself_does_not_move_the_cursor() -> None:
    worker = Worker("x", "\x1b[2Jhost\n", "", 12, "", since=float("nan"))
    assert str(Holder(worker)) == "process 12 on ?[2Jhost?"
    assert str(Holder(dataclasses.replace(worker, since=1e300))) == "process 12 on ?[2Jhost?"
    assert Worker.parse(json.dumps({"id": "x", "host": "h", "space": "", "pid": 1, "start": ""})) is not None


def test_since_when_says_the_day_if_it_is_not_today() -> None:
    worker = dataclasses.replace(Worker.here(), since=time.mktime((2025, 3, 2, 10, 31, 0, 0, 0, -1)))
    assert str(Holder(worker)).endswith(", since 2025-03-02 10:31")


def test_a_folder_that_cannot_be_made_is_said(store: Store, place: str, tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "locks").write_text("")
    lock = lock_of(store, place)
    assert lock.holder() is None
    with pytest.raises(StoreError, match=r"cannot be locked: Not a directory: .*locks/mlflow\.db-"):
        lock.acquire()


def test_another_kind_of_store_has_a_lease(store: Store, place: str) -> None:
    store.uri = "http://127.0.0.1:9"
    assert isinstance(experiment_lock(store, place), Lease)
