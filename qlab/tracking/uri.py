"""Where the tracking store is. Imports nothing heavy: the command line asks before it imports MLflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from qlab.tracking import redaction

EMBEDDED: Final = "sqlite:///mlruns/mlflow.db"
"""The store under the current folder, used when nothing else is asked for."""

_SQLITE = "sqlite:///"


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
