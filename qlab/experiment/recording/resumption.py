"""States of trainings under way among the artifacts of their runs: written now and then, found after an interruption.

Each trial has two files, of which the older is written next. Its tag ``qlab.resume`` names the newer one, with its
epoch and checksum, and is set after the file is complete: whenever the command is killed, the tag names a file that is
whole.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qlab.digests import file_digest
from qlab.errors import DataError, StoreError
from qlab.experiment.asking.measurement import Measurement
from qlab.experiment.asking.trial import Trial
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.planning.same_data import other_data
from qlab.experiment.recording.recorder import Recorder
from qlab.models import Model
from qlab.tracking import names, standing
from qlab.tracking.query import Query
from qlab.tracking.store import Store
from qlab.training.state import TrainingState


@dataclasses.dataclass(frozen=True, eq=False)
class Interrupted:
    """A trial that was interrupted, and the state it can go on from.

    Args:
        run_id: its run; empty if it was kept together with others, and has none before it ends.
        state: of one member.
        entry: what the tag says of the state's file.
        metrics: the names of those that the run has.
        running: whether the store takes it to be running.
    """

    run_id: str
    state: TrainingState
    entry: dict[str, Any]
    metrics: tuple[str, ...]
    running: bool = False

    def has_curve(self, item: Measurement) -> bool:
        """Whether a metric has been taken in this version after each epoch so far, as far as there have been any.

        Epochs after the state may have been logged: that nothing was taken before it does not make versions the same.
        """
        versions = self.entry.get("metrics")
        version = versions.get(item.name) if isinstance(versions, dict) else None
        if version is None:
            return not self.state.evaluated
        return bool(version == item.digest) and (not self.state.evaluated or item.name in self.state.history)


class StateWriter:
    """Writes the states of an ensemble's trials to their runs.

    Args:
        recorder: of the experiment.
        run_ids: the members' runs.
        before: called first; it makes sure that the metrics up to this state are in the store.
        entries: what the tags say already, of members that were taken up again.
        versions: the digests of the further metrics of each member that are taken after each epoch, by name.
    """

    def __init__(
        self,
        recorder: Recorder,
        run_ids: Sequence[str],
        before: Callable[[], None],
        entries: Sequence[dict[str, Any] | None],
        versions: Sequence[Mapping[str, str]],
    ) -> None:
        self._recorder = recorder
        self._run_ids = run_ids
        self._before = before
        self._entries = list(entries)
        self._versions = versions

    def __call__(self, state: TrainingState) -> None:
        """Writes the state of every member; an older one, of a job that is run again, is not written."""
        if any(entry is not None and entry["epoch"] >= state.epoch for entry in self._entries):
            return
        with self._recorder.tracking(), tempfile.TemporaryDirectory() as folder:
            self._before()
            for index, run_id in enumerate(self._run_ids):
                previous = self._entries[index]
                file = names.RESUME_SLOTS[previous is not None and previous["file"] == names.RESUME_SLOTS[0]]
                path = Path(folder) / Path(file).name
                state.members(slice(index, index + 1)).save(path)
                entry: dict[str, Any] = {"file": file, "sha256": file_digest(path), "epoch": state.epoch}
                if self._versions[index]:
                    entry["metrics"] = dict(self._versions[index])
                self._recorder.store.log_file(run_id, path, str(Path(file).parent))
                shown = entry if previous is None else {**entry, "previous": previous}
                self._recorder.store.set_tags(run_id, {names.RESUME: json.dumps(shown)})
                self._entries[index] = entry

    def remove(self, index: int) -> None:
        """Takes away what is not needed any more: the member's run is finished."""
        if self._entries[index] is not None:
            _delete_state(self._recorder.store, self._run_ids[index])

    def finished(self) -> None:
        """All have ended: nothing is left."""


def delete_left_states(recorder: Recorder) -> None:
    """Deletes states of trainings that had finished when their command was killed."""
    with recorder.tracking():
        left = Query(status="FINISHED", having=names.RESUME)
        for run in list(recorder.store.search([recorder.experiment_id], left)):
            _delete_state(recorder.store, str(run.info.run_id))


def _delete_state(store: Store, run_id: str) -> None:
    """Takes away the states of a run that is finished; the tag last, so that nothing is left where there is none."""
    store.delete_local_folder(run_id, str(Path(names.RESUME_SLOTS[0]).parent))
    store.delete_tag(run_id, names.RESUME)


def interrupted_trials(
    recorder: Recorder, materials: Materials, trials: Sequence[Trial], model: Model, unfinished: Mapping[str, str]
) -> dict[str, Interrupted]:
    """Those of some trials that can go on where they were interrupted, by key.

    Args:
        recorder: of the experiment, which it holds.
        materials: the trials' data.
        trials: of one ensemble.
        model: their model, built.
        unfinished: the last run of trials that were interrupted, by key.
    """
    found = {}
    for trial in trials:
        run_id = unfinished.get(trial.key)
        if run_id is None:
            continue
        run = recorder.store.get_run(run_id)
        entries = entries_of(run.data.tags.get(names.RESUME))
        if entries and other_data(materials, run, trial):
            recorder.reporter.notice(f"{trial.label}: its data are others than before the interruption; it starts anew")
            entries = []
        for entry in entries:
            state = load_state(recorder, trial.label, run_id, entry)
            if state is not None and state.fits(model) and state.epoch <= trial.trainer.epochs:
                running = run.info.status == "RUNNING"
                found[trial.key] = Interrupted(run_id, state, entry, tuple(run.data.metrics), running)
                break
        else:
            if run.info.status == "RUNNING":  # its command is gone, or the experiment could not be held
                recorder.end([run_id], "KILLED", standing.REASON)
    return found


def with_curves(
    recorder: Recorder, interrupted: Mapping[str, Interrupted], items: Iterable[Measurement]
) -> dict[str, Interrupted]:
    """Those interrupted trials that lead to whole curves; the others start anew, and that is said.

    Args:
        recorder: of the experiment, which it holds.
        interrupted: the trials, by key.
        items: the further metrics of trials that are taken after each epoch.
    """
    left = dict(interrupted)
    lost: dict[str, int] = {}
    for item in items:
        saved = interrupted.get(item.of.key)
        if saved is not None and not saved.has_curve(item):
            lost[item.name] = lost.get(item.name, 0) + 1
            if left.pop(item.of.key, None) is not None and saved.running:
                recorder.end([saved.run_id], "KILLED", standing.REASON)
    for name, trials in lost.items():
        recorder.reporter.notice(
            f"{name}: {trials} {'trial was' if trials == 1 else 'trials were'} interrupted before this version of the "
            f"metric was asked for, and {'starts' if trials == 1 else 'start'} anew, for the whole curve"
        )
    return left


def entries_of(text: str | None, slots: Sequence[str] = names.RESUME_SLOTS) -> list[dict[str, Any]]:
    """The states that a tag names, the newest first.

    Args:
        text: the tag's value.
        slots: the files that it may name.
    """
    try:
        newest = json.loads(text or "{}")
        previous = newest.pop("previous", None)
    except (ValueError, AttributeError, TypeError):
        return []
    return [
        entry
        for entry in (newest, previous)
        if isinstance(entry, dict) and entry.keys() >= {"file", "sha256", "epoch"} and entry["file"] in slots
    ]


def load_state(recorder: Recorder, label: str, run_id: str, entry: Mapping[str, Any]) -> TrainingState | None:
    """A state, or None if its file is not what was written, which is said."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = recorder.store.fetch_file(run_id, entry["file"], Path(folder))
            if file_digest(path) == entry["sha256"]:
                return TrainingState.load(path)
            reason = "is damaged"
        except StoreError:
            reason = "is missing"
        except DataError:
            reason = "is of another version"
    recorder.reporter.notice(f"{label}: its state after epoch {entry['epoch']} {reason} and is not used")
    return None
