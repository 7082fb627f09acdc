"""Servers on a store: the MLflow UI and the explorer. They replace the process that starts them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qlab.errors import ConfigError, QlabError, StoreError
from qlab.tracking import addresses, names
from qlab.tracking.moving import Home
from qlab.tracking.redaction import bare, shown
from qlab.tracking.uri import embedded_file, is_server, resolve

if TYPE_CHECKING:  # MLflow, which the explorer is started without
    from qlab.tracking.store import Store

EXPLORER_PORT = 5006
"""Of the explorer, if it is free."""

_TRIED = 20
"""So many ports are tried."""

_PAGES = 5
"""So many experiments' pages are printed."""


def serve_ui(uri: str | None, host: str, port: int) -> None:
    """The MLflow UI; for a tracking server prints its address, which has the UI already.

    Runs in an embedded store whose command was killed are marked first.

    Raises:
        StoreError: there is no embedded store yet.
        ConfigError: the host is not this machine's, or the port is taken.
    """
    found = _existing(uri)
    if is_server(found):
        click.echo(f"The store is a tracking server; its UI is at {bare(found)}")
        return
    from qlab.tracking.orphans import end_orphans
    from qlab.tracking.store import Store

    store = Store(found, create=False)
    file = embedded_file(found)
    if file is not None:
        with contextlib.suppress(QlabError):  # what cannot be marked reads running, as it did
            end_orphans(store, store.experiment_ids())
    pages = _prepared_pages(store)
    host = addresses.bare(host)
    port = addresses.free_port(host, port)
    # Not among the arguments, which everybody on this machine can read: a database's address may hold a password.
    settings = {"MLFLOW_BACKEND_STORE_URI": found}
    arguments = ["ui", "--host", host, "--port", str(port), "--workers", "1"]
    if file is not None:
        arguments += ["--default-artifact-root", Home(file.resolve()).artifacts.as_uri()]
    _replace_process("MLflow UI", "mlflow", arguments, settings, found, host, port, pages=pages)


def serve_explorer(
    app: Path,
    uri: str | None,
    host: str,
    port: int | None,
    origins: Sequence[str] = (),
    users: Path | None = None,
    prefix: str = "",
    browse: bool = False,
) -> None:
    """The explorer app; see :func:`serve_ui` for errors.

    Args:
        app: the app's file.
        uri: of the store.
        host: to listen on; one that others can reach takes ``origins``.
        port: to listen on; None: :data:`EXPLORER_PORT`, or the next one that is free.
        origins: addresses under which pages may be opened, besides this machine's own, as
            :func:`qlab.tracking.addresses.origins` takes them.
        users: a JSON file of user names and passwords for basic authentication.
        prefix: what a proxy puts before the explorer's addresses.
        browse: whether to open a browser, where somebody sits at this machine.

    Raises:
        ConfigError: the prefix is none, the host can be reached by others and no origin is allowed, or one is no
            origin, or ``users`` is no such file.
    """
    found = _existing(uri)
    host = addresses.bare(host)
    prefix = _checked_prefix(prefix)
    if not addresses.is_local(host) and not origins:
        name = socket.gethostname() if host in addresses.EVERY else host
        raise ConfigError(
            f"--host {host}: others could reach the explorer. Name the address under which they open it, for example "
            f"--allow-origin {addresses.netloc(name, port or EXPLORER_PORT)}, "
            "and consider --basic-auth."
        )
    port = _next_port(host) if port is None else addresses.free_port(host, port)
    allowed = [
        *addresses.own_origins(host, port),
        *(one for given in origins for one in addresses.origins(given, port)),
    ]
    # Bokeh takes these as they are; what it is told otherwise it refuses if it is IPv6.
    listed = [*allowed, *filter(None, os.environ.get("BOKEH_ALLOW_WS_ORIGIN", "").split(","))]
    settings = {"MLFLOW_TRACKING_URI": found, "BOKEH_ALLOW_WS_ORIGIN": ",".join(dict.fromkeys(listed))}
    arguments = [str(app), "--address", host, "--port", str(port)]
    if users is not None:
        _check_users(users)
        arguments += ["--basic-auth", str(users.resolve())]
    path = f"{prefix}/explorer"
    if prefix:
        arguments += ["--prefix", prefix]
    if browse and _is_desktop():
        arguments += ["--open", f"{addresses.opened(host, port)}{path}"]
    _replace_process("explorer", "qlab.explorer.server", arguments, settings, found, host, port, path)


def _next_port(host: str) -> int:
    """The explorer's usual port, or the first free one after it."""
    for port in range(EXPLORER_PORT, EXPLORER_PORT + _TRIED):
        try:
            return addresses.free_port(host, port)
        except ConfigError:
            if port == EXPLORER_PORT + _TRIED - 1:
                raise
    raise AssertionError


def _checked_prefix(prefix: str) -> str:
    """A prefix without a slash at its end.

    Raises:
        ConfigError: it is none.
    """
    found = prefix.rstrip("/")
    if found and not re.fullmatch(r"(/[\w.~@+%-]+)+", found, re.ASCII):
        raise ConfigError(f"--prefix {prefix}: accepts the beginning of a path, such as /user/ada/proxy/5006.")
    return found


def _is_desktop() -> bool:
    """Whether somebody sits at this machine: a terminal, and a display."""
    windows = sys.platform in ("win32", "darwin")
    return sys.stdout.isatty() and (windows or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))))


def _check_users(file: Path) -> None:
    """Raises ConfigError unless a file holds a JSON object of passwords by user name."""
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
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


def _prepared_pages(store: Store) -> dict[str, str]:
    """Where the UI shows the experiments that were changed last, by what to say of them; none if none is prepared."""
    from qlab.tracking.showcase import MAIN, address

    experiments = store.client.search_experiments(order_by=["last_update_time DESC"])
    ready = [found for found in experiments if f"{names.SHARED_VIEW}{MAIN}" in found.tags]
    titles = [re.sub(r"[^ -~\w]", "?", f"compare {found.name}") for found in ready[:_PAGES]]  # a terminal obeys more
    return {title: address(found.experiment_id) for title, found in zip(titles, ready[:_PAGES], strict=True)}


def _replace_process(
    what: str,
    module: str,
    arguments: Sequence[str],
    settings: Mapping[str, str],
    store: str,
    host: str,
    port: int,
    path: str = "",
    pages: Mapping[str, str] | None = None,
) -> None:
    click.echo(f"{what} on {shown(store)}: {addresses.opened(host, port)}{path} (Ctrl-C ends it)")
    for title, page in (pages or {}).items():
        click.echo(f"{title}: {addresses.opened(host, port)}/{page}")
    sys.stdout.flush()
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Five processes for jobs of language models, which take half a minute to end.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], {**defaults, **os.environ, **settings})
