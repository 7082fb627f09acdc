"""Claims on a real SQLite store: no two live workers have the same thing."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlab.tracking import claims, frames, names
from qlab.tracking.claims import Claims
from qlab.tracking.store import Store
from qlab.tracking.workers import Worker

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    return Store(write_empty_store(tmp_path / "mlflow.db"))


@pytest.fixture
def place(store: Store) -> str:
    return store.experiment_id("claimed")


def claims_runs(store: Store, place: str) -> list[str]:
    own = f"tags.`{names.KIND}` = '{names.CLAIMS}'"
    return [run.info.run_id for run in store.search([place], own, claims=True)]


def foreign(name: str, **fields: object) -> Worker:
    """A worker whose process cannot be seen from here."""
    return dataclasses.replace(Worker.here(), id=name, host="elsewhere", space="another boot", **fields)


def entries(store: Store, run_id: str) -> list[str]:
    params = store.get_run(run_id).data.params
    return [params[f"claim.{number}"] for number in range(len(params))]


def write(store: Store, run_id: str, worker: Worker, *keys: str) -> None:
    store.set_tags(run_id, {f"{names.WORKER}.{worker.id}": worker.show()})
    if keys:
        number = len(entries(store, run_id))
        assert store.log_params(run_id, {f"claim.{number}": " ".join([worker.id, *keys])})


def test_what_one_has_another_does_not_get(store: Store, place: str) -> None:
    with Claims(store, place) as first, Claims(store, place) as second:
        assert first.claim(["a", "b"]) == {"a", "b"}
        assert second.claim(["b", "c"]) == {"c"}
        assert first.claim(["a", "c"]) == {"a"}
        assert {key: worker.id for key, worker in second.holders(["a", "b", "c", "d"]).items()} == {
            "a": first.worker.id,
            "b": first.worker.id,
        }


def test_what_is_released_is_free(store: Store, place: str) -> None:
    with Claims(store, place) as first:
        first.claim(["a"])
    with Claims(store, place) as second:
        assert second.gone([first.worker.id, second.worker.id]) == {first.worker.id, second.worker.id}
        assert second.claim(["a"]) == {"a"}
        assert second.gone([first.worker.id, second.worker.id]) == {first.worker.id}
    with Claims(store, place) as third:
        assert third.claim(["a"]) == {"a"}
    assert len(claims_runs(store, place)) == 1


def test_nothing_is_written_before_something_is_claimed(store: Store, place: str) -> None:
    with Claims(store, place) as idle:
        assert idle.claim([]) == set()
        assert idle.holders(["a"]) == {}
        assert idle.gone(["x"]) == {"x"}
    assert claims_runs(store, place) == []


def test_the_claims_look_finished_and_are_in_no_frame(store: Store, place: str) -> None:
    with Claims(store, place) as held:
        held.claim(["a"])
    (run_id,) = claims_runs(store, place)
    run = store.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "claims")
    assert not any(name.startswith("qlab.worker.") for name in run.data.tags)
    assert frames.runs(store, [place]).empty
    assert list(store.search([place])) == []


@linux
def test_a_killed_process_loses_its_claims_at_once(store: Store, place: str) -> None:
    program = (
        "import sys, time\nfrom qlab.tracking.claims import Claims\nfrom qlab.tracking.store import Store\n"
        "print(Claims(Store(sys.argv[1]), sys.argv[2]).claim(['a']), flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, store.uri, place], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "{'a'}\n"
        with Claims(store, place) as other:
            assert other.claim(["a"]) == set()
            process.send_signal(signal.SIGKILL)
            while other.holders(["a"]):  # until the signal has arrived; nobody has waited for the process yet
                time.sleep(0.01)
            assert other.claim(["a"]) == {"a"}
    finally:
        process.kill()
        process.communicate()


@linux
def test_a_process_of_the_same_number_but_another_start_is_another(store: Store, place: str) -> None:
    with Claims(store, place) as held:
        held.claim(["a"])
        (run_id,) = claims_runs(store, place)
        write(store, run_id, dataclasses.replace(Worker.here(), id="before", pid=1, start="1"), "b")
        assert held.claim(["b"]) == {"b"}


def test_elsewhere_a_worker_lives_while_its_beat_changes(store: Store, place: str) -> None:
    with Claims(store, place, lease=0.3) as held:
        held.claim(["a"])
        (run_id,) = claims_runs(store, place)
        for beat in range(5):
            write(store, run_id, foreign("far", beat=beat), *(["b"] if beat == 0 else []))
            assert held.claim(["b"]) == set()
            time.sleep(0.15)
        time.sleep(0.3)
        assert held.claim(["b"]) == {"b"}
        assert held.gone(["far"]) == {"far"}


def test_who_was_silent_for_too_long_learns_what_others_have_claimed(store: Store, place: str) -> None:
    with Claims(store, place, lease=0.5, beat=60.0) as held:
        assert held.claim(["a", "b", "c"]) == {"a", "b", "c"}
        (run_id,) = claims_runs(store, place)
        write(store, run_id, foreign("far"), "a", "b")
        held.confirm(["a"])  # it cannot be: nobody may take it for dead yet
        time.sleep(0.6)
        with pytest.raises(claims.TakenOver, match=r"no sign of life for 1 s, so others have taken over 2 of the runs"):
            held.confirm(["b", "c"])
        held.confirm(["c"])
        with pytest.raises(claims.TakenOver):
            held.confirm(["a"])
        assert held.claim(["a"]) == set()
        store.delete_tag(run_id, f"{names.WORKER}.far")
        assert held.claim(["a"]) == {"a"}
        held.confirm(["a", "c"])


def test_a_worker_beats(store: Store, place: str) -> None:
    with Claims(store, place, beat=0.02) as held:
        held.claim(["a"])
        (run_id,) = claims_runs(store, place)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            worker = Worker.parse(store.get_run(run_id).data.tags[f"qlab.worker.{held.worker.id}"])
            if worker is not None and worker.beat >= 2:
                break
        assert worker is not None
        assert worker.beat >= 2


def test_an_unreadable_worker_has_nothing(store: Store, place: str) -> None:
    with Claims(store, place) as held:
        held.claim(["a"])
        (run_id,) = claims_runs(store, place)
        for number, text in enumerate(['{"id": "x"}', "no JSON", "[]", "{}"]):
            store.set_tags(run_id, {f"qlab.worker.x{number}": text})
            store.log_params(run_id, {f"claim.{number + 1}": f"x{number} b{number}"})
        assert held.claim([f"b{number}" for number in range(4)]) == {f"b{number}" for number in range(4)}


def test_with_several_claims_runs_all_must_be_won(store: Store, place: str) -> None:
    runs = sorted(store.create_run(place, "claims", tags={names.KIND: names.CLAIMS}) for _ in range(3))
    others = [foreign(f"far{number}") for number in range(3)]
    for number, run_id in enumerate(runs):
        write(store, run_id, others[number], f"k{number}")
    with Claims(store, place) as held:
        assert held.claim(["k0", "k1", "k2", "free"]) == {"free"}
        for run_id in runs:
            worker, *keys = entries(store, run_id)[1].split()
            assert (worker, "free" in keys) == (held.worker.id, True)


@pytest.mark.parametrize("workers", [2, 8])
def test_workers_that_start_at_once_share_without_overlap(store: Store, place: str, workers: int) -> None:
    keys = [f"k{number:03}" for number in range(150)]
    barrier = threading.Barrier(workers)

    def work(number: int) -> tuple[Claims, set[str]]:
        own = Claims(Store(store.uri), place)
        barrier.wait()
        return own, own.claim(keys[number:] + keys[:number])

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(work, range(workers)))
    try:
        counted = Counter(key for _, won in found for key in won)
        assert max(counted.values()) == 1
        # What two won in different claims-runs is nobody's until they are released.
        if len(claims_runs(store, place)) == 1:
            assert set(counted) == set(keys)
    finally:
        for own, _ in found:
            own.release()
    with Claims(store, place) as last:
        assert last.claim(keys) == set(keys)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["claim", "release"]), st.sets(st.sampled_from("abcd"))),
        max_size=12,
    )
)
def test_any_order_of_claims_and_releases(
    tmp_path: Path, write_empty_store: Callable[[Path], str], steps: list[tuple[int, str, set[str]]]
) -> None:
    store = Store(write_empty_store(tmp_path / "any.db"))
    place = store.experiment_id("claimed")
    workers = [Claims(store, place) for _ in range(3)]
    owned: dict[int, set[str]] = {0: set(), 1: set(), 2: set()}
    try:
        for index, action, keys in steps:
            if action == "release":
                workers[index].release()
                workers[index], owned[index] = Claims(store, place), set()
                continue
            taken = set().union(*(held for other, held in owned.items() if other != index))
            assert workers[index].claim(keys) == keys - taken
            owned[index] |= keys - taken
    finally:
        for worker in workers:
            worker.release()


def test_twenty_thousand_are_claimed_in_well_under_a_second(store: Store, place: str) -> None:
    start = time.perf_counter()
    for first in range(0, 20_000, 4_000):
        with Claims(store, place) as held:
            assert len(held.claim(f"{first + number:016x}" for number in range(4_000))) == 4_000
    assert time.perf_counter() - start < 5.0  # 0.4 s on an idle machine


def test_an_entry_holds_many_keys_and_its_number_is_taken_once(store: Store, place: str) -> None:
    keys = [f"{number:016x}" for number in range(401)]
    with Claims(store, place) as first, Claims(store, place) as second:
        assert first.claim(keys[:400]) == set(keys[:400])
        (run_id,) = claims_runs(store, place)
        assert [len(entry.split()) for entry in entries(store, run_id)] == [201, 201]
        assert max(map(len, entries(store, run_id))) < 6000  # what MLflow takes
        assert not store.log_params(run_id, {"claim.1": f"{second.worker.id} {keys[400]}"})
        assert second.claim(keys) == {keys[400]}
        assert entries(store, run_id)[2:] == [f"{second.worker.id} {keys[400]}"]


def test_more_than_is_written_at_once(store: Store, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_KEYS", 2)
    monkeypatch.setattr(claims, "_ENTRIES", 3)
    keys = {f"k{number}" for number in range(20)}
    with Claims(store, place) as held:
        assert held.claim(keys) == keys
        (run_id,) = claims_runs(store, place)
        assert len(entries(store, run_id)) == 10


def test_what_a_store_holds_beside_the_log_is_no_claim(store: Store, place: str) -> None:
    with Claims(store, place) as held:
        held.claim(["a"])
        (run_id,) = claims_runs(store, place)
        others = {"claim.b.0": held.worker.id, "claim.": "x b", "claimant": "b", "claim.1": " "}
        assert store.log_params(run_id, others)
        with Claims(store, place) as other:
            assert other.claim(["a", "b"]) == {"b"}
        assert store.get_run(run_id).data.params["claim.2"].endswith(" b")


def test_a_worker_of_this_process_that_was_not_released_properly_is_gone(store: Store, place: str) -> None:
    with Claims(store, place) as held:
        held.claim(["a"])
        claims._ACTIVE.discard(held.worker.id)
        with Claims(store, place) as other:
            assert other.claim(["a"]) == ({"a"} if held.worker.space else set())
