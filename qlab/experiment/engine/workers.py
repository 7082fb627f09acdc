"""The workers of a command: processes that it starts (`--jobs`), or those of a cluster that there is (`--cluster`)."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import dask
import torch
from distributed import Client, LocalCluster

from qlab import interrupts
from qlab.errors import ConfigError
from qlab.experiment.asking.devices import parse_device, training_device
from qlab.experiment.asking.memory import budget
from qlab.experiment.engine.distributing import Distributed
from qlab.experiment.engine.versions import check_versions, own_versions, versions_of
from qlab.experiment.jobs.materials import Materials
from qlab.words import counted

CONNECT_SECONDS: Final = 10.0

FOR_TRAINING: Final = {
    # Dask takes jobs that it has not seen for short, half a second: a worker with nothing to do would not take them
    # from one that has several.
    "distributed.scheduler.unknown-task-duration": "10m",
    # Without Dask's MALLOC_TRIM_THRESHOLD_, with which each tensor of a step is fresh memory from the kernel.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1},
}
"""What Dask is told when it starts workers that train."""


class Processes:
    """Worker processes on this machine, a Dask LocalCluster, started when there is something to do.

    They divide the threads that PyTorch would use, and the memory. Only this user can reach them (TLS with a key of
    their own). Use as a context manager.

    Args:
        number: how many.
        tell: is given lines for people.
    """

    def __init__(self, number: int, tell: Callable[[str], None]) -> None:
        self.number = number
        self._tell = tell
        self._threads = max(1, torch.get_num_threads() // number)
        self._cluster: Any = None
        self._client: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        interrupts.heed()
        for part in (self._client, self._cluster):
            if part is not None:
                with contextlib.suppress(Exception):  # it may be broken, and nobody needs it any more
                    part.close(timeout=min(2.0, interrupts.seconds_left()))

    def device(self, name: str) -> torch.device:
        """See :class:`qlab.experiment.engine.graph.Workers`."""
        return training_device(name)

    def memory(self, text: str | None, device: torch.device) -> int:
        """See :class:`qlab.experiment.engine.graph.Workers`."""
        return budget(text, device) // self.number

    @contextlib.contextmanager
    def engine(self, materials: Materials) -> Iterator[Distributed]:
        """See :class:`qlab.experiment.engine.graph.Workers`."""
        if self._cluster is None:
            self._start(materials.device)
        yield Distributed(self._client, materials, self._threads)

    def _start(self, device: torch.device) -> None:
        _hush()
        with warnings.catch_warnings(), dask.config.set(FOR_TRAINING):
            warnings.simplefilter("ignore")  # of a port of the dashboard that is taken
            self._cluster = LocalCluster(
                n_workers=self.number,
                threads_per_worker=1,
                memory_limit=None,  # jobs are made to fit
                dashboard_address="127.0.0.1:0",
                security=True,
                silence_logs=logging.CRITICAL,
                resources={"GPU": 1} if device.type == "cuda" else None,
            )
            self._client = Client(self._cluster, set_as_default=False)
        self._tell(f"{self.number} worker processes; dashboard: {self._client.dashboard_link}")


class Cluster:
    """The workers of a Dask cluster. Use as a context manager.

    Args:
        address: the scheduler's.
        tell: is given lines for people.

    Raises:
        ConfigError: the cluster does not answer, has no workers, or has other versions.
    """

    def __init__(self, address: str, tell: Callable[[str], None]) -> None:
        self._address = address
        self._tell = tell
        self._client = _connect(address)
        try:
            check_versions(own_versions(), versions_of(self._client))
            if not self._workers():
                raise ConfigError(f"--cluster: the scheduler at {address} has no workers; start some, and run again.")
        except BaseException:
            self._client.close()
            raise
        self.number = len(self._workers())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.close(timeout=min(2.0, interrupts.seconds_left()))

    def device(self, name: str) -> torch.device:
        """See :class:`qlab.experiment.engine.graph.Workers`; this machine need not have one."""
        device = parse_device(name)
        if device.type == "cuda" and not any(found["resources"].get("GPU") for found in self._workers().values()):
            raise ConfigError(
                f'--cluster: no worker offers a GPU for device = "{name}"; start some with '
                "`dask worker --resources GPU=1`."
            )
        return device

    def memory(self, text: str | None, device: torch.device) -> int:
        """See :class:`qlab.experiment.engine.graph.Workers`; the worker that has the least decides."""
        hosts = Counter(str(worker["host"]) for worker in self._workers().values())
        found: dict[str, int] = self._client.run(budget, text, device)
        return min(found[address] // hosts[str(worker["host"])] for address, worker in self._workers().items())

    @contextlib.contextmanager
    def engine(self, materials: Materials) -> Iterator[Distributed]:
        """See :class:`qlab.experiment.engine.graph.Workers`."""
        workers = self._workers()
        hosts = len({str(worker["host"]) for worker in workers.values()})
        self._tell(
            f"{counted(len(workers), 'worker')} on {counted(hosts, 'machine')}, scheduler at {self._address}; "
            f"dashboard: {self._client.dashboard_link}"
        )
        yield Distributed(self._client, materials)

    def _workers(self) -> dict[str, Any]:
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])


def _hush() -> None:
    """Has Dask log nothing: what goes wrong is said in one message."""
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _connect(address: str) -> Client:
    _hush()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own versions; what matters is checked and explained
            return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except ValueError as error:
        raise ConfigError(
            f'--cluster: got "{address}", accepts the address of a Dask scheduler such as tcp://host:8786 ({error}).'
        ) from None
    except (OSError, TimeoutError) as error:
        raise ConfigError(
            f"--cluster: no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`."
        ) from None
