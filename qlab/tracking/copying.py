"""Copying runs from one store into another, with all they have; see :mod:`qlab.tracking.copy_plan` for which ones.

A run is made running, with a tag that says that it is being copied; it gets its status when everything is in it, and an
experiment's own run when everything below it is there. So whatever stops a copy, nothing that is half made looks whole,
and the same command again deletes it or goes on with it. Nothing is written to the source.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import mlflow.entities as entities
import pandas as pd

from qlab import interrupts
from qlab.errors import QlabError, StoreAwayError, StoreError
from qlab.tracking import frames, names, whole
from qlab.tracking.copy_plan import TAGS, CopyPlan, Item, plan_copy
from qlab.tracking.grouped.address import is_member
from qlab.tracking.holding import HeldError
from qlab.tracking.lock import experiment_lock
from qlab.tracking.redaction import redact
from qlab.tracking.sameness import check_addresses, check_contents
from qlab.tracking.spreads import close_groups
from qlab.tracking.standing import INTERRUPTED, REASON
from qlab.tracking.store import MetricRow, Status, Store
from qlab.tracking.uri import resolve
from qlab.words import counted

Progress = Callable[[str, int, int], None]
"""Is told an experiment's name, how many of its runs are copied, and how many are to be."""

_PARAMS = 100
"""MLflow takes so many params at once."""

_NOT_CARRIED = (names.CLIENT, names.SUMMARY, names.PARENT, names.COPIED)
"""Tags that mean something in one store only."""

_PARTLY = "copied in part: not everything below it was there to be copied; copy it again"
_STOPPED = "the copy was stopped; copy it again"


_WORDS = {
    names.TRIAL: "trial",
    names.SELECTION: "selection trial",
    names.UNLEARNING: "unlearning run",
    names.ORACLE: "oracle",
    names.SHADOW: "shadow model",
    names.PROBE: "probe",
    names.EXPERIMENT: "parent",
}
_UNFINISHED = ("failed", "killed", "interrupted")
_HINT = " (--all copies also failed, killed and interrupted runs, and what belongs to them)"


@dataclasses.dataclass
class Copied:
    """What came of a copy.

    Args:
        runs: how many were copied, by kind.
        experiments: of which experiments.
        there: how many were there already.
        left_out: how many others were not copied, by the reason.
        running: what goes on in the source.
        failed: what could not be copied, and why.
    """

    runs: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    experiments: set[str] = dataclasses.field(default_factory=set)
    there: int = 0
    left_out: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    running: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)

    def lines(self) -> list[str]:
        """What was copied and what was left out, for people."""
        found = [f"still running, not copied: {', '.join(self.running)}"] if self.running else []
        if self.left_out:
            others = ", ".join(f"{self.left_out[why]} {why}" for why in sorted(self.left_out))
            hint = "" if self.left_out.keys().isdisjoint(_UNFINISHED) else _HINT
            found.append(f"left out: {others}{hint}")
        numbers = [counted(self.runs[kind], word) for kind, word in _WORDS.items() if self.runs[kind]]
        copied = "nothing"
        if numbers:
            copied = f"{', '.join(numbers)} of {counted(len(self.experiments), 'experiment')}"
        return [*found, f"copied {copied}; {self.there} were there already"]


def copy(
    source_uri: str,
    destination_uri: str,
    wanted: Sequence[str] = (),
    *,
    every: bool = False,
    progress: Progress = lambda name, done, total: None,
    tell: Callable[[str], None] | None = None,
) -> Copied:
    """Copies the runs of experiments.

    Args:
        source_uri: a tracking URI.
        destination_uri: another; an embedded store is made there if there is none.
        wanted: names of experiments, by default all.
        every: see :func:`qlab.tracking.copy_plan.plan_copy`.
        progress: is told how far it is.
        tell: see :class:`qlab.tracking.store.Store`.

    Raises:
        ConfigError: both are the same store.
        StoreError: one of them cannot be opened, or has not such an experiment.
    """
    source_uri, destination_uri = resolve(source_uri), resolve(destination_uri)
    check_addresses(source_uri, destination_uri)
    source = Store(source_uri, read_only=True, create=False, tell=tell)
    ids = source.experiment_ids(wanted)
    destination = Store(destination_uri, tell=tell)
    check_contents(source, destination)
    named = {number: name for name, number in source.experiments().items()}
    copies = [_Copy(source, destination, named[number], number, every) for number in ids]
    copied = Copied()
    todo = [item for item in copies if item.look()]
    for item in todo:
        item.open()
    for item in copies:
        try:
            if item in todo:
                item.run(copied, progress)
        except StoreAwayError as error:
            copied.failed[f"the rest of {item.name}"] = f"{error} Give the same command again to go on."
            return copied
        item.count(copied)
    copied.failed |= {f"part {name}": flaw.what for name, flaw in source.groups.flaws.items()}
    return copied


class _Copy:
    """The copy of one experiment."""

    def __init__(self, source: Store, destination: Store, name: str, source_id: str, every: bool) -> None:
        self.name = name
        self._source = source
        self._destination = destination
        self._source_id = source_id
        self._id: str | None = destination.find_experiment(name)
        self._every = every
        self._runs = {str(run.info.run_id): run for run in source.search([source_id])}
        self._frame = frames.frame_of(source, self._runs.values(), TAGS)
        self._plan = self._planned()

    def look(self) -> bool:
        """Whether there is something to do."""
        return bool(self._plan.items or self._plan.half_made or self._plan.whole)

    def open(self) -> None:
        """Makes the experiment where it is missing, with the tags that it has in the source."""
        self._id = self._destination.experiment_id(self.name)
        ours, theirs = self._source.experiment_tags(self._source_id), self._destination.experiment_tags(self._id)
        missing = ours.keys() - theirs.keys() - {names.ARTIFACTS, names.COPIED}
        if missing:
            self._destination.set_experiment_tags(self._id, {key: ours[key] for key in missing})

    def count(self, copied: Copied) -> None:
        """Adds what there was nothing to do about."""
        copied.there += self._plan.done
        copied.left_out += self._plan.left_out
        copied.running += self._plan.running

    def run(self, copied: Copied, progress: Progress) -> None:
        """Copies what is left, unless another command copies or runs the experiment in the destination."""
        assert self._id is not None
        with experiment_lock(self._destination, self._id) as lock:
            try:
                lock.acquire(wait=False)
            except HeldError as held:
                copied.failed[self.name] = f"another command is working on it in the destination: {held.holder}"
                return
            self._plan = self._planned(held=True)  # others may have made some of it
            for run_id in self._plan.half_made:
                self._destination.delete_run(run_id)
            for run_id, origin in self._plan.whole.items():
                self._destination.set_tags(run_id, {names.COPIED: origin})
            executor = _Executor(self._source, self._destination, self._id, self._runs, self._plan)
            executor.copy(self.name, copied, progress)
            close_groups(self._destination)

    def _planned(self, *, held: bool = False) -> CopyPlan:
        theirs = pd.DataFrame(columns=["run_id"])
        if self._id is not None:
            theirs = frames.frame_of(self._destination, self._destination.search([self._id]), TAGS)
            if held:  # so that nobody else is at what says that it is running
                theirs["status"] = theirs["status"].replace("RUNNING", INTERRUPTED)
        return plan_copy(self._frame, theirs, every=self._every)


class _Executor:
    """Makes the runs of one experiment in the destination."""

    def __init__(
        self,
        source: Store,
        destination: Store,
        experiment_id: str,
        runs: Mapping[str, entities.Run],
        plan: CopyPlan,
    ) -> None:
        self._source = source
        self._destination = destination
        self._experiment_id = experiment_id
        self._runs = runs
        self._items = plan.items
        self._made = dict(plan.there)
        """Runs in the destination, by the source's."""
        self._open: list[Item] = []
        """Runs of experiments, which end last."""
        self._short: set[str] = set()
        """Runs of the source below which something could not be copied."""

    def copy(self, name: str, copied: Copied, progress: Progress) -> None:
        """Copies the runs, and counts them."""
        try:
            for number, item in enumerate(self._items):
                progress(name, number, len(self._items))
                try:
                    self._copy(item)
                except StoreAwayError:
                    raise
                except StoreError as error:
                    copied.failed[_label(item)] = redact(str(error))
                    self._short |= {item.run_id, *item.below}
                else:
                    copied.runs[item.kind] += 1
                    copied.experiments.add(name)
            while self._open:
                self._close(self._open[-1])
                self._open.pop()
            progress(name, len(self._items), len(self._items))
        except BaseException:
            interrupts.heed()
            with contextlib.suppress(QlabError):
                self._destination.end([self._made[item.run_id] for item in self._open], "KILLED", _STOPPED)
            raise

    def _copy(self, item: Item) -> None:
        if item.above is not None and item.above not in self._made:
            raise StoreError("the run that it belongs to was not copied")
        run = self._runs[item.run_id]
        values = whole.history(self._source, run)
        with whole.files_of(self._source, run) as files:
            made = self._begin(item, run)
            try:
                self._fill(made, run, values)
                for name, file in files.items():
                    self._destination.log_file(made, file, name.rpartition("/")[0] or None)
                if item.kind != names.EXPERIMENT:
                    self._finish(made, item, values)
            except BaseException:
                interrupts.heed()
                if item.into is None:
                    with contextlib.suppress(QlabError):
                        self._destination.delete_run(made)
                raise
        self._made[item.run_id] = made
        if item.kind == names.EXPERIMENT:
            self._open.append(item)

    def _begin(self, item: Item, run: entities.Run) -> str:
        """A running run that says that it is being copied; one that an earlier copy made is one again."""
        tags = {key: value for key, value in run.data.tags.items() if key not in _NOT_CARRIED}
        if run.info.status == "FINISHED":
            tags.pop(names.RESUME, None)
        tags |= {names.COPIED: names.COPYING + item.origin}
        if item.above is not None:
            tags[names.PARENT] = self._made[item.above]
        if item.into is None:
            start = run.info.start_time
            group = self._source.groups.name_of(item.run_id) if is_member(item.run_id) else None
            return self._destination.create_run(
                self._experiment_id,
                run.info.run_name,
                params=run.data.params if group else None,
                tags=tags,
                start=start,
                together=group,
            )
        self._destination.set_tags(item.into, tags)
        self._destination.delete_tag(item.into, names.ERROR)
        self._destination.finish(item.into, "RUNNING")
        return item.into

    def _fill(self, made: str, run: entities.Run, values: Sequence[MetricRow]) -> None:
        params = list(run.data.params.items())
        if params or values:
            self._destination.log(made, metrics=values, params=dict(params[:_PARAMS]))
        for start in range(_PARAMS, len(params), _PARAMS):
            self._destination.log(made, params=dict(params[start : start + _PARAMS]))
        whole.log_inputs(self._destination, made, run.inputs.dataset_inputs if run.inputs else [])

    def _close(self, item: Item) -> None:
        """Ends the run of an experiment: as in the source if all below it is there."""
        made = self._made[item.run_id]
        if item.status == "RUNNING" or item.run_id in self._short:
            self._destination.end([made], "KILLED", _PARTLY)
        else:
            self._finish(made, item, [])

    def _finish(self, made: str, item: Item, values: Sequence[MetricRow]) -> None:
        """Ends a run that is whole; its tag says so last."""
        run = self._runs[item.run_id]
        tags = {names.COPIED: item.origin}
        status: Status = run.info.status
        if item.status == INTERRUPTED:
            status = "KILLED"
            tags[names.ERROR] = run.data.tags.get(names.ERROR, REASON)
        last = max((time for _, _, _, time in values), default=run.info.start_time)
        self._destination.finish(made, status, run.info.end_time or last)
        self._destination.set_tags(made, tags)


def _label(item: Item) -> str:
    return f"{item.name} (run {item.run_id})"
