"""The lease on an experiment: in a real database and on a real tracking server, with real processes."""

from __future__ import annotations

import dataclasses
import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.children import Child

from qlab.errors import StoreError
from qlab.tracking import frames, lease_log, names
from qlab.tracking.holding import HeldError, TakenOver
from qlab.tracking.lease import Lease
from qlab.tracking.lock import experiment_lock
from qlab.tracking.spooling import open_store
from qlab.tracking.store import Store
from qlab.tracking.tenure import Tenure
from qlab.tracking.watch import ACTIVE, Moment, Watch
from qlab.tracking.workers import Worker

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")

Fork = Callable[[str], Child]


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


@pytest.fixture
def place(store: Store) -> str:
    return store.experiment_id("flip")


def far(**fields: Any) -> Worker:
    """A worker whose process cannot be seen from here."""
    return dataclasses.replace(Worker.here(), host="elsewhere", space="another boot", **fields)


def distant(store: Store, place: str, lease: float = 60.0, beat: float = 60.0) -> Lease:
    """A lease of which all others think that it is held on another machine."""
    return Lease(store, place, lease=lease, beat=beat, poll=0.02, describe=far)


def locks(store: Store, place: str) -> list[str]:
    found = store.search([place], f"tags.`{names.LOCK}` = 'lease'", claims=True)
    return sorted(run.info.run_id for run in found)


def entries(store: Store, run_id: str) -> list[str]:
    params = store.get_run(run_id).data.params
    return [params[f"lock.{number}"] for number in range(len(params))]


def holders(store: Store, run_id: str) -> list[str]:
    return [name for name in store.get_run(run_id).data.tags if name.startswith(names.HOLDER)]


def write(store: Store, run_id: str, worker: Worker, number: int | None = None) -> None:
    store.set_tags(run_id, lease_log.described(worker))
    if number is not None:
        assert store.log_params(run_id, lease_log.entry(number, worker))


def asleep(lease: Lease, seconds: float = 100.0) -> None:
    """The machine of a holder has slept: the clock on the wall has gone on, and nothing else."""
    tenure = lease._tenure
    assert tenure is not None
    tenure._sign = tenure._tried = Moment(time.time() - seconds, time.monotonic())


def silent(line: str) -> None:
    """Tells nobody."""


def test_who_has_the_lease_is_the_only_one_that_has_it(store: Store, place: str) -> None:
    first, second = Lease(store, place), Lease(Store(store.uri), place)
    assert first.holder() is None
    assert locks(store, place) == []
    with first:
        first.acquire()
        first.acquire()
        first.confirm()
        assert str(second.holder()).startswith(f"process {Worker.here().pid} on {Worker.here().host}, since ")
        assert second.holder() == first.holder()
        with pytest.raises(HeldError, match=r"^flip is being run by process \d+ on .*\. Give the command again when"):
            second.acquire(wait=False)
        assert (first.held, second.held) == (True, False)
    assert (first.held, second.holder()) == (False, None)
    for lease in (second, first, first):
        with lease:
            lease.acquire(wait=False)
            assert lease.held
    (run_id,) = locks(store, place)
    assert len(set(entries(store, run_id))) == 4  # an id is used once
    assert holders(store, run_id) == []


def test_the_lock_looks_finished_and_is_in_no_frame(store: Store, place: str) -> None:
    with Lease(store, place) as held:
        held.acquire()
    (run_id,) = locks(store, place)
    run = store.get_run(run_id)
    assert (run.info.status, run.info.run_name, run.data.tags[names.KIND]) == ("FINISHED", "lock", names.CLAIMS)
    assert frames.runs(store, [place]).empty
    assert list(store.search([place])) == []


def test_who_waits_writes_nothing_and_says_for_whom_once(store: Store, place: str) -> None:
    with Lease(store, place, beat=60.0) as held, Lease(store, place, poll=0.01) as waiter:
        held.acquire()
        before, told = lease_log.read(store.client, place), list[str]()
        thread = threading.Thread(target=waiter.acquire, kwargs={"tell": told.append})
        thread.start()
        time.sleep(0.3)
        assert lease_log.read(store.client, place) == before
        assert told == [f"flip is being run by {held.holder()}: waiting"]
        held.release()
        thread.join(timeout=5)
        assert waiter.held
        assert len(told) == 1


@linux
def test_a_killed_process_loses_the_lease_at_once(store: Store, place: str, fork: Fork) -> None:
    holder = fork(
        f"import time\nLease(Store({store.uri!r}), {place!r}).acquire()\nprint('held', flush=True)\ntime.sleep(60)"
    )
    holder.prints("held")
    with Lease(store, place, poll=0.02) as lease:
        assert str(lease.holder()).startswith(f"process {holder.pid} on ")
        with pytest.raises(HeldError):
            lease.acquire(wait=False)
        holder.kill()
        start = time.monotonic()
        lease.acquire(tell=silent)
        assert time.monotonic() - start < 1.0
        assert holder.wait() == -signal.SIGKILL


def test_elsewhere_a_holder_lives_while_its_beat_changes(store: Store, place: str) -> None:
    with distant(store, place, beat=0.05) as held, distant(store, place, lease=1.0) as other:
        held.acquire()
        until = time.monotonic() + 1.3
        while time.monotonic() < until:
            with pytest.raises(HeldError, match="on elsewhere"):
                other.acquire(wait=False)
            time.sleep(0.02)
        tenure = held._tenure
        assert tenure is not None
        tenure._ended.set()  # its machine fails
        start = time.monotonic()
        other.acquire(tell=silent)
        assert time.monotonic() - start > 0.5
        held._forget()


def test_a_reader_goes_by_when_a_holder_was_last_heard_of_and_then_by_its_beat(store: Store, place: str) -> None:
    run_id = store.create_run(place, "lock", tags=lease_log.TAGS)
    now = time.time()
    write(store, run_id, far(id="far", seen=now - 500), 0)
    assert "on elsewhere" in str(Lease(store, place).holder())
    write(store, run_id, far(id="far", seen=now - 700))
    assert Lease(store, place).holder() is None
    with pytest.raises(HeldError):  # who would take it does not trust the clocks of two machines
        Lease(store, place).acquire(wait=False)
    write(store, run_id, far(id="far", seen=now))
    reader = Lease(store, place, lease=0.5)
    assert reader.holder() is not None
    until = time.monotonic() + 10
    while reader.holder() is not None:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_watch_with_a_gap_in_it_begins_anew() -> None:
    watch, worker = Watch(0.3), far(id="far")
    assert watch.alive(worker)
    time.sleep(0.35)  # the store was away: nobody could beat
    assert watch.alive(worker)
    alive = []
    for _ in range(40):
        time.sleep(0.01)
        alive.append(watch.alive(worker))
    assert alive[0]
    assert not alive[-1]


def test_who_was_silent_learns_that_another_has_taken_over(store: Store, place: str) -> None:
    with distant(store, place) as held, distant(store, place, lease=0.5) as other:
        held.acquire()
        other.acquire(tell=silent)
        held.confirm()  # it cannot be: nobody may take it for dead yet
        asleep(held)
        said = (
            r"^This command gave no sign of life for 100 s, and flip has been taken over by process \d+ on elsewhere, "
        )
        for _ in range(2):
            with pytest.raises(TakenOver, match=said):
                held.confirm()
        assert not held.held
        held.release()
        asleep(other)
        other.confirm()
        assert other.holder() is not None
        other.release()
        held.acquire()
        other.acquire(tell=silent)
        other.release()
        asleep(held)
        with pytest.raises(TakenOver, match="by another process"):  # also if that has come to its end
            held.confirm()
        held.acquire()
        held.confirm()


def test_who_was_silent_and_was_not_missed_stays(store: Store, place: str) -> None:
    with distant(store, place) as held, distant(store, place, lease=0.5) as other:
        held.acquire()
        asleep(held, 25.0)
        held.confirm()
        (run_id,) = locks(store, place)
        assert len(entries(store, run_id)) == 1  # nothing is asked before it was silent for long
        looked = other._look(1.0)
        asleep(held)
        held.confirm()
        held.confirm()
        assert len(entries(store, run_id)) == 2
        assert len(set(entries(store, run_id))) == 1
        # Another that was about to take it comes too late, and sees that the holder lives.
        late = Tenure(store, far(), 0.2)
        late.describe(looked)
        assert not late.append(looked)
        late.end()
        with pytest.raises(HeldError):
            other.acquire(wait=False)


def test_a_beat_that_comes_too_late_makes_sure_by_itself(store: Store, place: str) -> None:
    with distant(store, place, beat=1.0) as held, distant(store, place, lease=0.5) as other:
        held.acquire()
        other.acquire(tell=silent)
        asleep(held)
        until = time.monotonic() + 10
        while held.held and time.monotonic() < until:
            time.sleep(0.01)
        assert not held.held
        with pytest.raises(TakenOver):
            held.confirm()


def test_a_lock_whose_run_was_deleted_while_it_was_held(store: Store, place: str) -> None:
    with distant(store, place, beat=0.05) as held, distant(store, place) as other:
        held.acquire()
        (run_id,) = locks(store, place)
        store.delete_run(run_id)
        held.confirm()
        other.acquire(wait=False)
        asleep(held)
        for _ in range(2):
            with pytest.raises(StoreError, match=r"^The lock of this experiment is lost: .*active"):
                held.confirm()
        other.confirm()


def test_a_process_that_is_forked_from_the_holder_does_not_hold_it(store: Store, place: str, fork: Fork) -> None:
    holder = fork(f"""
import time
lease = Lease(Store({store.uri!r}), {place!r}, beat=0.05)
with lease:
    lease.acquire()
    child = os.fork()
    if child == 0:
        lease.confirm()
        lease.release()
        print("child", lease.held, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    lease.confirm()
    print("parent", lease.held, lease.holder() is not None, flush=True)
""")
    assert holder.wait() == 0
    assert holder.printed == "child False\nparent True True\n"


class Meeting(Lease):
    """A lease whose run is made when others have seen none either."""

    barrier: threading.Barrier

    def _make(self) -> None:
        self.barrier.wait(timeout=20)
        super()._make()


@pytest.mark.parametrize(("commands", "describe"), [(2, Worker.here), (3, far)])
def test_locks_made_at_the_same_moment(store: Store, commands: int, describe: Callable[[], Worker]) -> None:
    for number in range(3):
        place = store.experiment_id(f"together {number}")
        Meeting.barrier = threading.Barrier(commands)
        inside: list[int] = []
        most: list[int] = []

        def run(me: int, place: str = place, inside: list[int] = inside, most: list[int] = most) -> None:
            own = Meeting(Store(store.uri), place, poll=0.01, describe=describe)
            with own:
                own.acquire(tell=silent)
                inside.append(me)
                most.append(len(inside))
                time.sleep(0.02)
                own.confirm()
                inside.remove(me)

        with ThreadPoolExecutor(commands) as pool:
            list(pool.map(run, range(commands)))
        assert most == [1] * commands
        assert len(locks(store, place)) == commands
        assert all(holders(store, run_id) == [] for run_id in locks(store, place))
        with Lease(store, place) as last:
            last.acquire(wait=False)


def test_processes_that_start_together_twenty_times(store: Store, tmp_path: Path, fork: Fork) -> None:
    places = [store.experiment_id(f"start {number}") for number in range(20)]
    source = f"""
import time
from pathlib import Path
start = {time.time() + 1.0!r}
store = Store({store.uri!r})
for number, place in enumerate({places!r}):
    time.sleep(max(0.0, start + 0.08 * number - time.time()))
    with Lease(store, place, poll=0.005) as lease:
        lease.acquire(tell=lambda line: None)
        counter = Path({str(tmp_path)!r}, place)
        found = counter.read_text() if counter.exists() else ""
        time.sleep(0.01)
        counter.write_text(found + "x")
"""
    children = [fork(source) for _ in range(2)]
    assert [child.wait() for child in children] == [0] * 2, [child.printed for child in children]
    assert [(tmp_path / place).read_text() for place in places] == ["xx"] * 20


def test_who_cannot_have_all_gives_back_what_it_has(store: Store, place: str) -> None:
    first, second = sorted(store.create_run(place, "lock", tags=lease_log.TAGS) for _ in range(2))
    write(store, first, far(id="over"), 0)
    store.delete_tag(first, f"{names.HOLDER}.over")
    with distant(store, place) as lease:
        logs = lease._look(1.0)
        tenure = Tenure(store, far(), 60.0)
        tenure.describe(logs)
        assert tenure.append(logs[:1])
        lease._tenure = tenure
        write(store, second, far(id="other"), 0)
        with pytest.raises(HeldError):
            lease.acquire(wait=False)
    assert holders(store, first) == []
    assert holders(store, second) == [f"{names.HOLDER}.other"]
    assert tenure.worker.id not in ACTIVE


def test_what_a_store_holds_beside_the_log_is_nobodys(store: Store, place: str) -> None:
    other = store.create_run(place, "claims", tags={names.KIND: names.CLAIMS})  # of an earlier qlab
    run_id = store.create_run(place, "lock", tags=lease_log.TAGS)
    tags = ['{"id": "x"}', "no JSON", "[]", "[" * 3000, '{"id": [1], "host": "h", "space": "", "pid": 1, "start": ""}']
    store.set_tags(run_id, {f"{names.HOLDER}.x{number}": text for number, text in enumerate(tags)})
    assert store.log_params(run_id, {"lock.b": "x", "lock.": "x", "locker": "x", "lock.²": "x", "lock.3": "x1"})
    with Lease(store, place) as lease:
        assert lease.holder() is None
        lease.acquire(wait=False)
    assert "lock.4" in store.get_run(run_id).data.params
    assert store.get_run(other).data.params == {}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["acquire", "release", "confirm"])), max_size=8))
def test_any_order_of_taking_and_giving_back(
    tmp_path: Path, write_empty_store: Callable[[Path], str], steps: list[tuple[int, str]]
) -> None:
    store = Store(write_empty_store(tmp_path / "any.db"))
    place = store.experiment_id("flip")
    leases = [Lease(store, place) for _ in range(3)]
    owner: int | None = None
    try:
        for number, action in steps:
            lease = leases[number]
            if action == "release":
                lease.release()
                owner = None if owner == number else owner
            elif action == "confirm" or owner in (None, number):
                lease.acquire(wait=False) if action == "acquire" else lease.confirm()
                owner = number if action == "acquire" else owner
            else:
                with pytest.raises(HeldError):
                    lease.acquire(wait=False)
            assert [lease.held for lease in leases] == [owner == number for number in range(3)]
            assert all((lease.holder() is None) == (owner is None) for lease in leases)
    finally:
        for lease in leases:
            lease.release()


@pytest.fixture
def served(server: Any) -> tuple[Store, str]:
    """A store on a tracking server, and an experiment in it."""
    store = Store(server.uri)
    return store, store.experiment_id(f"served {next(_NUMBERS)}")


_NUMBERS = itertools.count()


def test_three_processes_on_a_server_are_never_at_it_together(
    served: tuple[Store, str], tmp_path: Path, fork: Fork
) -> None:
    store, place = served
    assert isinstance(experiment_lock(store, place), Lease)
    counter = tmp_path / "counter"
    counter.write_text("0")
    source = f"""
import time
from pathlib import Path
counter, store = Path({str(counter)!r}), Store({store.uri!r})
for _ in range(3):
    with Lease(store, {place!r}, poll=0.02) as lease:
        lease.acquire(tell=lambda line: None)
        found = int(counter.read_text())
        time.sleep(0.01)
        counter.write_text(str(found + 1))
"""
    children = [fork(source) for _ in range(3)]
    assert [child.wait() for child in children] == [0] * 3, [child.printed for child in children]
    assert counter.read_text() == "9"


def test_ctrl_c_ends_the_wait_for_a_server_at_once(served: tuple[Store, str], fork: Fork) -> None:
    store, place = served
    with experiment_lock(store, place) as held:
        held.acquire()
        tell = "lambda line: print(line, flush=True)"
        waiter = fork(
            f"with interrupts.watching():\n    experiment_lock(Store({store.uri!r}), {place!r}).acquire(tell={tell})"
        )
        waiter.prints(": waiting\n")
        start = time.monotonic()
        waiter.kill(signal.SIGINT)
        assert waiter.wait() == 130
        assert time.monotonic() - start < 1.0
        assert held.holder() is not None


def test_while_the_server_is_away_its_holder_goes_on(
    server: Any, served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, place = served
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    store = open_store(server.uri, tell=silent)
    with distant(store, place, lease=2.0, beat=0.1) as held, distant(Store(server.uri), place, lease=2.0) as waiter:
        held.acquire()
        thread = threading.Thread(target=waiter.acquire, kwargs={"tell": silent})
        thread.start()
        server.freeze()
        until = time.monotonic() + 3.0
        longest = 0.0
        while time.monotonic() < until:
            start = time.monotonic()
            held.confirm()
            longest = max(longest, time.monotonic() - start)
            time.sleep(0.02)
        server.thaw()
        assert longest < 0.9  # the thread that beats waits for the server, and not who trains
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            held.confirm()
            time.sleep(0.1)
        assert (held.held, waiter.held) == (True, False)
        held.release()
        thread.join(timeout=10)
        assert waiter.held
