"""What of an experiment is done, and what is to be run together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import pandas as pd

from qlab.experiment.schema import Experiment
from qlab.experiment.trial import Trial
from qlab.tracking import frames
from qlab.tracking.store import Store


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The trials of an experiment, sorted by whether the store has them.

    Args:
        experiment: what is asked for.
        done: finished trials and their run ids.
        states: for trials that were started but not finished, the status of their last run.
        ensembles: what is left, in groups that train together.
    """

    experiment: Experiment
    done: dict[str, str]
    states: dict[str, str]
    ensembles: tuple[tuple[Trial, ...], ...]

    @classmethod
    def of(cls, experiment: Experiment, store: Store | None) -> Self:
        """Compares an experiment with a store; without a store everything is left to do."""
        known = _known(experiment, store)
        finished = known[known["status"] == "FINISHED"]
        done = dict(zip(finished["trial"], finished["run_id"], strict=True))
        states = {key: status for key, status in zip(known["trial"], known["status"], strict=True) if key not in done}
        groups: dict[str, list[Trial]] = {}
        for trial in experiment.trials:
            if trial.key not in done:
                groups.setdefault(trial.ensemble_key, []).append(trial)
        return cls(experiment, done, states, tuple(tuple(group) for group in groups.values()))

    @property
    def todo(self) -> Sequence[Trial]:
        """The trials that are left."""
        return [trial for group in self.ensembles for trial in group]


def _known(experiment: Experiment, store: Store | None) -> pd.DataFrame:
    """The experiment's trials as the store has them, a row for each."""
    experiment_id = None if store is None else store.find_experiment(experiment.name)
    if store is None or experiment_id is None:
        return pd.DataFrame(columns=list(frames.COLUMNS))
    frame = frames.latest_per_trial(frames.trials(store, [experiment_id]))
    return frame[frame["trial"].isin([trial.key for trial in experiment.trials])]
