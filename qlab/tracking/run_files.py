"""The artifacts of MLflow's runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow.entities as entities
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from qlab.tracking import writes
from qlab.tracking.experiments import Experiments


class RunFiles(Experiments):
    """What a store does with the files of runs. Args: see :class:`qlab.tracking.store.Store`."""

    def __init__(
        self,
        uri: str | None = None,
        *,
        create: bool = True,
        read_only: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(uri, create=create, read_only=read_only, tell=tell)
        self._places: dict[str, str] = {}
        self._stated: dict[str, str] = {}

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Copies a file to a run's artifacts."""
        place = self._places.get(run_id)
        if place is None and self._home is not None:
            place = self._patiently(lambda again: self._place(run_id))  # MLflow would ask too, and not look twice
        self._write(writes.LogFile(run_id, str(file), folder, place))

    def log_content(self, run_id: str, path: str, content: bytes) -> None:
        """Makes a file of a run's artifacts."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / PurePosixPath(path).name
            file.write_bytes(content)
            self.log_file(run_id, file, path.rpartition("/")[0] or None)

    def fetch_file(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of one of a run's artifacts in a local folder."""
        return Path(self._patiently(lambda again: self._artifacts(run_id).download_artifacts(path, str(folder))))

    def has_file(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path."""
        parent = path.rpartition("/")[0] or None
        return any(item.path == path for item in self._patiently(lambda again: self._files(run_id, parent)))

    def local_file(self, run_id: str, path: str) -> Path | None:
        """Where one of a run's artifacts is on this machine, or would be; None if they are elsewhere."""
        uri = self._places.get(run_id)
        if uri is None and self._file is not None:  # of a server who has made or read the run knows it
            uri = self._patiently(lambda again: self._place(run_id))
        place = None if uri is None else Path(_on_this_machine(uri))
        return place / path if place is not None and place.is_absolute() else None

    def files(self, run_id: str, folder: str | None = None) -> dict[str, int]:
        """The paths of a run's artifacts below a folder, and their sizes in bytes."""
        found: dict[str, int] = {}
        for item in self._patiently(lambda again: self._files(run_id, folder)):
            found |= self.files(run_id, item.path) if item.is_dir else {item.path: int(item.file_size or 0)}
        return found

    def artifact_place(self, run_id: str) -> str:
        """Where a run's artifacts are: a folder of this machine, or a URI."""
        return _on_this_machine(self._patiently(lambda again: self._place(run_id)))

    def delete_local_folder(self, run_id: str, path: str) -> None:
        """Deletes a folder of a run's artifacts if the store is embedded; on a server it stays."""
        if self._file is not None:
            shutil.rmtree(Path(self.artifact_place(run_id)) / path, ignore_errors=True)

    def _files(self, run_id: str, folder: str | None) -> list[entities.FileInfo]:
        return list(self._artifacts(run_id).list_artifacts(folder))

    def _artifacts(self, run_id: str) -> ArtifactRepository:
        return get_artifact_repository(self._place(run_id), tracking_uri=self.uri)

    def _place(self, run_id: str) -> str:
        """The URI of a run's artifacts; asked once, as MLflow's client does for some runs only."""
        if run_id not in self._places:
            stated = self._stated.get(run_id)
            if stated is None:
                self._places[run_id] = self._artifacts_of(self.client.get_run(self.known_as(run_id)).info)
            else:
                self._places[run_id] = self._present(stated, run_id)
        return self._places[run_id]

    def _artifacts_of(self, run: entities.RunInfo) -> str:
        return self._present(run.artifact_uri, run.run_id)

    def _present(self, uri: str, run_id: str) -> str:
        """Where a run's artifacts are now, which the store says are at ``uri``."""
        return str(uri if self._home is None else self._home.present(uri, run_id))


def _on_this_machine(uri: str) -> str:
    """A folder of this machine, or the URI."""
    return url2pathname(urlsplit(uri).path) if uri.startswith("file:") else uri
