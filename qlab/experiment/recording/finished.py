"""Which runs that a claim is about had finished when it was written."""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from qlab.claims.history import Version
from qlab.experiment.asking.claim_groups import Made
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.recording.recorder import Recorder
from qlab.tracking import names
from qlab.tracking.groups import OVER
from qlab.tracking.query import Query

_KINDS = (names.TRIAL, names.UNLEARNING, names.PROBE)


class Finished:
    """The finished runs of an experiment.

    Args:
        recorder: of the experiment.
        experiment: as it is asked for.
        run_ids: of everything that is finished, by key.
    """

    def __init__(self, recorder: Recorder, experiment: Experiment, run_ids: Mapping[str, str]) -> None:
        self._recorder = recorder
        self._experiment = experiment
        self._keys = run_ids.keys()
        self._made = Made(experiment.items)

    def before(self, history: Sequence[Version], time: str = "") -> int:
        """How many runs of a claim's groups, as it was or as it is, had finished.

        Args:
            history: its versions until then.
            time: when, in ISO 8601; now, if it is empty.
        """
        limit = datetime.datetime.fromisoformat(time).timestamp() * 1000.0 if time else math.inf
        if self._experiment.selection is not None:  # which runs these are says the choice; all that were reported count
            return sum(_ended(run) <= limit for run in self._runs if OVER in run.data.params)
        keys = {
            item.key
            for version in history
            for group in (version["claim"]["of"], version["claim"]["than"])
            if isinstance(group, Mapping)
            for item in self._made.members(group)
        }
        done = keys & self._keys
        return len(done) if not time or not done else sum(self._first.get(key, 0.0) <= limit for key in done)

    def counted(self, history: Sequence[Version]) -> list[Version]:
        """The same versions with how many runs of this run of the experiment had finished when each was written."""
        return [
            {**version, "runs": self.before(history[:place], str(version["time"]))}
            for place, version in enumerate(history, start=1)
        ]

    def any_of(self, history: Sequence[Version], *, here: bool) -> bool:
        """Whether any run of a claim's groups has finished; of one of other runs of the experiment, any run."""
        return bool(self.before(history) if here else self._runs)

    @functools.cached_property
    def _runs(self) -> list[Any]:
        found = self._recorder.store.search([self._recorder.experiment_id], Query(status="FINISHED"))
        return [run for run in found if run.data.tags.get(names.KIND) in _KINDS]

    @functools.cached_property
    def _first(self) -> dict[str, float]:
        """When each first finished, by key, in milliseconds since the epoch."""
        found: dict[str, float] = {}
        for run in self._runs:
            key = str(run.data.tags.get(names.TRIAL_KEY))
            found[key] = min(_ended(run), found.get(key, math.inf))
        return found


def _ended(run: Any) -> float:
    return float(run.info.end_time or 0)
