"""States of trainings whose runs are kept together: of an ensemble one file, in the artifacts of the experiment's run.

As for single runs there are two files, of which the older is written next, and a tag that names the newer one when it
is whole, see :mod:`qlab.experiment.recording.resumption`. A third file says whose the state is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qlab.digests import file_digest
from qlab.errors import StoreError
from qlab.experiment.asking.trial import Trial, content_hash
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.resumption import Interrupted, entries_of, load_state
from qlab.models import Model
from qlab.tracking import names
from qlab.tracking.query import Query
from qlab.training.state import TrainingState

_MEMBERS = "members.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Left:
    """States that an ensemble has left in an experiment's run.

    Args:
        run_id: the experiment's run.
        name: of the ensemble.
        entries: what the tag says of the states' files, the newest first.
        keys: the ensemble's trials, in order.
        data: a digest of their data, where their task has one.
        metrics: digests of the further metrics of each, by name.
    """

    run_id: str
    name: str
    entries: Sequence[dict[str, Any]]
    keys: Sequence[str]
    data: str | None
    metrics: Sequence[Mapping[str, str]]


class GroupStates:
    """Writes the states of an ensemble.

    Args:
        recorder: of the experiment.
        materials: the trials' data.
        parent: the experiment's run.
        trials: of the ensemble.
        versions: see :class:`qlab.experiment.recording.resumption.StateWriter`.
    """

    def __init__(
        self,
        recorder: Recorder,
        materials: Materials,
        parent: str,
        trials: Sequence[Trial],
        versions: Sequence[Mapping[str, str]],
    ) -> None:
        self._recorder = recorder
        self._parent = parent
        keys = [trial.key for trial in trials]
        self._name = content_hash(keys)
        self._about = {"keys": keys, "metrics": [dict(own) for own in versions], "data": _digest(materials, trials[0])}
        self._entry: dict[str, Any] | None = None

    def __call__(self, state: TrainingState) -> None:
        """Writes a state; an older one, of a job that is run again, is not written."""
        previous, store = self._entry, self._recorder.store
        if previous is not None and previous["epoch"] >= state.epoch:
            return
        slots = _slots(self._name)
        file = slots[previous is not None and previous["file"] == slots[0]]
        place = str(Path(file).parent)
        with self._recorder.tracking(), tempfile.TemporaryDirectory() as folder:
            if previous is None:
                members = Path(folder) / _MEMBERS
                members.write_text(json.dumps(self._about), encoding="utf-8")
                store.log_file(self._parent, members, place)
            path = Path(folder) / Path(file).name
            state.save(path)
            entry = {"file": file, "sha256": file_digest(path), "epoch": state.epoch}
            store.log_file(self._parent, path, place)
            shown = entry if previous is None else {**entry, "previous": previous}
            store.set_tags(self._parent, {_tag(self._name): json.dumps(shown)})
        self._entry = entry

    def remove(self, index: int) -> None:
        """A member's run has ended, and is not in a part yet: nothing is taken away."""

    def finished(self) -> None:
        """The ensemble's runs have ended: when they are in parts, its states are not needed any more."""
        if self._entry is not None:
            with self._recorder.tracking():
                self._recorder.store.flush()
                _delete(self._recorder, self._parent, self._name)


def left_states(recorder: Recorder) -> list[Left]:
    """What ensembles have left in the experiment's runs."""
    with recorder.tracking():
        kind = Query({names.KIND: names.EXPERIMENT})
        runs = list(recorder.store.search([recorder.experiment_id], kind))
        return [left for run in runs for left in _of_run(recorder, run)]


def delete_unneeded(recorder: Recorder) -> None:
    """Deletes states of ensembles all of whose trials have finished."""
    for left in left_states(recorder):
        if left.keys and set(left.keys) <= recorder.run_ids.keys():
            with recorder.tracking():
                recorder.store.flush()  # first they are in parts
                _delete(recorder, left.run_id, left.name)


def interrupted_together(
    recorder: Recorder, materials: Materials, trials: Sequence[Trial], model: Model, left: Sequence[Left]
) -> dict[str, Interrupted]:
    """Those of some trials that can go on where they were interrupted, by key.

    Args:
        recorder: of the experiment, which it holds.
        materials: the trials' data.
        trials: of one ensemble.
        model: their model, built.
        left: see :func:`left_states`.
    """
    wanted = {trial.key for trial in trials}
    found: dict[str, Interrupted] = {}
    for own in left:
        places = [place for place, key in enumerate(own.keys) if key in wanted]
        if not places:
            continue
        first = trials[0]
        if own.data != _digest(materials, first):
            recorder.reporter.notice(
                f"{first.setting}: its data are others than before the interruption; it starts anew"
            )
            continue
        for entry in own.entries:
            state = load_state(recorder, first.setting, own.run_id, entry)
            if state is None or not state.fits(model) or len(state) != len(own.keys):
                continue
            if state.epoch > first.trainer.epochs:
                continue
            for place in places:
                said = entry | {"metrics": dict(own.metrics[place])}
                found[own.keys[place]] = Interrupted("", state.members(slice(place, place + 1)), said, ())
            break
    return found


def _of_run(recorder: Recorder, run: Any) -> Iterator[Left]:
    run_id = str(run.info.run_id)
    for tag, text in run.data.tags.items():
        name = tag.removeprefix(f"{names.RESUME}.")
        entries = entries_of(text, _slots(name)) if name != tag else []
        if not entries:
            continue
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(StoreError, ValueError, KeyError, TypeError):
            path = f"{Path(_slots(name)[0]).parent}/{_MEMBERS}"
            about = json.loads(recorder.store.fetch_file(run_id, path, Path(folder)).read_text(encoding="utf-8"))
            keys = [str(key) for key in about["keys"]]
            if len(about["metrics"]) == len(keys):
                yield Left(run_id, name, entries, keys, about["data"], about["metrics"])


def _digest(materials: Materials, trial: Trial) -> str | None:
    with contextlib.suppress(Exception):  # what fails here fails in the job as well, which says so
        return materials.data_digest(trial.task)
    return None


def _slots(name: str) -> tuple[str, str]:
    folder = Path(names.RESUME_SLOTS[0]).parent
    first, second = (f"{folder}/{name}/{Path(slot).name}" for slot in names.RESUME_SLOTS)
    return first, second


def _tag(name: str) -> str:
    return f"{names.RESUME}.{name}"


def _delete(recorder: Recorder, run_id: str, name: str) -> None:
    """Takes states away; the tag last, so that nothing is left where there is none."""
    recorder.store.delete_local_folder(run_id, str(Path(_slots(name)[0]).parent))
    recorder.store.delete_tag(run_id, _tag(name))
