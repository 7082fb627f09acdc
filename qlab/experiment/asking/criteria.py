"""What settings of unlearning methods are chosen by, and who could compute it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from qlab.errors import ConfigError, unknown
from qlab.experiment.asking.measurement import AskedMetric

UTILITY_AND_FORGETTING: Final = "utility_and_forgetting"
"""The mean of the accuracy on validation rows and the error on the rows that a method is told to forget."""

_GIVEN: Final = {"given_accuracy_retain": True, "given_accuracy_forget": False}
"""Metrics of rows with the labels that they have, and whether higher values are better."""

_HIDDEN, _TRUE = "which rows are hidden", "the labels that rows had before corruption"

ORACLES: Final = {
    "corrective_accuracy": (True, _TRUE),
    "known_accuracy_clean": (True, _TRUE),
    "hidden_accuracy_clean": (True, f"{_HIDDEN}, and {_TRUE}"),
    "forget_accuracy_clean": (True, f"{_HIDDEN}, and {_TRUE}"),
    "hidden_accuracy_polluted": (False, _HIDDEN),
    "forget_accuracy_polluted": (False, _HIDDEN),
    "retain_accuracy": (True, _HIDDEN),
    "oracle_gap": (True, _HIDDEN),
}
"""Metrics that take what nobody knows who is not told all, by name: whether higher is better, and what they take."""


@dataclasses.dataclass(frozen=True)
class Criterion:
    """What is chosen by: a metric of unlearning runs, or a sum of some.

    Args:
        name: for people.
        parts: metrics in the store, and their weights.
        constant: added to the sum.
        higher_is_better: whether the greatest value is chosen.
    """

    name: str
    parts: tuple[tuple[str, float], ...]
    constant: float = 0.0
    higher_is_better: bool = True

    def value(self, row: Mapping[str, Any]) -> float:
        """Of a run; NaN if it has not all metrics."""
        found = [(row.get(metric), weight) for metric, weight in self.parts]
        return self.constant + sum(
            float(value) * weight if isinstance(value, int | float) else math.nan for value, weight in found
        )


def criterion_of(
    metric: str, asked: AskedMetric | None, own: Iterable[str], *, oracle: bool, higher_is_better: bool, where: str
) -> Criterion:
    """The criterion of a name.

    Args:
        metric: what the file asks for.
        asked: the metric on validation rows that it takes, if that has to be computed.
        own: names of all metrics on validation rows.
        oracle: whether it may take what nobody knows.
        higher_is_better: of the metric on validation rows.
        where: the table, for messages.

    Raises:
        ConfigError: there is none of this name, or it takes what nobody knows.
    """
    honest = [*own, *_GIVEN, UTILITY_AND_FORGETTING]
    if metric in ORACLES:
        higher, taken = ORACLES[metric]
        if not oracle:
            raise ConfigError(
                f'{where}.metric: got "{metric}", which needs {taken}: whoever chooses settings of a method does not '
                f"know that. Accepts {', '.join(honest)}; or oracle = true, which is recorded, and shown beside what "
                "is chosen."
            )
        return Criterion(f"{metric} (oracle)", ((metric, 1.0),), higher_is_better=higher)
    if oracle:
        raise ConfigError(
            f'{where}.oracle: got true, but "{metric}" takes nothing that is hidden; leave it out. Metrics that need '
            f"it: {', '.join(ORACLES)}."
        )
    if metric in _GIVEN:
        return Criterion(metric, ((metric, 1.0),), higher_is_better=_GIVEN[metric])
    stored = "validation_accuracy" if asked is None else asked.name
    if metric == UTILITY_AND_FORGETTING:
        return Criterion(metric, ((stored, 0.5), ("given_accuracy_forget", -0.5)), 0.5)
    if metric not in set(own):
        raise ConfigError(f"{where}.metric: " + unknown("criterion", metric, [*honest, *ORACLES]))
    stored = metric if asked is None else asked.name
    return Criterion(stored, ((stored, 1.0),), higher_is_better=higher_is_better)
