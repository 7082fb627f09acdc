"""Reads a store for the explorer: in bulk, once for all visitors, and again only where it changed."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from qlab.errors import DataError, StoreError
from qlab.explorer.cache import MEBIBYTE, Kept
from qlab.explorer.run_tables import RunTables, Stamp
from qlab.landscape.result import ProbeResult
from qlab.models import Model, checkpoint
from qlab.reading.claims import claims_of
from qlab.reading.findings import Finding, findings
from qlab.reading.margins import Arrays, read_margins
from qlab.tracking import names
from qlab.tracking.configs import read_configs
from qlab.tracking.redaction import bare, shown
from qlab.tracking.showcase import run_address
from qlab.tracking.store import Store
from qlab.tracking.uri import embedded_file, is_server, resolve

KEPT_POINTS = 500_000
"""Steps of metric histories of finished runs that are kept in memory, about 70 MB."""

KEPT_CONFIGS = 32
"""Experiments' runs whose trials' configurations are kept in memory."""

KEPT_FILES = 256 * MEBIBYTE
"""Bytes of models, trajectories and results of probes that are kept in memory."""

LARGEST_PICTURE = 8 * MEBIBYTE
"""Bytes of a picture that is shown."""

_PNG = b"\x89PNG\r\n\x1a\n"


class Reader:
    """Reads one store; safe to share among threads.

    Args:
        uri: an MLflow tracking URI.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = resolve(uri)
        self._store: Store | None = None
        self._lock = threading.RLock()
        self._ids: dict[str, str] = {}
        self._database = embedded_file(self.uri)
        self._tables = RunTables(lambda: self.store, self._id, self._database)
        self._histories: dict[tuple[str, str], list[tuple[int, float]]] = {}
        self._points = 0
        self._inode: tuple[int, int] | None = None
        self._configs: dict[str, dict[str, Any]] = {}
        self._files: Kept[tuple[str, str], Any] = Kept(KEPT_FILES)
        self._read: dict[tuple[str, ...], tuple[Stamp, Any]] = {}

    @property
    def location(self) -> str:
        """Where the store is, for people."""
        file = embedded_file(self.uri)
        if file is None:
            return shown(self.uri)
        return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)

    @property
    def store(self) -> Store:
        """The store, opened when it is first needed; tried again if that failed."""
        with self._lock:
            if self._store is None:
                self._store = Store(self.uri, create=False)
            return self._store

    def experiments(self) -> list[str]:
        """The names of the MLflow experiments, in order; MLflow's own "Default" is left out."""
        with self._lock:
            self._notice_replaced()
            self.store.check()
            self._ids = {name: ids for name, ids in self.store.experiments().items() if name != "Default"}
            return sorted(self._ids)

    def runs(self, experiment: str, where: str = "") -> pd.DataFrame:
        """All runs of an experiment as :func:`qlab.tracking.frames.runs` gives them, as last refreshed.

        Args:
            experiment: its name.
            where: an MLflow filter, which the store is then asked to apply.
        """
        with self._lock:
            return self._tables.runs(experiment, where)

    def refresh(self, experiment: str) -> int:
        """Reads what is new, see :meth:`qlab.explorer.run_tables.RunTables.refresh`.

        Returns:
            A number that counts up with every change that is found, whichever visitor's question found it.
        """
        with self._lock:
            return self._tables.refresh(experiment)

    def histories(self, run_ids: Sequence[str], metrics: Sequence[str], running: Sequence[str] = ()) -> pd.DataFrame:
        """Metric values over steps as a table, see :meth:`series`: ``run_id``, ``metric``, ``step`` and ``value``."""
        rows = [
            (run, metric, step, value)
            for (run, metric), values in self.series(run_ids, metrics, running).items()
            for step, value in values
        ]
        return pd.DataFrame(rows, columns=["run_id", "metric", "step", "value"])

    def series(
        self, run_ids: Sequence[str], metrics: Sequence[str], running: Sequence[str] = ()
    ) -> dict[tuple[str, str], list[tuple[int, float]]]:
        """Steps and values by run and metric.

        Args:
            run_ids: of these runs.
            metrics: these metrics.
            running: those of the runs that have not ended; theirs are read anew each time.
        """
        with self._lock:
            for metric in metrics:
                missing = [run for run in run_ids if run in running or (run, metric) not in self._histories]
                if not missing:
                    continue
                found = self.store.metric_histories(missing, metric)
                if self._points > KEPT_POINTS:
                    wanted = {(run, metric) for run in run_ids for metric in metrics}
                    self._histories = {key: kept for key, kept in self._histories.items() if key in wanted}
                self._histories |= {(run, metric): found.get(run, []) for run in missing}
                self._points = sum(map(len, self._histories.values()))
            return {(run, metric): self._histories.get((run, metric), []) for run in run_ids for metric in metrics}

    def configs(self, experiment: str) -> dict[str, Mapping[str, Any]]:
        """The configurations of everything that an experiment's runs list, by key, see :meth:`config`."""
        with self._lock:
            frame = self.runs(experiment)
            parents = frame.loc[frame["kind"] == names.EXPERIMENT, "run_id"].tolist()
            return {key: config for run_id in parents for key, config in self._trials(str(run_id)).items()}

    def config(self, experiment: str, trial: str, parent: str | None) -> Mapping[str, Any]:
        """The configuration a trial was made from, as its experiment's run keeps it, and the folder of its file.

        That is under :data:`qlab.tracking.names.FOLDER`.

        Raises:
            DataError: no run of the experiment knows the trial.
        """
        with self._lock:
            frame = self.runs(experiment)
            parents = frame.loc[frame["kind"] == names.EXPERIMENT, "run_id"].tolist()
            for run_id in [parent, *parents] if parent in parents else parents:
                found = self._trials(str(run_id))
                if trial in found:
                    config: Mapping[str, Any] = found[trial]
                    return config
        raise DataError(
            f"The configuration of trial {trial} is missing: no {names.CONFIGS} of its experiment lists it."
        )

    def model(self, run_id: str) -> Model:
        """The model in a run's checkpoint."""
        found: Model = self._file(run_id, names.CHECKPOINT, lambda file: checkpoint.load(file, imports=False))
        return found

    def trajectory(self, run_id: str) -> dict[str, Any] | None:
        """Parameters at some epochs of a run's training, if it kept them."""
        if not self.store.has_file(run_id, names.TRAJECTORY):
            return None
        found: dict[str, Any] = self._file(run_id, names.TRAJECTORY, checkpoint.load_tensors)
        return found

    def result(self, run_id: str) -> ProbeResult:
        """What a probe's run found."""
        found: ProbeResult = self._file(run_id, names.PROBE_RESULT, ProbeResult.load)
        return found

    def margins(self, run_id: str, path: str) -> Arrays:
        """What an audit kept of single rows, see :func:`qlab.reading.margins.read_margins`."""
        found: Arrays = self._file(run_id, path, read_margins)
        return found

    def claims(self, experiment: str) -> pd.DataFrame:
        """What an experiment claims, and the verdicts, see :func:`qlab.claims.table.claim_table`."""
        with self._lock:
            number = self._id(experiment)
            found: pd.DataFrame = self._once(("claims", number), lambda: claims_of(self.store, {experiment: number}))
            return found

    def findings(self) -> list[Finding]:
        """What all experiments ask and found, that which changed last first."""
        with self._lock:
            self.experiments()
            found: list[Finding] = self._once(("findings",), lambda: findings(self.store, self._ids))
            return found

    def finding(self, experiment: str) -> Finding | None:
        """What one experiment asks and found; None if qlab has not run it."""
        with self._lock:
            number = self._id(experiment)
            found: list[Finding] = self._once(("finding", number), lambda: findings(self.store, {experiment: number}))
            return next(iter(found), None)

    def _once(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        """What was read before, as long as the store's file stays as it was; of a server it is read each time."""
        stamp = Stamp.of(self._database)
        if stamp is None:
            return make()
        if key not in self._read or self._read[key][0] != stamp:
            self._read[key] = stamp, make()
        return self._read[key][1]

    def picture(self, run_id: str, path: str) -> bytes:
        """A PNG file of a run.

        Raises:
            DataError: it is none, or larger than a figure is.
        """

        def load(file: Path) -> bytes:
            if file.stat().st_size > LARGEST_PICTURE:
                raise DataError(f"{path} of run {run_id} is larger than {LARGEST_PICTURE // MEBIBYTE} MiB.")
            content = file.read_bytes()
            if not content.startswith(_PNG):
                raise DataError(f"{path} of run {run_id} is no PNG file.")
            return content

        found: bytes = self._file(run_id, path, load)
        return found

    def _file(self, run_id: str, path: str, load: Callable[[Path], Any]) -> Any:
        """What a run's file holds; the last read are kept, up to :data:`KEPT_FILES` bytes."""

        def read() -> Any:
            with tempfile.TemporaryDirectory() as folder:
                return load(self._fetch(run_id, path, Path(folder)))

        return self._files.get((run_id, path), read)

    def run_url(self, run_id: str, experiment_id: str) -> str:
        """The page of a run in the MLflow UI: the tracking server's, else that of `qlab ui` on this machine."""
        base = bare(self.uri).rstrip("/") if is_server(self.uri) else "http://127.0.0.1:5000"
        return f"{base}/{run_address(experiment_id, run_id)}"

    def _notice_replaced(self) -> None:
        """Forgets all that was read from a file whose place another has taken."""
        try:
            about = None if self._database is None else self._database.stat()
        except OSError:
            return  # gone: the store says so
        if about is None:
            return
        inode = (about.st_dev, about.st_ino)
        if self._inode not in (None, inode):
            self.store.reopen()
            for kept in (self._ids, self._tables, self._read, self._histories, self._configs):
                kept.clear()
            self._points, self._files = 0, Kept(KEPT_FILES)
        self._inode = inode

    def _id(self, experiment: str) -> str:
        if experiment not in self._ids:
            self.experiments()
        if experiment not in self._ids:
            raise StoreError(f'The store {self.location} has no experiment "{experiment}".')
        return self._ids[experiment]

    def _trials(self, parent: str) -> dict[str, Any]:
        if parent not in self._configs:
            found = read_configs(self.store, parent) or {}
            folder = self.store.get_run(parent).data.tags.get(names.FOLDER) if found else None
            for oldest in list(self._configs)[: 1 - KEPT_CONFIGS]:
                del self._configs[oldest]
            self._configs[parent] = {key: {**config, names.FOLDER: folder} for key, config in found.items()}
        return self._configs[parent]

    def _fetch(self, run_id: str, path: str, folder: Path) -> Path:
        """A local copy of an artifact, which must lie in the folder given."""
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise DataError(f"{path}: not a path below a run's artifacts.")
        if not self.store.has_file(run_id, path):
            raise DataError(f"Run {run_id} has no artifact {path}.")
        file = self.store.fetch_file(run_id, path, folder)
        if not file.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{path}: the artifact leads out of the run's folder.")
        return file


@functools.cache
def reader(uri: str) -> Reader:
    """The reader of a store, one for all visitors of this server."""
    return Reader(uri)
