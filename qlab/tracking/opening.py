"""Opening a store: a look at what is there, and making an embedded one."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from qlab.errors import StoreError
from qlab.tracking.faults import explain
from qlab.tracking.redaction import bare, redact, shown
from qlab.tracking.uri import is_server

_SERVER_SECONDS = 10.0
"""How long a tracking server may take to accept a connection."""

_LOCK_SECONDS = 20.0

_HTTP_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""What MLflow is told unless the user has told it something else.

Trying again is the store's, which knows that a run whose creation was not confirmed has to be looked for first.
MLflow itself would try for four minutes, and make a second run.
"""


_DATABASES = ("postgresql", "postgres", "mysql", "mssql")


def be_brief() -> None:
    """Sets MLflow's own patience with servers, unless the user has."""
    for name, value in _HTTP_SETTINGS.items():
        os.environ.setdefault(name, value)


def open_client(uri: str) -> MlflowClient:
    """MLflow's client of a store that can be read."""
    with _quiet():
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def read_only_uri(file: Path) -> str:
    """The URI by which MLflow's client opens an SQLite file that it cannot write.

    MLflow takes no URI that says so to SQLite, but looks for connections by URI before it makes them.
    """
    file = file.resolve()
    uri = f"sqlite:///{file}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=_LOCK_SECONDS, check_same_thread=False)

    engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=sqlalchemy.NullPool)
    SqlAlchemyStore._engine_map[uri] = engine
    return uri


def make_database(file: Path) -> None:
    """Makes an empty store, whole or not at all: beside its place first, so that nobody meets it half made."""
    draft = file.with_name(f".{file.name}-{uuid.uuid4().hex[:8]}")
    uri = f"sqlite:///{draft}"
    try:
        with explain(f"sqlite:///{file}"):
            open_client(uri)
            with contextlib.suppress(FileExistsError):  # another process was faster
                _link(draft, file)
    finally:
        for path in (draft, draft.with_name(f"{draft.name}-journal")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _link(draft: Path, file: Path) -> None:
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        draft.rename(file)


def writable(file: Path) -> bool:
    """Whether an embedded store, or the place for one, may be written."""
    places = [file, file.parent, file.parent / "artifacts"]
    return all(os.access(place, os.W_OK) for place in places if place.exists())


def check_server(uri: str) -> None:
    """Asks a tracking server for a sign of life: MLflow itself would try for minutes before it says that there is none.

    Raises:
        StoreError: nobody answers at that address.
    """
    if not is_server(uri):
        return
    try:
        address = urlsplit(uri)
        if address.hostname != urlsplit(bare(uri)).hostname:
            raise ValueError("in its password, write / as %2F, ? as %3F, # as %23 and @ as %40")
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=_SERVER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The tracking server {shown(uri)} does not answer: {redact(str(error), uri)}. Is it running, and is "
            f"the address right?"
        ) from None


def check_login(uri: str) -> None:
    """Connects to a database server once: MLflow would try for half an hour before it says what is wrong.

    Raises:
        StoreError: it cannot be reached, or lets nobody in.
    """
    if uri.partition("://")[0].lower().partition("+")[0] not in _DATABASES:
        return
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
        engine.connect().close()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        said = " ".join(redact(str(error).partition("(Background on")[0], uri).split())
        raise StoreError(
            f"The database {shown(uri)} cannot be opened: {said} Are its address, user and password right, and is "
            f"the Python package that it needs installed?"
        ) from None


def check_file(file: Path, *, create: bool, read_only: bool) -> None:
    """Checks that the file of an embedded store can be used as asked, or made; its folder is made then.

    Args:
        file: the database.
        create: whether it is to be made where there is none.
        read_only: whether it is only to be read.

    Raises:
        StoreError: it is no database, there is none, or it may not be written.
    """
    check_database(file)
    if not file.exists():
        if not create or read_only:
            raise StoreError(f"There is no store at {file}; `qlab run` makes one.")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The store {file} cannot be created: {error.strerror}: {error.filename}") from None
    if not read_only and not writable(file):
        raise StoreError(f"The store {file} cannot be written: no permission. Give another with --tracking-uri.")


def check_database(file: Path) -> None:
    """Raises StoreError for a path that exists and is no SQLite file, or that cannot be said in a URI.

    MLflow would retry for a minute, and make a file elsewhere.
    """
    if "?" in str(file) or unquote(str(file)) != str(file):
        raise StoreError(
            f'The store {file} cannot be opened: MLflow does not take "%" and "?" in its path literally. Run in '
            "another folder, or give another store with --tracking-uri."
        )
    if file.is_dir():
        raise StoreError(f"The store {file} is a folder; name a file in it: sqlite:///{file / 'mlflow.db'}")
    if not file.exists():
        return
    try:
        with file.open("rb") as opened:
            start = opened.read(16)
    except OSError as error:
        raise StoreError(f"The store {file} cannot be read: {error.strerror}.") from None
    if start not in (b"", b"SQLite format 3\0"):
        raise StoreError(f"The store {file} is not an SQLite database; give another with --tracking-uri.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the log of schema migrations, which a new store runs through."""
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
