"""The group form of tracking: what is written to members is gathered and put into parts, and read from there.

Who writes and reads runs does not see it: members have ids (:mod:`qlab.tracking.grouped.address`) that a store takes
like those of runs. A part is written when a job ends, and named in a tag of the group's run when its files are whole;
so whatever kills a command, what the tags name is there, and what they do not name was not finished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qlab.digests import file_digest
from qlab.errors import StoreAwayError, StoreError
from qlab.tracking import names
from qlab.tracking.grouped.address import address, group_of, key_of
from qlab.tracking.grouped.group import Group
from qlab.tracking.grouped.member import DELETED, ENDED, Change, Member, Series, series_of
from qlab.tracking.grouped.part import FOLDER, TABLE, Entry, Part, write_part
from qlab.tracking.grouped.stack import SUFFIX
from qlab.tracking.groups import differs_within
from qlab.tracking.mlflow_runs import MlflowRuns
from qlab.tracking.query import Query
from qlab.tracking.writes import DatasetRecord, MetricRow

_REST_SECONDS = 2.0
"""Jobs that end sooner after the last part share the next one: less than this is lost if the command is killed."""

_SHARE = 4.0
"""Between parts there is this much more time than writing them takes."""

_MOST_SECONDS = 60.0


@dataclasses.dataclass(eq=False)
class Flaw:
    """A part that cannot be read.

    Args:
        members: how many it has.
        what: what is wrong, a sentence.
    """

    members: int
    what: str


class Groups:
    """The groups of a store.

    Args:
        runs: the store, for runs of MLflow.

    Attributes:
        flaws: parts that could not be read, by their names.
        touched: the groups that members were written to, by the ids of their runs.
    """

    def __init__(self, runs: MlflowRuns) -> None:
        self._runs = runs
        self._lock = threading.RLock()
        self._loaded: dict[str, Group] = {}
        self._known: dict[str, dict[tuple[str, str], str]] = {}
        self._pending: dict[str, Change] = {}
        self._forgotten: set[str] = set()
        self._folder: Path | None = None
        self._written = 0.0
        self._took = 0.0
        self.flaws: dict[str, Flaw] = {}
        self.touched: dict[str, Group] = {}

    # Writing

    def create(
        self,
        experiment_id: str,
        name: str,
        together: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        datasets: Sequence[DatasetRecord],
        start: int,
    ) -> str:
        """Begins a member, and returns its id.

        Args:
            experiment_id: the MLflow experiment.
            name: of the member.
            together: the name of its group, if that is to be made.
            params: of the member.
            tags: of the member; among them its kind, key and group.
            datasets: what it says of its data.
            start: in milliseconds since the epoch.
        """
        key = tags[names.TRIAL_KEY]
        with self._lock:
            group = self._group_for(experiment_id, together, params, tags)
            described = [dataclasses.asdict(record) for record in datasets]
            run_id = address(group, key)
            self._forgotten.discard(run_id)
            self._pending[run_id] = Change(
                key,
                name,
                "RUNNING",
                start,
                params=dict(params),
                tags=dict(tags),
                datasets=json.dumps(described) if described else None,
            )
            return run_id

    def log(
        self,
        run_id: str,
        *,
        metrics: Iterable[MetricRow] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Logs values and params, and sets tags."""
        with self._lock:
            change = self._change(run_id)
            change.log(series_of(metrics))
            change.params |= params or {}
            change.tags |= tags or {}

    def log_series(self, run_id: str, metrics: Mapping[str, Series]) -> None:
        """Logs values of metrics that are arrays."""
        with self._lock:
            self._change(run_id).log(metrics)

    def log_inputs(self, run_id: str, records: Sequence[DatasetRecord]) -> None:
        """Says what data a member used."""
        with self._lock:
            self._change(run_id).datasets = json.dumps([dataclasses.asdict(record) for record in records])

    def add_file(self, run_id: str, path: str, content: bytes) -> None:
        """Keeps a file of a member."""
        with self._lock:
            self._change(run_id).contents[path] = content

    def finish(self, run_id: str, status: str, time: int) -> None:
        """Ends a member, or starts it again. One that is killed and was never in a part is forgotten."""
        with self._lock:
            change = self._change(run_id)
            if status in ("KILLED", DELETED) and change.start is not None:
                del self._pending[run_id]
                self._forgotten.add(run_id)
                return
            change.status = status
            change.end = None if status == "RUNNING" else time

    def is_due(self) -> bool:
        """Whether a part is to be written now that a job has ended."""
        rest = min(max(_REST_SECONDS, _SHARE * self._took), _MOST_SECONDS)
        return time.monotonic() - self._written > rest

    def flush(self) -> None:
        """Puts what has ended, and what was added to it, into parts: one for each group.

        Raises:
            StoreError: a group's run is gone, or the store is away.
        """
        with self._lock:
            start = time.monotonic()
            groups: dict[str, list[str]] = {}
            for run_id, change in self._pending.items():
                if change.status is None or change.status in ENDED:
                    groups.setdefault(group_of(run_id), []).append(run_id)
            for group, run_ids in groups.items():
                self._flush(group, run_ids)
            if groups:
                self._written = time.monotonic()
                self._took = self._written - start

    def closed(self) -> None:
        """The runs of all groups have ended; who writes to one starts it again."""
        with self._lock:
            self.touched.clear()
            self._known.clear()

    def _flush(self, group_id: str, run_ids: Sequence[str]) -> None:
        group = self._group(group_id)
        changes = [self._settled(self._pending[run_id]) for run_id in run_ids]
        with tempfile.TemporaryDirectory() as place:
            entry, files = write_part(changes, group.next_number, Path(place))
            try:
                for file in files:
                    self._runs.log_file(group_id, file, FOLDER)
                self._runs.log(group_id, tags={names.PART + entry.name: entry.text()})
            except StoreAwayError:
                raise
            except StoreError as error:
                raise self._refused(group, len(changes), error) from None
            kept = [self._kept(group_id, file) for file in files]
        group.add([Part(entry, kept[0], lambda: kept[-1])])
        self.touched[group_id] = group
        for run_id in run_ids:
            del self._pending[run_id]

    def _settled(self, change: Change) -> Change:
        """What is written, with the ids that the store knows runs by."""
        if parent := change.tags.get(names.PARENT):
            change.tags[names.PARENT] = self.known_as(parent)
        return change

    def _kept(self, group_id: str, file: Path) -> Path:
        """A part's file where it stays as long as this object."""
        local = self._runs.local_file(group_id, f"{FOLDER}/{file.name}")
        if local is not None and local.is_file():
            return local
        return file.rename(self._place() / file.name) if self._same_disk(file) else self._copied(file)

    def _same_disk(self, file: Path) -> bool:
        return file.stat().st_dev == self._place().stat().st_dev

    def _copied(self, file: Path) -> Path:
        copy = self._place() / file.name
        copy.write_bytes(file.read_bytes())
        return copy

    def _refused(self, group: Group, members: int, error: StoreError) -> StoreError:
        with contextlib.suppress(StoreError):
            if self._runs.get_run(group.run_id).info.lifecycle_stage == "deleted":
                return StoreError(
                    f"The run {group.run_id} ({group.name}), which keeps runs that differ in their seed together, was "
                    f"deleted while it was written to: {members} more could not be added. Restore it in the MLflow UI "
                    "and run again to go on; if it stays deleted, what was in it is run anew."
                )
        return error

    def _change(self, run_id: str) -> Change:
        if run_id in self._forgotten and run_id not in self._pending:
            return Change(key_of(run_id))
        return self._pending.setdefault(run_id, Change(key_of(run_id)))

    def _group_for(self, experiment_id: str, together: str, params: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """The run of a member's group, which is made, or started again, by the first member of this command."""
        kind, own = tags[names.KIND], tags[names.GROUP]
        known = self._known.setdefault(experiment_id, {})
        if (kind, own) in known:
            return known[kind, own]
        wanted = Query({names.MEMBERS: kind, names.GROUP: own})
        found = [str(run.info.run_id) for run in self._runs.groups_of([experiment_id], wanted)]
        worker = {names.WORKER: tags[names.WORKER]} if names.WORKER in tags else {}
        if found:
            run_id = found[0]
            self._runs.log(run_id, tags=worker)
            self._runs.finish(run_id, "RUNNING")
            self._group(run_id)
        else:
            shared = {name: text for name, text in params.items() if not differs_within(name)}
            kept = {name: text for name, text in tags.items() if name not in _OF_ONE}
            if names.PARENT in kept:
                kept[names.PARENT] = group_of(kept[names.PARENT])
            kept |= {names.KIND: f"{kind}{names.GROUPED}", names.MEMBERS: kind, names.NOTE: _NOTE}
            run_id = self._runs.create_run(experiment_id, together, params=shared, tags=kept)
            self._loaded[run_id] = Group(run_id, experiment_id, kind, together)
        self.touched[run_id] = self._loaded[run_id]
        known[kind, own] = run_id
        return run_id

    # Reading

    def known_as(self, run_id: str) -> str:
        """The id that the store knows a run or member by."""
        group, key = group_of(run_id), key_of(run_id)
        return address(self._runs.known_as(group), key) if key else self._runs.known_as(group)

    def members(self, run: Any, query: Query) -> list[Member]:
        """The members of a group that are asked for.

        Args:
            run: of the group, as MLflow has it.
            query: in words that need no MLflow.
        """
        with self._lock:
            return [member for member in self._read(run).members() if query.matches(member)]

    def get(self, run_id: str) -> Member:
        """A member.

        Raises:
            StoreError: there is none.
        """
        with self._lock:
            self.flush()
            row = self._group(group_of(run_id), key_of(run_id)).rows.get(key_of(run_id))
            if row is None or row.member.info.status == DELETED:
                raise StoreError(f"The run {group_of(run_id)} keeps no run {key_of(run_id)}.")
            return row.member

    def series(self, run_id: str, metric: str) -> Series | None:
        """All values of a member's metric."""
        with self._lock:
            self.get(run_id)
            return self._group(group_of(run_id)).series(key_of(run_id), metric)

    def history(self, run_id: str) -> list[MetricRow]:
        """All values of all metrics of a member, in order of names, steps and times."""
        with self._lock:
            rows: list[MetricRow] = []
            for name in sorted(self.get(run_id).data.metrics):
                if (own := self.series(run_id, name)) is not None:
                    rows += own.rows(name)
        return sorted(rows, key=lambda row: (row[0], row[2], row[3]))

    def histories(self, run_ids: Iterable[str], metric: str) -> dict[str, list[tuple[int, float]]]:
        """All values of a metric of many members, by member, with their steps; those without it are left out."""
        found = {}
        with self._lock:
            self.flush()
            for run_id in run_ids:
                group = self._group(group_of(run_id), key_of(run_id))
                if key_of(run_id) in group.rows and (own := group.series(key_of(run_id), metric)) is not None:
                    found[run_id] = own.pairs()
        return found

    def paths(self, run_id: str) -> list[str]:
        """The paths of a member's files that can be read."""
        with self._lock:
            self.get(run_id)
            return self._group(group_of(run_id)).paths(key_of(run_id))

    def name_of(self, run_id: str) -> str:
        """What a member's group is called."""
        with self._lock:
            return self._group(group_of(run_id)).name

    def has_file(self, run_id: str, path: str) -> bool:
        """Whether a member has a file that can be read."""
        try:
            self.content(run_id, path)
        except StoreAwayError:
            raise
        except StoreError:
            return False
        return True

    def sizes(self, run_id: str) -> dict[str, int]:
        """The paths of a member's files, and how many bytes each has."""
        return {path: len(self.content(run_id, path)) for path in self.paths(run_id)}

    def content(self, run_id: str, path: str) -> bytes:
        """What is in one of a member's files.

        Raises:
            StoreError: it has none of this path, or its part is damaged.
        """
        with self._lock:
            self.get(run_id)
            try:
                found = self._group(group_of(run_id)).content(key_of(run_id), path)
            except (ValueError, KeyError, OSError) as error:
                raise StoreError(f"{path} of run {run_id} cannot be read: {error}") from None
        if found is None:
            raise StoreError(f"The run {run_id} has no file {path}.")
        return found

    def _group(self, run_id: str, key: str = "") -> Group:
        """A group, read if it is not here, or is here without a member of this key."""
        run_id = run_id if run_id in self._loaded else self._runs.known_as(run_id)
        group = self._loaded.get(run_id)
        if group is None or (key and key not in group.rows):
            group = self._read(self._runs.get_run(run_id))
        return group

    def _read(self, run: Any) -> Group:
        """A group with all the parts that its run names."""
        run_id, tags = str(run.info.run_id), run.data.tags
        group = self._loaded.setdefault(
            run_id, Group(run_id, str(run.info.experiment_id), tags.get(names.MEMBERS, ""), str(run.info.run_name))
        )
        new = []
        known = group.parts
        for tag, text in tags.items():
            name = tag.removeprefix(names.PART)
            if name == tag or name in known:
                continue
            entry = Entry.read(name, text)
            if entry is None:
                self._flaw(group, name, 0, "what the run says of it cannot be read")
            elif (part := self._part(group, entry)) is not None:
                new.append(part)
        if new:
            group.add(new)
        return group

    def _part(self, group: Group, entry: Entry) -> Part | None:
        path = f"{FOLDER}/{entry.name}{TABLE}"
        if entry.name in self.flaws:
            return None
        try:
            file = self._brought(group.run_id, path)
            if file_digest(file) != entry.table:
                self._flaw(group, entry.name, entry.members, f"{path} is damaged")
                return None
            return Part(entry, file, lambda: self._tensors(group, entry))
        except StoreAwayError:
            raise
        except (StoreError, OSError):
            self._flaw(group, entry.name, entry.members, f"{path} is missing")
            return None

    def _tensors(self, group: Group, entry: Entry) -> Path:
        path = f"{FOLDER}/{entry.name}{SUFFIX}"
        what = "is missing"
        try:
            file = self._brought(group.run_id, path)
            if file_digest(file) == entry.stack:
                return file
            what = "is damaged"
        except StoreAwayError:
            raise
        except (StoreError, OSError):
            pass
        self._flaw(group, f"{entry.name}{SUFFIX}", entry.members, f"{path} {what}")
        raise ValueError(f"{path} of run {group.run_id} {what}")

    def _brought(self, run_id: str, path: str) -> Path:
        """A file of a group's run on this machine."""
        local = self._runs.local_file(run_id, path)
        if local is not None:
            if not local.is_file():
                raise StoreError(f"{local} is missing")
            return local
        kept = self._place() / Path(path).name
        if kept.is_file():
            return kept
        folder = self._place() / run_id
        folder.mkdir(exist_ok=True)
        return self._runs.fetch_file(run_id, path, folder)

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="qlab-parts-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def _flaw(self, group: Group, name: str, members: int, what: str) -> None:
        if name in self.flaws:
            return
        said = f"Run {group.run_id} ({group.name}): {what}; {members or 'some'} of its runs cannot be read from it."
        self.flaws[name] = Flaw(members, said)
        self._runs.tell(f"{said} Running the experiment again makes what is missing anew.")


_OF_ONE = (names.TRIAL_KEY, names.SEED, names.TEACHER, names.HEALTH, names.DATA)
"""Tags of members that their groups do not have."""

_NOTE = (
    "Runs that differ in nothing but their seed, kept together. Metrics are of all of them: `NAME_mean`, `NAME_std` "
    "(n - 1), `NAME_median`, `NAME_q05`, `NAME_q95` and `NAME_n` over epochs or steps, `NAME` the last mean. Each run "
    "is a row in `parts/*.parquet`, with its parameters in the safetensors file beside it."
)
