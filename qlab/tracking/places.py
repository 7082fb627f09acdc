"""Where a server, or a database, has artifacts put: looked at before anything is trained."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import threading
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from qlab.errors import StoreError, StoreShutError
from qlab.tracking.faults import explain
from qlab.tracking.moving import is_path
from qlab.tracking.redaction import bare, redact, shown
from qlab.tracking.refusals import DISABLED, ask, shut_by
from qlab.tracking.uri import is_server

_CLOUD_SECONDS = 8.0
"""How long a cloud may take to answer; what is slower is left to the first write."""

_WINDOWS = re.compile(r"/?[A-Za-z]:")

_PACKAGES = {
    "botocore": "boto3",
    "google": "google-cloud-storage",
    "google.cloud": "google-cloud-storage",
    "azure": "azure-storage-blob azure-identity",
    "azure.storage": "azure-storage-blob azure-identity",
}
"""What is installed for a module that is missing, where that has another name."""

_PROXIED: Final = "/api/2.0/mlflow-artifacts/artifacts"

_SERVE = (
    "Start the server with `mlflow server --artifacts-destination FOLDER`, without --no-serve-artifacts and "
    "--default-artifact-root: then artifacts go through it"
)


def check_place(uri: str, location: str) -> None:
    """Looks whether artifacts can be written.

    Args:
        uri: of a store that is no SQLite file.
        location: where an MLflow experiment's artifacts go, by that store.

    Raises:
        StoreError: they cannot, with what to do.
    """
    scheme = urlsplit(location).scheme.lower()
    if is_path(location):
        _check_folder(uri, location)
    elif scheme == "mlflow-artifacts":
        _check_served(uri, location)
    elif scheme not in ("http", "https"):
        _check_cloud(uri, location)


def _check_folder(uri: str, location: str) -> None:
    folder = Path(url2pathname(urlsplit(location).path) if location.lower().startswith("file:") else location)
    reason = "it is a path of another system"
    if folder.is_absolute() and (os.name == "nt" or not _WINDOWS.match(str(folder))):
        try:
            return _try_folder(folder, own=not is_server(uri) or _is_here(uri))
        except OSError as error:
            reason = error.strerror or str(error)
    if is_server(uri):
        raise StoreError(
            f"The tracking server {shown(uri)} keeps artifacts in a folder of its own disk, {folder}, and this "
            f"machine cannot write there: {reason}. {_SERVE}. Or share that folder with this machine, at the same path."
        )
    raise StoreError(
        f"The database {shown(uri)} keeps artifacts in the folder {folder}, and this machine cannot write there: "
        f"{reason}. Share that folder with this machine, at the same path; or run `mlflow server "
        "--backend-store-uri DATABASE --artifacts-destination FOLDER`, and give that server's address."
    )


def _try_folder(folder: Path, *, own: bool) -> None:
    """Raises OSError unless a file can be written in a folder; one of another machine is not made where it is missing.

    Args:
        folder: of an MLflow experiment, below that of all.
        own: whether it is this machine that hands it out.
    """
    if not own and not folder.is_dir() and not folder.parent.is_dir():
        raise FileNotFoundError(0, f"there is no folder {folder.parent} here")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    finally:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()


def _is_here(uri: str) -> bool:
    """Whether a server is on this machine."""
    host = urlsplit(bare(uri)).hostname or ""
    with contextlib.suppress(OSError):
        for family, _, _, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            # Only an address of this machine can be listened at.
            with contextlib.suppress(OSError), socket.socket(family) as probe:
                probe.bind(address)
                return True
    return False


def _check_served(uri: str, location: str) -> None:
    if not is_server(uri):
        raise StoreError(
            f"The database {shown(uri)} keeps artifacts at {shown(location)}, behind an MLflow server: give that "
            "server's address instead of the database's."
        )
    with explain(uri):
        answer = ask(uri, _PROXIED, {"path": unquote(urlsplit(location).path).strip("/")})
    if DISABLED in answer.text:
        raise StoreError(
            f"The tracking server {shown(uri)} does not take artifacts: it was started with --no-serve-artifacts, "
            f"although its experiments say that it does. {_SERVE}."
        )
    try:
        shut_by(uri, answer.status_code if answer.status_code != 404 else 200, answer.text)
    except StoreShutError as error:
        raise StoreShutError(f"{error} (This is its answer about artifacts.)") from None


def _check_cloud(uri: str, location: str) -> None:
    failed: list[Exception] = []

    def look() -> None:
        try:
            get_artifact_repository(location, tracking_uri=uri).list_artifacts()
        except Exception as error:  # there are as many kinds as there are clouds
            failed.append(error)

    thread = threading.Thread(target=look, name="qlab artifacts", daemon=True)
    thread.start()
    thread.join(_CLOUD_SECONDS)
    if not failed:
        return
    said = " ".join(redact(str(failed[0]), location).split())[:300]
    package = failed[0].name if isinstance(failed[0], ImportError) else None
    todo = (
        f"Install what Python needs for it (`pip install {_PACKAGES.get(package, package)}`)"
        if package
        else "Set what it needs (for s3:// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and MLFLOW_S3_ENDPOINT_URL)"
    )
    raise StoreError(
        f"The store {shown(uri)} keeps artifacts at {shown(location)}, which cannot be reached from here: "
        f"{type(failed[0]).__name__}: {said}. {todo}, or let them go through the server. {_SERVE}."
    )
