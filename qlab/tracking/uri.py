"""Where the tracking store is. Imports nothing heavy: the command line asks before it imports MLflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from qlab.errors import ConfigError
from qlab.tracking import redaction

EMBEDDED: Final = "sqlite:///mlruns/mlflow.db"
"""The store under the current folder, used when nothing else is asked for."""

_SQLITE = "sqlite:///"
_FOLDER, _DATABASE = "mlruns", "mlflow.db"


def resolve(uri: str | None = None) -> str:
    """The tracking URI: the one given, else ``MLFLOW_TRACKING_URI``, else the embedded store, its path absolute."""
    found = uri or os.environ.get("MLFLOW_TRACKING_URI") or EMBEDDED
    redaction.remember(found)
    file = embedded_file(found)
    return found if file is None else f"{_SQLITE}{file}"


def embedded_file(uri: str) -> Path | None:
    """The absolute path of an SQLite store, or None for another kind of store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE)).absolute()


def is_server(uri: str) -> bool:
    """Whether a store is a tracking server's."""
    return uri.lower().startswith(("http://", "https://"))


def of_path(given: str) -> str:
    """The tracking URI of a store that is named by its address, its database or the folder that this is in.

    Raises:
        ConfigError: it is none of them.
    """
    if "://" in given or given.lower().startswith("file:"):
        return given
    path = Path(given).expanduser()
    if path.is_dir():
        if (path / _DATABASE).exists() or not any(path.glob("*/meta.yaml")):
            path /= _DATABASE
        else:  # MLflow's own folders of files, of which MLflow says what to do
            return path.resolve().as_uri()
    elif not path.exists() and path.name == _FOLDER:
        path /= _DATABASE
    elif not path.exists() and path.suffix != ".db":
        raise ConfigError(
            f"The store {given}: there is no such file or folder. Accepted: http(s)://host:port, sqlite:///path, or "
            f"the path of an {_DATABASE} or of the {_FOLDER} folder that it is in."
        )
    return f"{_SQLITE}{path.absolute()}"
