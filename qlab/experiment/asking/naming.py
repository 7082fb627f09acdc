"""What trials, methods and probes are called beside each other: as in figures, by the settings in which they differ."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

import pandas as pd

from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning, content_hash
from qlab.tracking.groups import OVER
from qlab.tracking.params import read
from qlab.tracking.unstated import state
from qlab.views.labels import label_corruptions, label_methods, label_models, label_probes

Labels = Callable[[pd.DataFrame], "pd.Series[str]"]
T = TypeVar("T", Trial, Unlearning, ProbeRun)


def told_apart(trials: Iterable[Trial]) -> list[Trial]:
    """The same trials, each called by what tells its model and its corruption from others: "PennyLaneQNN depth=4".

    In a figure what a selection chose for each ratio does not name a curve; here it does. Names are no part of an
    identity.
    """
    every = list(trials)
    models = _named(every, lambda trial: trial.ensemble_key, label_models)
    corruptions = _named(every, _corruption, label_corruptions)
    return [
        _called(trial, {"model": model, "corruption": corruption})
        for trial, model, corruption in zip(every, models, corruptions, strict=True)
    ]


def methods_told_apart(unlearnings: Iterable[Unlearning]) -> list[Unlearning]:
    """The same unlearning runs, each called by what tells its method from others: "Relabel weight=0.5"."""
    every = list(unlearnings)
    labels = _named(every, lambda item: item.method_key, label_methods)
    return [_called(item, label) for item, label in zip(every, labels, strict=True)]


def probes_told_apart(probe_runs: Iterable[ProbeRun]) -> list[ProbeRun]:
    """The same probes, each called by what tells it from others: "SliceProbe 2-D filter span=2"."""
    every = list(probe_runs)
    labels = _named(every, lambda item: content_hash(item.config["probe"]), label_probes)
    return [_called(item, label) for item, label in zip(every, labels, strict=True)]


def _named(items: list[T], place: Callable[[T], Hashable], labels: Labels) -> list[str]:
    """The label of each item, from one of each place."""
    places = [place(item) for item in items]
    first: dict[Hashable, T] = {}
    for key, item in zip(places, items, strict=True):
        first.setdefault(key, item)
    rows: list[dict[str, Any]] = [
        {name: read(text) for name, text in item.params.items() if name != OVER} for item in first.values()
    ]
    state(rows)
    # Objects: pandas would make of 4 beside a missing value 4.0.
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    known = dict(zip(first, labels(frame), strict=True))
    return [known[key] for key in places]


def _corruption(trial: Trial) -> Hashable:
    """Equal for trials whose corruption is the same but for its ratio."""
    return content_hash({name: value for name, value in trial.config["corruption"].items() if name != "ratio"})


def _called(item: T, called: str | Mapping[str, str]) -> T:
    made = copy.copy(item)  # with what is known of its configuration
    vars(made)["called"] = called
    return made
