"""Tables of runs by experiment, kept in memory and read again only where the store has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qlab.tracking import frames
from qlab.tracking.query import Query
from qlab.tracking.store import Store

WHOLE_SECONDS = 60.0
"""After so long all runs are read again: tags of finished runs may have changed."""

KEPT_EXPERIMENTS = 8
"""Experiments whose table of runs is kept in memory."""

KEPT_FILTERS = 32
"""Filters whose answers are kept in memory."""

_ENDED = ("FINISHED", "FAILED", "KILLED")

_AT_ONCE = 100
"""Running runs that are asked for in one query."""

_SETTLED_SECONDS = 1.0
"""A file that was written in the last so many seconds may be written again without that its time says so."""


class Stamp(NamedTuple):
    """What an SQLite file looks like from outside; another one after each write to it.

    Args:
        files: when the file and its write-ahead log were written, and their sizes.
        changes: SQLite's own count of changes, in the file's header.
    """

    files: tuple[tuple[int, int], ...]
    changes: bytes

    @classmethod
    def of(cls, file: Path | None) -> Stamp | None:
        """Of a file; None if it is none, is gone, or was written just now."""
        if file is None:
            return None
        found = []
        try:
            for path in (file, file.with_name(f"{file.name}-wal")):
                if path.exists():
                    about = path.stat()
                    found.append((about.st_mtime_ns, about.st_size))
            with file.open("rb") as opened:
                changes = opened.read(28)[24:]
        except OSError:
            return None
        last = max((written for written, _ in found), default=0)
        return cls(tuple(found), changes) if time.time_ns() - last > _SETTLED_SECONDS * 1e9 else None


class RunTables:
    """The runs of each experiment of a store, see :func:`qlab.tracking.frames.runs`. Not safe to share among threads.

    Args:
        store: gives the store.
        number: gives the id of an experiment of this name.
        file: the SQLite file, if the store is one.
    """

    def __init__(self, store: Callable[[], Store], number: Callable[[str], str], file: Path | None) -> None:
        self._store, self._number, self._file = store, number, file
        self._frames: dict[str, pd.DataFrame] = {}
        self._versions: dict[str, int] = {}
        self._whole: dict[str, float] = {}
        self._stamps: dict[str, Stamp | None] = {}
        self._last: dict[str, pd.DataFrame] = {}
        self._matching: dict[tuple[str, str], tuple[int, frozenset[str]]] = {}

    def clear(self) -> None:
        """Forgets all that was read; versions go on counting."""
        for kept in (self._frames, self._whole, self._stamps, self._last, self._matching):
            kept.clear()

    def runs(self, experiment: str, where: str = "") -> pd.DataFrame:
        """The runs, as last refreshed.

        Args:
            experiment: its name.
            where: an MLflow filter, which the store is asked to apply, once as long as no run changes.
        """
        if experiment not in self._frames:
            self.refresh(experiment)
        frame, where = self._frames[experiment], where.strip()
        if not where:
            return frame
        version, ids = self._matching.get((experiment, where), (0, frozenset()))
        if version != self._versions[experiment]:
            version = self._versions[experiment]
            found = self._store().search([self._number(experiment)], where, brief=True)
            ids = frozenset(str(run.info.run_id) for run in found)
            self._matching[experiment, where] = version, ids
            for oldest in list(self._matching)[:-KEPT_FILTERS]:
                del self._matching[oldest]
        return frame[frame["run_id"].isin(ids)]

    def refresh(self, experiment: str) -> int:
        """Reads what is new: runs that began since, and those that had not ended; nothing of a file as it was.

        Returns:
            A number that counts up with every change that is found.
        """
        store, old = self._store(), self._frames.get(experiment)
        store.check()
        stamp = Stamp.of(self._file)  # before it is read: what is written meanwhile is read the next time
        unchanged = stamp is not None and stamp == self._stamps.get(experiment)
        if old is not None and unchanged and _all_ended(old):
            return self._versions[experiment]
        due = not unchanged and time.monotonic() - self._whole.get(experiment, -WHOLE_SECONDS) >= WHOLE_SECONDS
        if old is None or old.empty or due:
            new = frames.runs(store, [self._number(experiment)])
            self._whole[experiment] = time.monotonic()
            # Of a file that is as it was when all of it was read nothing can be missing.
            self._stamps[experiment] = stamp
            self._last.pop(experiment, None)
        else:
            new = self._newer(store, experiment, old)
        if old is None or (new is not old and not _same(old, new)):
            self._keep(experiment, new)
            self._versions[experiment] = self._versions.get(experiment, 0) + 1
        return self._versions[experiment]

    def _keep(self, experiment: str, frame: pd.DataFrame) -> None:
        self._frames.pop(experiment, None)
        self._frames[experiment] = frame
        for oldest in list(self._frames)[:-KEPT_EXPERIMENTS]:
            for kept in (self._frames, self._last, self._stamps, self._whole):
                kept.pop(oldest, None)

    def _newer(self, store: Store, experiment: str, old: pd.DataFrame) -> pd.DataFrame:
        ids = [self._number(experiment)]
        last = pd.to_numeric(old["start"]).max()
        pieces = [frames.runs(store, ids, Query(since=int(last)))]
        open_runs = old.loc[~old["status"].isin(_ENDED), "run_id"].tolist()
        for start in range(0, len(open_runs), _AT_ONCE):
            pieces.append(frames.runs(store, ids, Query(run_ids=tuple(open_runs[start : start + _AT_ONCE]))))
        known = [piece for piece in pieces if not piece.empty]
        found = pd.concat(known).drop_duplicates("run_id") if known else old.iloc[:0]
        before, self._last[experiment] = self._last.get(experiment), found
        if before is not None and _same(before, found):
            return old
        kept = old[~old["run_id"].isin([*found["run_id"], *open_runs])]
        every = pd.concat([kept, found]).drop_duplicates("run_id")
        # As MLflow does: runs may begin together.
        return frames.restated(every.sort_values(["start", "run_id"], ignore_index=True))


def _all_ended(frame: pd.DataFrame) -> bool:
    """Whether no run goes on: of one that does not, other files than the store's say whether somebody runs it."""
    return bool(frame["status"].isin(_ENDED).all())


def _same(old: pd.DataFrame, new: pd.DataFrame) -> bool:
    """Whether two frames say the same, in whatever order their columns are."""
    return set(old.columns) == set(new.columns) and new[old.columns].equals(old)
