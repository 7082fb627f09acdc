"""Where the tracking store is. Imports nothing heavy: the command line asks before it imports MLflow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

EMBEDDED: Final = "sqlite:///mlruns/mlflow.db"
"""The store under the current folder, used when nothing else is asked for."""

_SQLITE = "sqlite:///"


def resolve(uri: str | None = None) -> str:
    """The tracking URI: the one given, else ``MLFLOW_TRACKING_URI``, else the embedded store, its path absolute."""
    found = uri or os.environ.get("MLFLOW_TRACKING_URI") or EMBEDDED
    file = embedded_file(found)
    return found if file is None else f"{_SQLITE}{file}"


def embedded_file(uri: str) -> Path | None:
    """The absolute path of an SQLite store, or None for another kind of store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE)).absolute()
