"""What a copy of runs from one store into another has to do: decided from what both have."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pandas as pd

from qlab.tracking import names

KINDS: Final = (
    names.EXPERIMENT,
    names.TRIAL,
    names.SELECTION,
    names.UNLEARNING,
    names.ORACLE,
    names.SHADOW,
    names.PROBE,
)

FOREIGN: Final = "not qlab's"
SUPERSEDED: Final = "of what has another run that finished"
ORPHANED: Final = "of a run that is left out"

TAGS: Final = (names.CONTENT, names.COPIED)
"""Tags that a frame has to have as columns for a plan, see :func:`qlab.tracking.frames.frame_of`."""

_Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Item:
    """A run to copy.

    Args:
        run_id: in the source.
        kind: see :mod:`qlab.tracking.names`.
        name: for people.
        origin: the run that it was first, if it is a copy itself.
        above: the run in the source that it belongs to, which is copied before it or is there; None if it is gone.
        below: all runs in the source that it is below.
        status: in the source; ``RUNNING`` of an experiment that goes on, ``INTERRUPTED`` of what nobody runs any more.
        into: the run in the destination that is completed; None if one is made.
    """

    run_id: str
    kind: str
    name: str
    origin: str
    above: str | None
    below: frozenset[str]
    status: str
    into: str | None = None


@dataclasses.dataclass(frozen=True)
class CopyPlan:
    """What is to be done of one experiment.

    Args:
        items: the runs to copy, each after the one that it belongs to.
        there: runs of the destination that stand for runs of the source, by the source's.
        done: how many of the source's results the destination has.
        half_made: runs of the destination to delete: an earlier copy was stopped in the middle of them.
        whole: runs of the destination that are whole though their tag does not say so yet, with their origins.
        running: names of runs that are under way in the source.
        left_out: how many other runs are not copied, by the reason.
    """

    items: tuple[Item, ...]
    there: dict[str, str]
    done: int
    half_made: tuple[str, ...]
    whole: dict[str, str]
    running: tuple[str, ...]
    left_out: collections.Counter[str]


def plan_copy(source: pd.DataFrame, destination: pd.DataFrame, *, every: bool = False) -> CopyPlan:
    """Compares the runs of an experiment in two stores.

    Of each trial (unlearning run, oracle, probe) the last finished run is copied, unless the destination has one. An
    experiment's own run is copied if it finished or has something to copy below it; one of the same content is reused.

    Args:
        source: see :func:`qlab.tracking.frames.frame_of`, with :data:`TAGS`.
        destination: the same of the other store.
        every: whether to copy also what failed or was interrupted, and has finished in neither store.
    """
    return _Planner(_rows(source), _rows(destination), every).plan()


def origin_of(row: _Row) -> str:
    """The run that a run was first."""
    return (row[names.COPIED] or str(row["run_id"])).removeprefix(names.COPYING)


class _Planner:
    def __init__(self, source: list[_Row], destination: list[_Row], every: bool) -> None:
        self._source = {str(row["run_id"]): row for row in source}
        self._destination = destination
        self._every = every
        self._there: dict[str, str] = {}
        self._instead: dict[str, str] = {}
        """Runs of the source by others that do not count beside them."""
        self._left_out: collections.Counter[str] = collections.Counter()
        self._running: list[str] = []
        self._done = 0
        self._chosen: list[_Row] = []
        self._into: dict[str, str] = {}

    def plan(self) -> CopyPlan:
        results: list[_Row] = []
        parents: list[_Row] = []
        for row in self._source.values():
            if row["kind"] not in KINDS:
                self._left_out[FOREIGN] += 1
            else:
                (parents if row["kind"] == names.EXPERIMENT else results).append(row)
        self._choose_results(results)
        self._choose_parents(parents)
        items = self._ordered()
        origins = {origin_of(row) for row in self._source.values()}
        half_made = (row for row in self._destination if _is_half_made(row) and row["kind"] != names.EXPERIMENT)
        return CopyPlan(
            tuple(items),
            {run_id: self._there[self._stands_for(run_id)] for run_id in self._source if self._is_there(run_id)},
            self._done,
            tuple(str(row["run_id"]) for row in half_made if row["status"] != "RUNNING" and origin_of(row) in origins),
            {
                str(row["run_id"]): origin_of(row)
                for row in self._destination
                if row["status"] == "FINISHED" and (row[names.COPIED] or "").startswith(names.COPYING)
            },
            tuple(self._running),
            +self._left_out,
        )

    def _choose_results(self, rows: list[_Row]) -> None:
        finished = {_identity(row): row for row in _by_start(rows) if row["status"] == "FINISHED"}
        theirs = {_identity(row): row for row in _by_start(self._destination) if row["status"] == "FINISHED"}
        copies = {origin_of(row): row for row in self._destination if not _is_half_made(row)}
        for row in rows:
            run_id, identity = str(row["run_id"]), _identity(row)
            last = finished.get(identity, row)
            if last is not row:
                self._instead[run_id] = str(last["run_id"])
                self._left_out[SUPERSEDED] += 1
            elif (hit := theirs.get(identity)) is not None or (hit := copies.get(origin_of(row))) is not None:
                self._there[run_id] = str(hit["run_id"])
                self._done += 1
            elif row["status"] == "RUNNING":
                self._running.append(_described(row))
            elif row["status"] == "FINISHED" or self._every:
                self._chosen.append(row)
            else:
                self._left_out[str(row["status"]).lower()] += 1

    def _choose_parents(self, rows: list[_Row]) -> None:
        groups: dict[tuple[object, ...], list[_Row]] = {}
        for row in sorted(rows, key=lambda row: (row["status"] == "FINISHED", row["start"])):
            groups.setdefault(_identity(row), []).append(row)
        wanted = {above for row in self._chosen for above in self._above(row)}
        theirs = {
            _identity(row): row for row in reversed(_by_start(self._destination)) if row["kind"] == names.EXPERIMENT
        }
        for identity, (*others, row) in groups.items():
            run_id = str(row["run_id"])
            self._instead |= {str(other["run_id"]): run_id for other in others}
            self._left_out[SUPERSEDED] += len(others)
            hit = theirs.get(identity)
            needed = not wanted.isdisjoint(str(member["run_id"]) for member in (*others, row))
            if hit is not None:
                self._there[run_id] = str(hit["run_id"])
                self._done += 1
                finished = row["status"] == "FINISHED"
                idle = hit["status"] not in ("FINISHED", "RUNNING") and hit[names.COPIED] is not None
                if idle and (finished or (_is_half_made(hit) and (needed or row["status"] != "RUNNING"))):
                    self._into[run_id] = self._there.pop(run_id)
                    self._done -= 1
                    self._chosen.append(row)
            elif row["status"] == "FINISHED" or needed or (self._every and row["status"] != "RUNNING"):
                self._chosen.append(row)
            elif row["status"] != "RUNNING":
                self._left_out[str(row["status"]).lower()] += 1
            if row["status"] == "RUNNING":
                self._running.append(_described(row))

    def _ordered(self) -> list[Item]:
        """The chosen runs, each after what it belongs to; those whose own is left out are left out too."""
        items: dict[str, Item] = {}
        left = _by_start(self._chosen)
        while left:
            later = []
            for row in left:
                above = None if row["parent_id"] is None else self._stands_for(str(row["parent_id"]))
                if above in self._source and above not in items and not self._is_there(above):
                    later.append(row)
                else:
                    item = self._item(row, above if above in self._source else None)
                    items[item.run_id] = item
            if len(later) == len(left):
                self._left_out[ORPHANED] += len(left)
                break
            left = later
        return list(items.values())

    def _item(self, row: _Row, above: str | None) -> Item:
        run_id, kind = str(row["run_id"]), str(row["kind"])
        return Item(
            run_id,
            kind,
            str(row["name"]),
            origin_of(row),
            above,
            frozenset(map(self._stands_for, self._above(row))),
            str(row["status"]),
            self._into.get(run_id),
        )

    def _stands_for(self, run_id: str) -> str:
        return self._instead.get(run_id, run_id)

    def _is_there(self, run_id: str) -> bool:
        return self._stands_for(run_id) in self._there

    def _above(self, row: _Row) -> Iterable[str]:
        """What a run belongs to, and what that belongs to; a store may say that something belongs to itself."""
        seen: set[str] = set()
        while row["parent_id"] in self._source and row["parent_id"] not in seen:
            seen.add(str(row["parent_id"]))
            row = self._source[self._stands_for(str(row["parent_id"]))]
        return seen


def _rows(frame: pd.DataFrame) -> list[_Row]:
    columns = ["run_id", "parent_id", "kind", "trial", "name", "status", "start", *TAGS]
    found = frame.reindex(columns=columns).astype(object)
    return [
        {str(key): value for key, value in row.items()} for row in found.where(found.notna(), None).to_dict("records")
    ]


def _identity(row: _Row) -> tuple[object, ...]:
    """What a run is of, in any store."""
    key = row[names.CONTENT] if row["kind"] == names.EXPERIMENT else row["trial"]
    return (row["kind"], key) if key else ("run", origin_of(row))


def _is_half_made(row: _Row) -> bool:
    return row["status"] != "FINISHED" and (row[names.COPIED] or "").startswith(names.COPYING)


def _by_start(rows: Iterable[_Row]) -> list[_Row]:
    return sorted(rows, key=lambda row: row["start"])


def _described(row: _Row) -> str:
    return f"{row['name']} (run {row['run_id']})"
