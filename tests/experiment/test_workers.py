"""What worker processes are started with, and how a training in one hands over its states."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from qlab.experiment.engine import worker
from qlab.experiment.engine.workers import FOR_TRAINING

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        dask.config.set(FOR_TRAINING),
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=None, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_workers_keep_memory_that_was_freed_for_the_next_step(client: Client) -> None:
    [found] = client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values()
    assert found == os.environ.get("MALLOC_TRIM_THRESHOLD_")


def test_a_training_waits_until_the_command_has_its_state(client: Client) -> None:
    def train() -> float:
        from distributed import get_worker

        from qlab.experiment.engine.worker import _Report

        report = _Report(get_worker(), 0, "states")
        begun = time.monotonic()
        report.state("a state")
        return time.monotonic() - begun

    heard: list[Any] = []
    client.subscribe_topic("states", lambda event: heard.append(event[1]))
    future = client.submit(train, pure=False)
    while not any(what == "state" for _, what, _ in list(heard)):
        time.sleep(0.01)
    assert list(client.run(worker.state_of, "states 0").values()) == ["a state"]
    time.sleep(1.2)
    assert future.status == "pending"
    client.run(worker.state_got, "states 0")
    assert 1.0 < future.result(timeout=60) < worker.STATE_SECONDS
    assert list(client.run(worker.state_of, "states 0").values()) == [None]
