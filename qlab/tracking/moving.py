"""Embedded stores that were moved, copied or sent: their artifacts are beside the database, wherever that is by now.

MLflow's tables say where every experiment's and run's artifacts are, with full paths. Paths below the folder where a
store was before mean the same files below the folder where it is: the tables are mended when a store is opened
(:func:`settle`), for MLflow's own tools, and whatever is read from them is looked at once more (:meth:`Home.present`),
as another machine may know the store by another path and mend them back. Nothing is read from, or written to, where a
store was: a copy of it may live on there.

A folder that somebody has chosen for an experiment's artifacts on purpose stays as it is. qlab's own experiments have
a tag; of others, a folder that is there, and has no other copy of the database beside it, was chosen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sqlite3
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from qlab.tracking import names

_FOLDER: Final = "artifacts"
_LOCK_SECONDS = 10.0

_TABLES = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}
"""The tables with paths, and their columns."""

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclasses.dataclass(frozen=True)
class Home:
    """Where an embedded store is.

    Args:
        file: the database, without symbolic links.
        left: the folders of artifacts beside which it was before, as URIs' paths.
        chosen: the folders of artifacts that are elsewhere on purpose.
    """

    file: Path
    left: frozenset[PurePosixPath] = frozenset()
    chosen: frozenset[PurePosixPath] = frozenset()

    @property
    def artifacts(self) -> Path:
        """The folder of its artifacts."""
        return (self.file.parent / _FOLDER).resolve()

    def holds(self, location: str) -> bool:
        """Whether an experiment's location is the folder of artifacts."""
        return _path(location) == _path(self.artifacts.as_uri())

    def present(self, uri: str, run_id: str) -> str:
        """Where a run's artifacts are now, of which the database says that they are at ``uri``."""
        path = _path(uri)
        if path is None or (path.name, path.parent.name) != (_FOLDER, run_id):
            return uri
        folder = path.parent.parent
        if self._is_here(folder):
            return uri
        root = _root(folder)
        if root is None:
            return self._moved(path) or uri
        if root not in self.left and (root in self.chosen or _is_chosen(root, self, [run_id])):
            return uri
        return self._below(path.relative_to(root))

    def _moved(self, path: PurePosixPath) -> str | None:
        """The URI that a path has now; None if it has not changed."""
        if self._is_here(path):
            return None
        for root in sorted(self.left, key=lambda item: -len(item.parts)):
            if path.is_relative_to(root):
                return self._below(path.relative_to(root))
            # MLflow itself makes numbered folders where it is started, which for the default store is beside it.
            beside = path.relative_to(root.parent) if path.is_relative_to(root.parent) else PurePosixPath()
            if beside.parts and beside.parts[0].isdecimal():
                return (self.file.parent / beside).as_uri()
        return None

    def _is_here(self, path: PurePosixPath) -> bool:
        here = _path(self.artifacts.as_uri())
        return here is not None and path.is_relative_to(here)

    def _below(self, rest: PurePosixPath) -> str:
        return (self.artifacts / rest).as_uri()


def look(file: Path) -> Home:
    """Where a database is; nothing in it is changed, and whatever is read from it is to be looked at once more."""
    file = file.resolve()
    try:
        with contextlib.closing(
            sqlite3.connect(f"{file.as_uri()}?mode=ro", timeout=_LOCK_SECONDS, uri=True)
        ) as database:
            return _looked_up(database, Home(file))
    except sqlite3.Error:  # as in settle
        return Home(file)


def settle(file: Path) -> tuple[Home, str | None]:
    """Mends the paths in a database that is not where it was.

    Args:
        file: of an embedded store.

    Returns:
        Where it is; and a line for people if something was mended.
    """
    file = file.resolve()
    home = Home(file)
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=_LOCK_SECONDS, isolation_level=None)) as database:
            home = _looked_up(database, home)
            if not home.left:
                return home, None
            _mend(database, home)
    except sqlite3.Error:  # locked for long, or no database at all: whoever opens it says so
        return home, None
    before = ", ".join(sorted({str(_local(root.parent)) for root in home.left}))
    return home, f"The store was moved or copied here from {before}; its artifacts are now those in {home.artifacts}."


def _looked_up(database: sqlite3.Connection, home: Home) -> Home:
    tagged = database.execute("SELECT experiment_id FROM experiment_tags WHERE key = ?", (names.ARTIFACTS,))
    own = {number for (number,) in tagged}
    left, chosen = set(), set()
    for number, location in database.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall():
        path = _path(location or "")
        if path is None or home._is_here(path):
            continue
        root = path if number in own else _root(path)
        if root is None:
            continue
        runs = [run for (run,) in database.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", (number,))]
        if number not in own and _is_chosen(root, home, runs):
            chosen.add(root)
        elif not _is_same(root, home.file):
            left.add(root)
    return dataclasses.replace(home, left=frozenset(left), chosen=frozenset(chosen - left))


def _mend(database: sqlite3.Connection, home: Home) -> None:
    """Rewrites the paths, all or none."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for table, column in _TABLES.items():
            for (place,) in database.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall():
                path = _path(place or "")
                if path is not None and (now := home._moved(path)) is not None:
                    database.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (now, place))
                    if table == "experiments" and home.holds(now):
                        database.execute(
                            "INSERT OR IGNORE INTO experiment_tags (key, value, experiment_id) "
                            "SELECT ?, ?, experiment_id FROM experiments WHERE artifact_location = ?",
                            (names.ARTIFACTS, names.BESIDE, now),
                        )
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _path(uri: str) -> PurePosixPath | None:
    """The absolute path that a location says, with slashes, also one of another system; None for other locations."""
    if _DRIVE.match(uri):
        return PurePosixPath("/" + uri.replace("\\", "/"))
    if uri.lower().startswith("file:"):
        host, path = urlsplit(uri)[1:3]
        rest = uri[5:].removeprefix("//").removeprefix(host) if "#" in uri or "?" in uri else path
        path = unquote(rest).replace("\\", "/")
        return PurePosixPath(f"//{host}{path}" if host not in ("", "localhost") else path)
    return PurePosixPath(uri) if uri.startswith("/") else None


def is_path(location: str) -> bool:
    """Whether a location is a folder of some machine's disk."""
    return _path(location) is not None


def _local(path: PurePosixPath) -> Path:
    return Path(url2pathname(quote(str(path))))


def _root(location: PurePosixPath) -> PurePosixPath | None:
    """The folder of artifacts beside a database that an experiment's location is in: itself, or the one above it."""
    if location.name == _FOLDER:
        return location
    return location.parent if location.parent.name == _FOLDER and location.name.isdecimal() else None


def _is_same(root: PurePosixPath, file: Path) -> bool:
    """Whether beside a folder there is this very database, which has several paths then."""
    try:
        return (_local(root).parent / file.name).samefile(file)
    except (OSError, ValueError):
        return False


def _is_chosen(root: PurePosixPath, home: Home, runs: list[str]) -> bool:
    """Whether a folder holds artifacts of this store though it is not beside it."""
    folder = _local(root)
    try:
        if not folder.is_dir():
            return False
        if (folder.parent / home.file.name).exists():
            return _is_same(root, home.file)
        return not any((home.artifacts / run).exists() for run in runs)
    except (OSError, ValueError):
        return False
