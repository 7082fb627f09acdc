"""What the models of two groups say of the same samples, and which of them one gets right and the other wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from qlab.corruptions import Corruption
from qlab.errors import DataError
from qlab.explorer.loaded import Checkpoint, Loader, Samples, checkpoints, corrupted_of, data_of, fitted_runs, split_of
from qlab.explorer.reader import Reader
from qlab.explorer.sample import Look
from qlab.explorer.training_map import mapped
from qlab.reading.compare import Group, same_task
from qlab.reading.confusion import Right, confusion_counts, disagreements, is_right, outcomes
from qlab.registry import find
from qlab.tasks.features import FeatureRows
from qlab.tracking import names
from qlab.views.data_map import map_frame, project_features

_CHANGED: Final = "Corruption changes features here: each model is asked about a row as its own data have it."


@dataclasses.dataclass(frozen=True, eq=False)
class Confused:
    """Samples by which of two groups' models get them right.

    Args:
        pair: the groups.
        samples: training or validation rows.
        unit: seed of the models that are asked; of single runs 0.
        units: those that both groups have.
        counts: see :func:`qlab.reading.confusion.confusion_counts`.
        rows: see :func:`qlab.reading.confusion.disagreements`, with ``clean_label`` and, of training rows, the label
            that each group's model was trained on: ``first_label`` and ``second_label``.
        frame: all samples, see :func:`qlab.views.data_map.map_frame`, with their ``outcome``; labels and places are
            those of the first group's data.
        features: of the samples, from the first group's data.
        look: how a sample is drawn.
        models: of that seed, all groups' of the same task.
        note: what is to be known about the comparison; may be empty.
    """

    pair: tuple[Group, Group]
    samples: Samples
    unit: int
    units: list[int]
    counts: pd.DataFrame
    rows: pd.DataFrame
    frame: pd.DataFrame
    features: FeatureRows
    look: Look
    models: list[Checkpoint]
    note: str


class Answers:
    """Asks the models of groups about samples; what they say is kept by the loader.

    Args:
        reader: reads the store.
        loader: loads models.
    """

    def __init__(self, reader: Reader, loader: Loader) -> None:
        self._reader, self._loader = reader, loader

    def confused(
        self, experiment: str, groups: Sequence[Group], pair: tuple[Group, Group], samples: Samples, unit: int
    ) -> Confused:
        """The samples that one of two groups gets right and the other wrong; right is what has its true label.

        Args:
            experiment: the experiment's name.
            groups: all that stand side by side.
            pair: which two.
            samples: which rows.
            unit: seed of the models whose samples are listed; another than the groups have is the first of theirs.

        Raises:
            DataError: the groups have other tasks, no seed in common, or no models.
        """
        first, second = pair
        if not same_task(pair):
            raise _other_tasks(first, second)
        units = [one for one in first.units if one in second.units]
        if not units:
            raise DataError(
                f"{first.letter} and {second.letter} have no seed in common whose runs are finished: no models to ask "
                "about the same samples. Select runs of the same seeds, or compare single runs."
            )
        known = self._models(experiment)
        right: dict[str, dict[int, Right]] = {}
        for group in pair:
            right[group.letter] = {one: self._right(experiment, _model(group, one, known), samples) for one in units}
        own = unit if unit in units else units[0]
        configs = [self._loader.config(experiment, _model(group, own, known)) for group in pair]
        if _task(configs[0]) != _task(configs[1]):
            raise _other_tasks(first, second)
        task, dataset = data_of(configs[0])
        frame = _mapped(configs[0], samples).assign(
            outcome=outcomes(right[first.letter][own], right[second.letter][own])
        )
        rows = disagreements(right[first.letter], right[second.letter], own)
        rows["clean_label"] = frame["clean_label"].to_numpy()[rows["row"]]
        if samples == "train":
            for name, config in zip(("first", "second"), configs, strict=True):
                rows[f"{name}_label"] = corrupted_of(config).split.y.numpy()[rows["row"]]
        models = [
            dataclasses.replace(_model(group, own, known), label=group.name)
            for group in groups
            if own in group.units and same_task((first, group))
        ]
        changed = samples == "train" and any(_changes_features(config) for config in configs)
        return Confused(
            pair,
            samples,
            own,
            units,
            confusion_counts(right[first.letter], right[second.letter]),
            rows,
            frame,
            split_of(configs[0], samples).x,
            Look.of(task, dataset),
            models,
            _CHANGED if changed else "",
        )

    def predictions(self, experiment: str, found: Confused, row: int) -> list[tuple[str, float]]:
        """What each model says of a sample, see :meth:`qlab.explorer.loaded.Loader.predictions`."""
        return self._loader.predictions(experiment, found.models, row, found.samples)

    def _models(self, experiment: str) -> dict[str, Checkpoint]:
        frame = self._reader.runs(experiment)
        return {item.run_id: item for item in checkpoints(frame)} | fitted_runs(frame)

    def _right(self, experiment: str, item: Checkpoint, samples: Samples) -> Right:
        config = self._loader.config(experiment, item)
        labels = corrupted_of(config).clean_y if samples == "train" else data_of(config)[1].validation.y
        return is_right(self._loader.logits(experiment, item, samples), labels.numpy())


def _model(group: Group, unit: int, known: Mapping[str, Checkpoint]) -> Checkpoint:
    """A group's model of a seed; the first of repeats that has one."""
    found = next((known[run] for run in group.units[unit] if run in known), None)
    if found is None:
        raise DataError(
            f"{group.name} has no model to ask: no checkpoint of its runs, of the kind {group.kind}, says which data "
            "it belongs to. Trials, unlearning runs and oracles have one."
        )
    return found


def _other_tasks(first: Group, second: Group) -> DataError:
    return DataError(
        f"{first.letter} and {second.letter} are of different tasks, so that they have no samples in common: their "
        "curves can be compared, their samples not."
    )


def _task(config: Mapping[str, Any]) -> str:
    return json.dumps([config["task"], config.get(names.FOLDER)], sort_keys=True)


def _changes_features(config: Mapping[str, Any]) -> bool:
    kind: type[Corruption] = find("corruption", config["corruption"]["type"], imports=False)
    return bool(config["corruption"].get("ratio", 0.0)) and kind.changes_features


def _mapped(config: Mapping[str, Any], samples: Samples) -> pd.DataFrame:
    """Samples in their principal components, with their labels."""
    if samples == "train":
        return mapped(config, "pca")
    split = split_of(config, samples)
    labels = split.y.numpy()
    about = {name: values.numpy() for name, values in split.about.items()}
    untouched = np.zeros(len(labels), dtype=bool)
    return map_frame(project_features(split.x), labels, labels, untouched).assign(**about)
