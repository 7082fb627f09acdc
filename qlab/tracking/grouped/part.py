"""Parts of a group: members that were written together, a row for each in a Parquet file, beside it stacked tensors.

Columns: ``key``, ``name``, ``status``, ``start``, ``end`` and ``datasets``; ``params.NAME`` and ``tags.NAME`` as MLflow
has them; ``metrics.NAME``, the last value; ``values.NAME``, ``steps.NAME`` and ``times.NAME``, lists of all of them;
``files.PATH``, what is in a file; ``form.PATH`` and ``row.PATH``, where a file is in the stack, see
:mod:`qlab.tracking.grouped.stack`. A cell is empty where a part says nothing of it: then an earlier part may.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from qlab.digests import file_digest
from qlab.tracking.grouped.member import Change, Series
from qlab.tracking.grouped.stack import SUFFIX, NotStackable, Place, Stack, Stacked

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "parts"
"""The folder among a group's artifacts."""

TABLE = ".parquet"

_FIXED = ("key", "name", "status", "start", "end", "datasets")
_READ = ("params.", "tags.", "metrics.")
"""How the columns begin that are read at once; the others are read when they are asked for."""

_METRICS_KEPT = 64


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a group's run says of a part, in a tag: it is there when the part is whole.

    Args:
        name: of its files, which says what is in them.
        number: of the part in its group: what a later part says of a member counts.
        members: how many it has.
        table: the SHA-256 of its table.
        stack: of its stacked tensors; empty if there are none.
    """

    name: str
    number: int
    members: int
    table: str
    stack: str = ""

    @classmethod
    def read(cls, name: str, text: str) -> Self | None:
        """What a tag says; None if it says something else."""
        try:
            found = json.loads(text)
            return cls(name, int(found["number"]), int(found["members"]), str(found["table"]), str(found["stack"]))
        except (ValueError, KeyError, TypeError):
            return None

    def text(self) -> str:
        """The tag's value."""
        return json.dumps({name: value for name, value in dataclasses.asdict(self).items() if name != "name"})

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of its files, by their artifacts' paths."""
        found = {f"{FOLDER}/{self.name}{TABLE}": self.table}
        return found | ({f"{FOLDER}/{self.name}{SUFFIX}": self.stack} if self.stack else {})


def write_part(changes: Sequence[Change], number: int, folder: Path) -> tuple[Entry, list[Path]]:
    """Writes a part.

    Args:
        changes: of its members, one for each.
        number: of the part in its group.
        folder: where to.
    """
    import pyarrow.parquet as pq

    stack = Stack()
    table, tensors = folder / "table", folder / "tensors"
    pq.write_table(_table(changes, stack), table, compression="zstd")
    files = {TABLE: table}
    if stack:
        stack.save(tensors)
        files[SUFFIX] = tensors
    digests = {suffix: file_digest(path) for suffix, path in files.items()}
    name = hashlib.sha256(" ".join(digests.values()).encode()).hexdigest()[:16]
    made = [path.rename(folder / f"{name}{suffix}") for suffix, path in files.items()]
    return Entry(name, number, len(changes), digests[TABLE], digests.get(SUFFIX, "")), made


def _table(changes: Sequence[Change], stack: Stack) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for name in _FIXED:
        kind = pa.int64() if name in ("start", "end") else pa.string()
        columns[name] = pa.array([getattr(change, name) for change in changes], kind)
    for table in ("params", "tags"):
        for name in sorted({name for change in changes for name in getattr(change, table)}):
            texts = [getattr(change, table).get(name) for change in changes]
            columns[f"{table}.{name}"] = pa.array(texts, pa.string())
    for name in sorted({name for change in changes for name in change.metrics}):
        own = [Series.joined(change.metrics[name]) if name in change.metrics else None for change in changes]
        columns[f"metrics.{name}"] = pa.array([None if series is None else series.last for series in own], pa.float64())
        columns[f"values.{name}"] = _lists([None if series is None else series.values for series in own], pa.float64())
        columns[f"steps.{name}"] = _lists([None if series is None else series.steps for series in own], pa.int64())
        columns[f"times.{name}"] = _lists([None if series is None else series.times for series in own], pa.int64())
    for path in sorted({path for change in changes for path in change.contents}):
        columns |= _files(path, [change.contents.get(path) for change in changes], stack)
    return pa.table(columns)


def _files(path: str, contents: Sequence[bytes | None], stack: Stack) -> dict[str, pa.Array]:
    import pyarrow as pa

    if path.endswith(SUFFIX):
        try:
            places = [None if content is None else stack.add(path, content) for content in contents]
        except NotStackable:
            pass
        else:
            return {
                f"form.{path}": pa.array([None if place is None else place.form for place in places], pa.int32()),
                f"row.{path}": pa.array([None if place is None else place.row for place in places], pa.int32()),
            }
    return {f"files.{path}": pa.array(contents, pa.large_binary())}


def _lists(own: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Arrays, or nothing, as a column of lists."""
    import pyarrow as pa

    lengths = np.array([0 if values is None else len(values) for values in own], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    known = [values for values in own if values is not None]
    flat = pa.array(np.concatenate(known) if known else np.empty(0), kind, from_pandas=False)
    missing = np.array([*(values is None for values in own), False])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64(), mask=missing), flat)


class Part:
    """A part that was read.

    Args:
        entry: what its group says of it.
        table: its table, on this machine.
        fetch: brings its stacked tensors to this machine.
    """

    def __init__(self, entry: Entry, table: Path, fetch: Callable[[], Path]) -> None:
        import pyarrow.parquet as pq

        self.entry = entry
        self._path = table
        self._fetch = fetch
        self._stacked: Stacked | None = None
        self._columns = pq.read_schema(table).names
        self._lists: dict[str, list[Any]] = {}
        self._series: dict[str, list[Series | None]] = {}
        wanted = [name for name in self._columns if name in _FIXED or name.startswith(_READ)]
        self._read = pq.read_table(table, columns=wanted)
        self.keys: list[str] = self._read.column("key").to_pylist()

    def fixed(self, name: str) -> list[Any]:
        """One of the columns that every part has."""
        return self._read.column(name).to_pylist()

    def group(self, prefix: str) -> dict[str, list[Any]]:
        """The columns of a kind by what follows in their names: of ``params``, ``tags`` or ``metrics``."""
        names = [name for name in self._read.column_names if name.startswith(f"{prefix}.")]
        return {name.partition(".")[2]: self._read.column(name).to_pylist() for name in names}

    def series(self, metric: str) -> list[Series | None]:
        """All values of a metric of each member; of the metrics that were asked for last they are kept."""
        if metric not in self._series:
            if len(self._series) >= _METRICS_KEPT:
                self._series.pop(next(iter(self._series)))
            self._series[metric] = self._read_series(metric)
        return self._series[metric]

    def _read_series(self, metric: str) -> list[Series | None]:
        if f"values.{metric}" not in self._columns:
            return [None] * len(self.keys)
        import pyarrow.parquet as pq

        found = pq.read_table(self._path, columns=[f"{kind}.{metric}" for kind in ("steps", "values", "times")])
        steps, values, times = (_pieces(found.column(number)) for number in range(3))
        return [
            None if own is None else Series(own, value, time)
            for own, value, time in zip(steps, values, times, strict=True)
        ]

    @property
    def metrics(self) -> list[str]:
        """The names of those that some member has values of."""
        return [name.partition(".")[2] for name in self._columns if name.startswith("values.")]

    def paths(self, row: int) -> list[str]:
        """The paths of a member's files."""
        return [
            name.partition(".")[2]
            for name in self._columns
            if name.startswith(("files.", "form.")) and self._list(name)[row] is not None
        ]

    def content(self, path: str, row: int) -> bytes | None:
        """A member's file; None if this part has none.

        Raises:
            ValueError, OSError: the stacked tensors cannot be read.
        """
        if f"form.{path}" in self._columns and (form := self._list(f"form.{path}")[row]) is not None:
            if self._stacked is None:
                self._stacked = Stacked(self._fetch())
            return self._stacked.content(Place(form, self._list(f"row.{path}")[row]))
        found = self._list(f"files.{path}")[row] if f"files.{path}" in self._columns else None
        return None if found is None else bytes(found)

    def _list(self, column: str) -> list[Any]:
        if column not in self._lists:
            import pyarrow.parquet as pq

            self._lists[column] = pq.read_table(self._path, columns=[column]).column(0).to_pylist()
        return self._lists[column]


def _pieces(column: pa.ChunkedArray) -> list[Any]:
    """A column of lists as arrays; None where there is none."""
    found: list[Any] = []
    for chunk in column.chunks:
        flat = np.asarray(chunk.values.to_numpy(zero_copy_only=False))
        offsets = chunk.offsets.to_numpy()
        known = chunk.is_valid().to_pylist()
        found += [flat[offsets[row] : offsets[row + 1]] if here else None for row, here in enumerate(known)]
    return found
