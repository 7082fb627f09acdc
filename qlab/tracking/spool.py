"""A spool: writes that wait on this machine until their tracking server is back.

A folder with ``journal.db``, an SQLite file, and ``files/``, copies of the files to be logged. A write is on the disk
before it counts as kept, and is deleted once the store has it: whoever is killed in between leaves it to be sent again,
which does no harm. Who has a spool open has it alone, by SQLite's own lock, which ends with the process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from mlflow import MlflowClient

from qlab.errors import StoreError
from qlab.tracking import writes

JOURNAL = "journal.db"
FILES = "files"

FORMER = "journal.jsonl"
"""The journal of a spool that an earlier version of qlab left, see :mod:`qlab.tracking.former`."""

_TABLES = """
CREATE TABLE stores (uri TEXT NOT NULL);
CREATE TABLE experiments (id TEXT PRIMARY KEY, name TEXT NOT NULL, made INTEGER);
CREATE TABLE writes (number INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE runs (own TEXT PRIMARY KEY, real TEXT NOT NULL, experiment TEXT)
"""
"""``writes`` are what waits, in order. ``runs`` has the ids that the store knows runs by, and the experiments of those
that were made from here, until it is certain that they were made once."""

_UNKEPT = (
    "The tracking server is away, and its writes cannot be kept in {folder}: {reason}. Make room there, or set "
    "QLAB_SPOOL to another folder."
)
_UNMARKED = "What has been sent cannot be crossed out in {folder}: {reason}. Make room there."


def default_root() -> Path:
    """Where spools are made: ``QLAB_SPOOL``, else ``mlruns/spool`` under the current folder.

    Results belong where the user works and finds them, not in a cache that may be emptied, nor in a home directory that
    a cluster keeps small.
    """
    return Path(os.environ.get("QLAB_SPOOL") or Path("mlruns") / "spool").absolute()


def spools(root: Path) -> list[Path]:
    """The spools in a folder, oldest first."""
    return sorted({path.parent for name in (JOURNAL, FORMER) for path in root.glob(f"*/{name}")})


@dataclasses.dataclass(frozen=True)
class Header:
    """What a spool is of.

    Args:
        store: the tracking URI.
        experiments: the MLflow experiments written to, name and time of creation by id; together they tell one store
            from another at the same address.
    """

    store: str
    experiments: Mapping[str, tuple[str, int | None]]


class Spool:
    """One spool, held by this process alone.

    Args:
        folder: of a spool, see :meth:`make` for a new one.

    Raises:
        StoreError: it is no spool, or another process holds it.

    Attributes:
        header: what it is of.
        real: the ids that the store knows runs by, by those their writer made.
        files: the copies of files that wait, by run and the artifact's path.
        sent: how many writes have been sent since it was opened.
    """

    def __init__(self, folder: Path, _new: sqlite3.Connection | None = None) -> None:
        self.folder = folder
        self.files: dict[tuple[str, str], Path] = {}
        self.sent = 0
        self._database = _new or _held(folder)
        try:
            experiments = self._database.execute("SELECT * FROM experiments")
            self.header = Header(
                self._row("SELECT uri FROM stores")[0], {id: (name, made) for id, name, made in experiments}
            )
            self.real: dict[str, str] = dict(self._database.execute("SELECT own, real FROM runs"))
            self._last: int = self._row("SELECT coalesce(max(number), 0) FROM writes")[0]
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{folder} is no spool that can be sent: {error}: {folder / JOURNAL}.") from None

    @classmethod
    def make(cls, root: Path, header: Header, real: Mapping[str, str] | None = None) -> Self:
        """A new spool in a folder of its own.

        Args:
            root: the folder of spools.
            header: what it is of.
            real: see the attributes; for runs that the store knows already.

        Raises:
            StoreError: it cannot be written.
        """
        with _explained(root):
            root.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=root))
            return cls(folder, make_journal(folder, header, real or {}))

    def left(self) -> int:
        """How many writes are still to be sent."""
        return int(self._row("SELECT count(*) FROM writes")[0])

    def append(self, write: writes.Write) -> None:
        """Keeps a write, its file included.

        Raises:
            StoreError: it cannot be kept.
        """
        with _explained(self.folder):
            number = self._last + 1
            if isinstance(write, writes.LogFile):
                write = dataclasses.replace(write, file=self._copied(Path(write.file), f"{FILES}/{number}"))
            with self._database:
                self._database.execute("INSERT INTO writes VALUES (?, ?)", (number, write.to_json()))
            self._last = number
            if isinstance(write, writes.LogFile):
                self.files[write.run, write.artifact] = self.folder / write.file

    def send_next(self, client: MlflowClient) -> bool:
        """Sends the first write that waits; after the last, deletes runs that the store made twice.

        Returns:
            False if nothing was left to do.

        Raises:
            StoreError: the write makes no sense, or cannot be crossed out.
            Exception: whatever MLflow raises. The write still waits then.
        """
        waiting = self._row("SELECT number, content FROM writes ORDER BY number LIMIT 1")
        if waiting is not None:
            write = self._read(waiting[1])
            made = write.send(client, lambda run_id: self.real.get(run_id, run_id), again=True)
            self._cross_out(waiting[0], None if made is None else (write.run, str(made.run_id), made.experiment_id))
            return True
        run = self._row("SELECT experiment, own, real FROM runs WHERE experiment IS NOT NULL")
        if run is None:
            return False
        writes.delete_twins(client, *run)
        with _explained(self.folder, _UNMARKED), self._database:
            self._database.execute("UPDATE runs SET experiment = NULL WHERE own = ?", run[1:2])
        return True

    def first_left(self) -> str:
        """The first write that waits, for people."""
        return f"write {self._row('SELECT min(number) FROM writes')[0]} in {self.folder / JOURNAL}"

    def close(self) -> None:
        """Lets go of it."""
        self._database.close()

    def remove(self) -> None:
        """Deletes it, once all is sent; and the folder of spools if it was the last."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.folder.parent, self.folder.parent.parent):
            try:
                folder.rmdir()
            except OSError:  # there is something else in it
                return

    def _row(self, query: str) -> Any:
        return self._database.execute(query).fetchone()

    def _cross_out(self, number: int, run: tuple[str, str, str] | None) -> None:
        """Deletes a write that has been sent, and takes down which run the store made of which: both or neither."""
        with _explained(self.folder, _UNMARKED), self._database:
            self._database.execute("DELETE FROM writes WHERE number = ?", (number,))
            if run is not None:
                self._database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", run)
        self.sent += 1
        if run is not None:
            self.real[run[0]] = run[1]

    def _read(self, content: str) -> writes.Write:
        """A write that waits, with the place of its file on this machine."""
        try:
            write = writes.from_json(content)
        except ValueError as error:
            raise StoreError(f"A write of the spool cannot be sent: {error}. It can be deleted by hand.") from None
        if isinstance(write, writes.LogFile):
            return dataclasses.replace(write, file=str(self.folder / write.file))
        return write

    def _copied(self, file: Path, place: str) -> str:
        """Copies a file to a folder in the spool; the name of the copy, relative to it."""
        (self.folder / place).mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, (self.folder / place / file.name).open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        return f"{place}/{file.name}"


def make_journal(
    folder: Path, header: Header, real: Mapping[str, str], waiting: Iterable[str] = ()
) -> sqlite3.Connection:
    """A new journal, held by this process, with all of this or nothing in it; raises what SQLite raises."""
    database = _locked(folder, "rwc", patience=5.0)
    with database:
        database.execute("BEGIN")
        for statement in _TABLES.split(";"):
            database.execute(statement)
        database.execute("INSERT INTO stores VALUES (?)", (header.store,))
        experiments = ((id, *about) for id, about in header.experiments.items())
        database.executemany("INSERT INTO experiments VALUES (?, ?, ?)", experiments)
        database.executemany("INSERT INTO runs VALUES (?, ?, NULL)", real.items())
        database.executemany("INSERT INTO writes VALUES (?, ?)", enumerate(waiting, 1))
    return database


def held_elsewhere(folder: Path) -> StoreError:
    """What is said of a spool that another process has open."""
    return StoreError(f"The spool {folder} is held by a running qlab process, which sends it itself.")


def _held(folder: Path) -> sqlite3.Connection:
    file = folder / JOURNAL
    if not file.is_file():
        raise StoreError(f"{folder} is no spool: there is no {JOURNAL} in it.")
    if not os.access(file, os.R_OK | os.W_OK):
        raise StoreError(f"{folder} is no spool that can be sent: no permission to write {file}.")
    try:
        return _locked(folder, "rw", patience=0.0)
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise held_elsewhere(folder) from None
        raise StoreError(f"{folder} is no spool: {error}: {file}.") from None


def _locked(folder: Path, mode: str, patience: float) -> sqlite3.Connection:
    """A journal that nobody else can open until it is closed."""
    uri = f"{(folder / JOURNAL).absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(uri, uri=True, timeout=patience, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        database.commit()  # the lock stays
    except BaseException:
        database.close()
        raise
    return database


@contextlib.contextmanager
def _explained(folder: Path, words: str = _UNKEPT) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(words.format(folder=folder, reason=reason)) from None
