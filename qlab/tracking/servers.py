"""Servers on a store: the MLflow UI and the explorer. They replace the process that starts them."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from qlab.errors import ConfigError, StoreError
from qlab.tracking.moving import settle
from qlab.tracking.redaction import bare, shown
from qlab.tracking.uri import embedded_file, is_server, resolve

_LOCAL = ("127.0.0.1", "localhost", "::1")
_EVERY = ("0.0.0.0", "::", "")
"""Addresses that only this machine reaches, and those that listen on all of its networks."""


def serve_ui(uri: str | None, host: str, port: int) -> None:
    """The MLflow UI; for a tracking server prints its address, which has the UI already.

    Raises:
        StoreError: there is no embedded store yet.
        ConfigError: the port is taken.
    """
    found = _existing(uri)
    if is_server(found):
        click.echo(f"The store is a tracking server; its UI is at {bare(found)}")
        return
    # Not among the arguments, which everybody on this machine can read: a database's address may hold a password.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = found
    arguments = ["ui", "--host", host, "--port", str(port), "--workers", "1"]
    file = embedded_file(found)
    if file is not None:
        home, news = settle(file)
        if news is not None:
            click.echo(news)
        arguments += ["--default-artifact-root", home.artifacts.as_uri()]
    _replace_process("MLflow UI", "mlflow", arguments, found, host, port)


def serve_explorer(
    app: Path, uri: str | None, host: str, port: int, origins: Sequence[str] = (), users: Path | None = None
) -> None:
    """The explorer app; see :func:`serve_ui` for errors.

    Args:
        app: the app's file.
        uri: of the store.
        host: to listen on; one that others can reach takes ``origins``.
        port: to listen on.
        origins: addresses (host or host:port) under which pages may be opened, besides this machine's own.
        users: a JSON file of user names and passwords for basic authentication.

    Raises:
        ConfigError: the host can be reached by others and no origin is allowed, or ``users`` is no such file.
    """
    found = _existing(uri)
    if host not in _LOCAL and not origins:
        raise ConfigError(
            f"--host {host}: others could reach the explorer. Name the address under which they open it, for example "
            f"--allow-origin {host if host not in _EVERY else socket.gethostname()}:{port}, and think of --basic-auth."
        )
    os.environ["MLFLOW_TRACKING_URI"] = found
    arguments = [str(app), "--address", host, "--port", str(port)]
    for origin in [f"localhost:{port}", f"127.0.0.1:{port}", *origins]:
        arguments += ["--allow-websocket-origin", origin]
    if users is not None:
        _check_users(users)
        arguments += ["--basic-auth", str(users.resolve())]
    _replace_process("explorer", "qlab.explorer.server", arguments, found, host, port, "/explorer")


def _check_users(file: Path) -> None:
    """Raises ConfigError unless a file holds a JSON object of passwords by user name."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--basic-auth {file}: cannot be read as JSON: {error}") from None
    if not (isinstance(found, dict) and found and all(isinstance(value, str) and value for value in found.values())):
        raise ConfigError(f'--basic-auth {file}: accepts a JSON object of passwords by user name: {{"ada": "..."}}.')


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
    click.echo(f"{what} on {shown(store)}: http://{host}:{port}{path} (Ctrl-C ends it)")
    sys.stdout.flush()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
