"""Servers on a store: the MLflow UI and the explorer. They replace the process that starts them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from qlab.errors import ConfigError, StoreError
from qlab.tracking.uri import embedded_file, resolve


def serve_ui(uri: str | None, host: str, port: int) -> None:
    """The MLflow UI; for a tracking server prints its address, which has the UI already.

    Raises:
        StoreError: there is no embedded store yet.
        ConfigError: the port is taken.
    """
    found = _existing(uri)
    if found.startswith(("http://", "https://")):
        click.echo(f"The store is a tracking server; its UI is at {found}")
        return
    arguments = ["ui", "--backend-store-uri", found, "--host", host, "--port", str(port), "--workers", "1"]
    file = embedded_file(found)
    if file is not None:
        arguments += ["--default-artifact-root", (file.parent / "artifacts").resolve().as_uri()]
    _replace_process("MLflow UI", "mlflow", arguments, found, host, port)


def serve_explorer(app: Path, uri: str | None, host: str, port: int) -> None:
    """The explorer app; see :func:`serve_ui` for errors."""
    found = _existing(uri)
    os.environ["MLFLOW_TRACKING_URI"] = found
    arguments = ["serve", str(app), "--address", host, "--port", str(port)]
    origins = {f"{host}:{port}", f"localhost:{port}", f"127.0.0.1:{port}"}
    for origin in sorted(origins):
        arguments += ["--allow-websocket-origin", origin]
    _replace_process("explorer", "panel", arguments, found, host, port, "/explorer")


def _existing(uri: str | None) -> str:
    found = resolve(uri)
    file = embedded_file(found)
    if file is not None and not file.exists():
        raise StoreError(f"There is no store at {file}; `qlab run` makes one.")
    return found


def _replace_process(
    what: str, module: str, arguments: Sequence[str], store: str, host: str, port: int, path: str = ""
) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"{host}:{port}: {error.strerror}; choose another with --port.") from None
    click.echo(f"{what} on {store}: http://{host}:{port}{path} (Ctrl-C ends it)")
    sys.stdout.flush()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
