"""Small data, a small experiment and empty stores that several test modules share."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded: as many threads as there are processes
    for setting in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(setting, "1")

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.experiments import TINY

from qlab.tasks import XXZ, Dataset


def pytest_configure() -> None:
    """Lets Ctrl-C reach the processes that tests start: a shell's background jobs ignore it, and so would they."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


PROCESSES = {"subprocess", "started", "serving", "Forks"}
"""What a module imports that starts processes."""

SERVERS = {"serve", "server", "served", "postgres", "address"}
"""Fixtures that start them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests with a browser, and those of modules that start processes.

    Files with those come first: the last that parallel runs wait for are short.
    """
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        fixtures = set(item.fixturenames)
        if "browser" in fixtures:
            item.add_marker(pytest.mark.browser)
        if "browser" in fixtures or PROCESSES & vars(item.module).keys() or SERVERS & fixtures:
            item.add_marker(pytest.mark.processes)
    long = {item.path for item in items if item.get_closest_marker("processes")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def small_task() -> XXZ:
    """XXZ on four spins: 8 + 8 training states and 12 for validation."""
    return XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))


@pytest.fixture(scope="session")
def small_data(small_task: XXZ) -> Dataset:
    """The data of ``small_task``."""
    return small_task.load()


@pytest.fixture(scope="session")
def tiny() -> str:
    """The text of an experiment of eight trials that train in no time."""
    return TINY


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """No store from outside; and commands draw no figures, which take longer than what most tests are about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("QLAB_NO_FIGURES", "1")
        yield


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands draw figures, as they do for everybody."""
    monkeypatch.delenv("QLAB_NO_FIGURES")


@pytest.fixture(autouse=True)
def _no_store_left_behind() -> Iterator[None]:
    """A test that leaves the address of its store fails: the fixtures of later modules would write there."""
    yield
    assert os.environ.pop("MLFLOW_TRACKING_URI", None) is None


@pytest.fixture(scope="session")
def write_empty_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Makes a real, empty SQLite store at a path and returns its URI.

    The schema's migrations run once in a session; the file is copied from there.
    """
    from qlab.tracking.store import Store  # MLflow, which most tests do without

    template = tmp_path_factory.getbasetemp() / "empty-store" / "mlflow.db"
    if not template.exists():
        Store(f"sqlite:///{template}")

    def write(file: Path) -> str:
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, file)
        return f"sqlite:///{file}"

    return write
