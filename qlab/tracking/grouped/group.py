"""A group as it was read: its members, each folded of what the parts say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from qlab.tracking import names
from qlab.tracking.grouped.address import address
from qlab.tracking.grouped.member import DELETED, Data, Info, Member, Series
from qlab.tracking.grouped.part import Part


@dataclasses.dataclass(eq=False)
class Row:
    """A member, and where the parts have it.

    Args:
        member: what is known of it.
        places: parts, and its row in them, in the order of the parts.
    """

    member: Member
    places: list[tuple[Part, int]]


class Group:
    """The members of one group.

    Args:
        run_id: of the group's run.
        experiment_id: its MLflow experiment.
        kind: of the members, see :mod:`qlab.tracking.names`.
        name: of the group's run.
    """

    def __init__(self, run_id: str, experiment_id: str, kind: str, name: str) -> None:
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.kind = kind
        self.name = name
        self.rows: dict[str, Row] = {}
        self._parts: dict[str, Part] = {}

    @property
    def parts(self) -> dict[str, Part]:
        """What has been read, by the parts' names."""
        return dict(self._parts)

    @property
    def next_number(self) -> int:
        """Of the part that is written next."""
        return max((part.entry.number for part in self._parts.values()), default=0) + 1

    def add(self, parts: list[Part]) -> None:
        """Takes in parts; earlier ones that come later have everything folded again."""
        last = self.next_number - 1
        self._parts |= {part.entry.name: part for part in parts}
        if any(part.entry.number <= last for part in parts):
            self.rows = {}
            parts = list(self._parts.values())
        for part in sorted(parts, key=lambda part: (part.entry.number, part.entry.name)):
            self._fold(part)

    def members(self) -> Iterator[Member]:
        """Those that are not deleted."""
        return (row.member for row in self.rows.values() if row.member.info.status != DELETED)

    def series(self, key: str, metric: str) -> Series | None:
        """All values of one of a member's metrics."""
        found = [own for part, place in self.rows[key].places if (own := part.series(metric)[place]) is not None]
        return Series.joined(found) if found else None

    def paths(self, key: str) -> list[str]:
        """The paths of a member's files."""
        return sorted({path for part, place in self.rows[key].places for path in part.paths(place)})

    def content(self, key: str, path: str) -> bytes | None:
        """What is in a member's file; None if it has none of this path."""
        for part, place in reversed(self.rows[key].places):
            if (found := part.content(path, place)) is not None:
                return found
        return None

    def _fold(self, part: Part) -> None:
        fixed = {name: part.fixed(name) for name in ("name", "status", "start", "end", "datasets")}
        texts = {kind: part.group(kind) for kind in ("params", "tags")}
        metrics = part.group("metrics")
        for place, key in enumerate(part.keys):
            row = self.rows.get(key)
            status, start = fixed["status"][place], fixed["start"][place]
            if start is not None:  # all of it: what was begun again has nothing of what was before
                if row is not None and row.member.info.status == "FINISHED" and status not in ("FINISHED", DELETED):
                    continue
                row = self.rows[key] = Row(self._empty(key, start), [])
            elif row is None:
                continue  # the part that it was begun in is lost
            row.places.append((part, place))
            info, data = row.member.info, row.member.data
            info.run_name = fixed["name"][place] or info.run_name
            info.status = status or info.status
            info.end_time = info.end_time if fixed["end"][place] is None else fixed["end"][place]
            row.member.datasets = fixed["datasets"][place] or row.member.datasets
            data.params |= _told(texts["params"], place)
            for name, text in _told(texts["tags"], place).items():
                if text:
                    data.tags[name] = text
                else:
                    data.tags.pop(name, None)
            data.metrics |= _told(metrics, place)

    def _empty(self, key: str, start: int) -> Member:
        info = Info(address(self.run_id, key), self.experiment_id, "", "RUNNING", start, None)
        return Member(info, Data({}, {names.KIND: self.kind, names.TRIAL_KEY: key}, {}))


def _told(columns: dict[str, list[Any]], place: int) -> dict[str, Any]:
    return {name: found for name, values in columns.items() if (found := values[place]) is not None}
