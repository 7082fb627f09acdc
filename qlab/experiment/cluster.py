"""`qlab run --cluster ADDRESS`: the workers of a Dask cluster work at the experiments."""

from __future__ import annotations

import logging
import platform
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from types import TracebackType
from typing import Any, Self

from qlab import interrupts
from qlab.errors import ConfigError, MissingExtraError
from qlab.experiment import assistance
from qlab.experiment.helper import GRACE_SECONDS
from qlab.experiment.job import Job
from qlab.experiment.portions import Share
from qlab.experiment.schema import Experiment
from qlab.version import __version__

CONNECT_SECONDS = 10.0

NO_WORKERS_SECONDS = 60.0
"""If there are no workers for so long, the command does what is left itself."""

_LOOK_SECONDS = 0.5

_RETRIES = 3


class Cluster:
    """A Dask cluster, every worker of which gets a helper that claims work. The command itself only waits.

    When the helpers have ended, it runs what they have left, and sums up. Use as a context manager.

    Args:
        address: the scheduler's.
        tell: is given lines for people.

    Attributes:
        share: see :class:`qlab.experiment.team.Team`: when the command works, nobody helps it any more.
        unsent: what helpers could not send to the tracking server, in words.

    Raises:
        MissingExtraError: the package ``distributed`` is not installed.
        ConfigError: the cluster does not answer, has no workers, or has other versions.
    """

    helped = True

    def __init__(self, address: str, tell: Callable[[str], None]) -> None:
        self.share = Share()
        self.unsent: list[str] = []
        self._address = address
        self._tell = tell
        self._client: Any = _connect(address)
        try:
            check_versions(_own_versions(), _versions(self._client))
            if not self._workers():
                raise ConfigError(f"--cluster: the scheduler at {address} has no workers; start some, and run again.")
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def assemble(self) -> None:
        """Does nothing: the workers are there."""

    def begin(self, experiment: Experiment, uri: str, old_failures: Collection[str]) -> bool:
        """Has every worker help, and waits until they have nothing left to do.

        Raises:
            ConfigError: none of them can run the experiment.
        """
        workers = self._workers()
        hosts = Counter(str(worker["host"]) for worker in workers.values())
        self._tell(f"{len(workers)} workers on {len(hosts)} machines, by the scheduler at {self._address}")

        def share(worker: Any) -> Share:
            return Share(len(workers), hosts[str(worker["host"])])

        futures = [
            self._client.submit(
                assistance.assist,
                assistance.Line(Job.of(experiment, uri, old_failures, share(worker)).show()),
                pure=False,
                workers=[address],
                allow_other_workers=True,
                retries=_RETRIES,
            )
            for address, worker in workers.items()
        ]
        try:
            self._wait(futures)
            self._hear(futures)
        finally:
            self._end(futures)
        return True

    def _workers(self) -> dict[str, Any]:
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])

    def _wait(self, futures: list[Any]) -> None:
        """Until every helper has ended, or there is nobody left who could run one."""
        seen = time.monotonic()
        while any(future.status == "pending" for future in futures):
            time.sleep(_LOOK_SECONDS)
            if self._client.status == "running" and self._workers():
                seen = time.monotonic()
            elif time.monotonic() - seen > NO_WORKERS_SECONDS:
                self._tell("The cluster has no workers any more; this process does what is left.")
                return

    def _hear(self, futures: list[Any]) -> None:
        """Passes on what helpers said.

        Raises:
            ConfigError: all of them have refused.
        """
        refused = Counter[str]()
        for future in futures:
            if future.status == "error":
                self._tell(f"A worker of the cluster has failed: {future.exception()}")
            for said in future.result() if future.status == "finished" else ():
                state, reason = said.get("state"), said.get("reason", "")
                if state == "unsent":
                    self.unsent.append(reason)
                elif state in ("refused", "failed"):
                    refused[reason] += 1
        if refused.total() == len(futures):
            raise ConfigError(f"--cluster: no worker can run this. {next(iter(refused))}")
        for reason, count in refused.items():
            self._tell(f"{count} workers of the cluster have given up: {reason}")

    def _end(self, futures: list[Any]) -> None:
        """Cancels what still runs, and waits until the helpers have marked their runs."""
        interrupts.heed()
        pending = [future for future in futures if future.status == "pending"]
        if not pending or self._client.status != "running":
            return
        self._client.cancel(pending)
        end = time.monotonic() + min(GRACE_SECONDS, interrupts.seconds_left())
        while time.monotonic() < end and any(self._client.run(assistance.active, on_error="ignore").values()):
            time.sleep(_LOOK_SECONDS)


def check_versions(own: Mapping[str, str], others: Mapping[str, Mapping[str, str]]) -> None:
    """Checks that others have the versions that the command has.

    Of Python the first two numbers count, of PyTorch not what it is built for: a worker may have a GPU.

    Args:
        own: versions of the command, by package.
        others: the same for workers and scheduler, by what they are called.

    Raises:
        ConfigError: some have another one.
    """
    for place, versions in others.items():
        for package, version in versions.items():
            if _compared(package, version) != _compared(package, own[package]):
                raise ConfigError(
                    f"--cluster: {place} has {package} {version}, this process has {package} {own[package]}; "
                    "install the same everywhere."
                )


def _compared(package: str, version: str) -> str:
    return ".".join(version.split(".")[:2]) if package == "Python" else version.split("+")[0]


def _own_versions() -> dict[str, str]:
    return {"Python": platform.python_version(), "qlab": __version__, "torch": metadata.version("torch")}


def _versions(client: Any) -> dict[str, dict[str, str]]:
    """The versions of a cluster's scheduler and workers."""

    # Sent as it stands here, since qlab may be another one there, or missing.
    def installed() -> dict[str, str]:
        from importlib import metadata

        try:
            from qlab.version import __version__ as version
        except ImportError:
            version = "none"
        try:
            torch = metadata.version("torch")
        except metadata.PackageNotFoundError:
            torch = "none"
        return {"qlab": version, "torch": torch}

    known = client.get_versions()
    found = {f"worker {address}": {"Python": _python(said)} for address, said in known["workers"].items()}
    found["the scheduler"] = {"Python": _python(known["scheduler"])}
    check_versions(_own_versions(), found)  # code is not sent to another Python
    for address, versions in client.run(installed).items():
        found[f"worker {address}"] = {**found.get(f"worker {address}", {}), **versions}
    return found


def _python(said: Mapping[str, Any]) -> str:
    return ".".join(str(said["host"]["python"]).split(".")[:3])


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError(
            f'--cluster cannot be used here: {error}. Install it with "pip install qlab[cluster]", or use --jobs on '
            "this machine."
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong is said in one message
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
