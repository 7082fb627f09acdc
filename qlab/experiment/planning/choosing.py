"""What is chosen, from the metrics of candidates in the store."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qlab.experiment.asking.experiment import Experiment, remapped, with_methods
from qlab.experiment.asking.selection import Group, Option, Selection
from qlab.experiment.asking.trial import Trial, Unlearning
from qlab.experiment.asking.values import plain, with_values
from qlab.experiment.planning.measured import standing_of
from qlab.fields import show
from qlab.tracking import frames, names
from qlab.tracking.store import Store

_MOST_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Scored:
    """One option of a group.

    Args:
        option: its values.
        scores: of its candidates that finished, in the order of seeds.
        of: how many candidates there are.
        lost: what is wrong with the others: "1 failed".
    """

    option: Option
    scores: tuple[float, ...]
    of: int
    lost: str

    @property
    def is_open(self) -> bool:
        """Whether a candidate has not been tried to its end, or failed and may be tried again."""
        return any(word in self.lost for word in ("not run", "not measured", "failed", "killed", "running", "interrup"))

    @property
    def mean(self) -> float:
        """The mean score, NaN if a candidate has none: then the option is not chosen."""
        return float(np.mean(self.scores)) if len(self.scores) == self.of else math.nan


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is chosen for one group.

    Args:
        group: the group.
        scored: its options, in the order of the file.
        best: the place of the chosen one; None if there is none.
        score: the metric's name.
    """

    group: Group
    scored: tuple[Scored, ...]
    best: int | None
    score: str

    @property
    def option(self) -> Option | None:
        """The chosen values."""
        return None if self.best is None else self.scored[self.best].option

    @property
    def line(self) -> str:
        """The choice for people: "MLP, ratio 0.2: learning_rate 0.03 of 0.01, 0.03, by selection_accuracy 0.91"."""
        if self.best is None:
            return f"{self.group.label}: nothing: {self.why}"
        if len(self.scored) == 1:
            return f"{self.group.label}: has one configuration"
        best = self.scored[self.best]
        values = ", ".join(
            f"{key.partition('.')[2]} {_shown(best.option[key])} of {self._values(key)}" for key in best.option
        )
        lost = "".join(f"; {described(item.option)}: {item.lost}" for item in self.scored if item.lost)
        return f"{self.group.label}: {values}, by {self.score} {best.mean:.4g}{lost}"

    @property
    def why(self) -> str:
        """Why nothing is chosen."""
        lost = ", ".join(f"{described(item.option)}: {item.lost}" for item in self.scored)
        return f"no configuration has {self.score} for all its seeds ({lost})"

    def _values(self, key: str) -> str:
        found = list(dict.fromkeys(_shown(item.option[key]) for item in self.scored))
        return ", ".join(found) if len(found) <= _MOST_SHOWN else f"{len(found)} values"


def described(option: Option) -> str:
    """Values for people: "learning_rate 0.03, depth 2"."""
    return ", ".join(f"{key.partition('.')[2]} {_shown(value)}" for key, value in option.items())


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else show(plain(value))


class Scores:
    """The metric of the candidates that a store has.

    Args:
        selection: says which metric.
        store: where they are.
        experiment_id: the MLflow experiment.
    """

    def __init__(self, selection: Selection, store: Store, experiment_id: str) -> None:
        self._selection = selection
        every = frames.runs_of_kind(store, [experiment_id], names.SELECTION)
        known = frames.latest_per_trial(every) if len(every) else every
        self._rows: dict[str, dict[str, Any]] = {str(row["trial"]): row for row in known.to_dict("records")}  # type: ignore[misc]

    def of(self, trial: Trial | Unlearning) -> tuple[float | None, str]:
        """The score of a candidate, and what is wrong if there is none."""
        row = self._rows.get(trial.key)
        if row is None:
            return None, "not run"
        if row["status"] != "FINISHED":
            return None, str(row["status"]).lower()
        asked = self._selection.asked
        measurement = None if asked is None else asked.measurement(trial)
        if measurement is not None and standing_of(measurement, row[names.MEASURED]) != "done":
            return None, "not measured"
        value = self._selection.value(row)
        if not isinstance(value, float) or not math.isfinite(value):
            return None, "not a number"
        return value, ""

    def scored(self, group: Group, option: Option) -> Scored:
        """One option of a group."""
        candidates = group.candidates(option, self._selection.seeds)
        found = [self.of(trial) for trial in candidates]
        lost = pd.Series([why for value, why in found if value is None], dtype=str).value_counts()
        return Scored(
            option,
            tuple(value for value, _ in found if value is not None),
            len(candidates),
            ", ".join(f"{count} {why}" for why, count in lost.items()),
        )


def choose(selection: Selection, group: Group, scored: Sequence[Scored]) -> Choice:
    """Chooses the best mean score; of equal ones that which stands first. Of a single option that one."""
    name = selection.score
    if len(scored) == 1 and not scored[0].of:  # there is nothing to choose
        return Choice(group, tuple(scored), 0, name)
    sign = 1.0 if selection.higher_is_better else -1.0
    means = [sign * item.mean for item in scored]
    able = [place for place, mean in enumerate(means) if not math.isnan(mean)]
    best = max(able, key=lambda place: (means[place], -place)) if able else None
    return Choice(group, tuple(scored), best, name)


def reported(experiment: Experiment, choices: Sequence[Choice]) -> Experiment:
    """The experiment with what was chosen, and without what nothing was chosen for."""
    trials: dict[str, Trial] = {}
    methods: dict[str, Unlearning] = {}
    for choice in choices:
        for template in choice.group.templates if choice.option is not None else ():
            if isinstance(template, Unlearning):
                methods[template.key] = with_values(template, choice.option or {})
            else:
                trials[template.key] = with_values(template, choice.option or {})
    of_methods = any(isinstance(item, Unlearning) for choice in choices for item in choice.group.templates)
    return with_methods(experiment, methods) if of_methods else remapped(experiment, trials)


def table_of(choices: Sequence[Choice]) -> pd.DataFrame:
    """A row for each option of each group: its values by dotted key, mean and deviation of the score, and whether it
    is ``chosen``; ``lost`` says what candidates are missing."""
    rows = []
    for choice in choices:
        for place, item in enumerate(choice.scored):
            values = {key: plain(value) for key, value in item.option.items()}
            deviation = float(np.std(item.scores, ddof=1)) if len(item.scores) > 1 else math.nan
            mean = float(np.mean(item.scores)) if item.scores else math.nan
            rows.append(
                {"group": choice.group.label, **values, f"{choice.score}_mean": mean, f"{choice.score}_std": deviation}
                | {"scored": len(item.scores), "candidates": item.of, "lost": item.lost, "chosen": place == choice.best}
            )
    return pd.DataFrame(rows)


def marks(choice: Choice) -> Mapping[str, Any]:
    """A choice as JSON: what the experiment's run keeps of it."""
    option = choice.option
    return {
        "group": choice.group.label,
        "chosen": None if option is None else {key: plain(value) for key, value in option.items()},
        "by": choice.score,
        "line": choice.line,
    }
