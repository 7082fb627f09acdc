"""The data and circuits of an experiment, drawn again from its configuration."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import holoviews as hv
import torch

from qlab.errors import QlabError
from qlab.models import Features, PennyLaneQNN
from qlab.registry import find, make
from qlab.tasks import Dataset, Task
from qlab.tasks.features import dense_rows
from qlab.tasks.images import ImageTask
from qlab.tracking.configs import read_configs
from qlab.tracking.store import Store
from qlab.training import Member
from qlab.views.backends import styled
from qlab.views.data_map import data_map, map_frame, picture, project_features
from qlab.views.panels import row as row_of

_SHOWN_RATIO = 0.2
"""Corrupted data are shown at the ratio nearest to that of the paper's Fig. 1b."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What of an experiment's data can be drawn.

    Args:
        task: its first task.
        dataset: its data.
        corruptions: configurations of its corruptions, one for each type, at the ratio shown.
        circuits: configurations of its different quantum models.
        seed: the first trial's.
    """

    task: Task
    dataset: Dataset
    corruptions: tuple[Mapping[str, Any], ...]
    circuits: tuple[Mapping[str, Any], ...]
    seed: int


def shown_data(store: Store, parent: str) -> Shown | None:
    """The data of an experiment; None where they cannot be made again (classes or files that are not here).

    Args:
        store: where its run is.
        parent: the experiment's run.
    """
    configs = read_configs(store, parent) or {}
    trials = [config for config in configs.values() if "task" in config]
    if not trials:
        return None
    try:
        task: Task = make("task", trials[0]["task"])
        by_type: dict[str, Mapping[str, Any]] = {}
        for config in sorted(trials, key=lambda item: abs(item["corruption"]["ratio"] - _SHOWN_RATIO)):
            by_type.setdefault(config["corruption"]["type"], config["corruption"])
        circuits = {
            json.dumps(config["model"]): config["model"]
            for config in trials
            if issubclass(find("model", config["model"]["type"], imports=False), PennyLaneQNN)
        }
        dataset = task.load()
    except (QlabError, KeyError, TypeError):  # the last two: somebody else wrote that file
        return None
    return Shown(task, dataset, tuple(by_type.values()), tuple(circuits.values()), trials[0]["seed"])


def corrupted_maps(shown: Shown) -> hv.Layout:
    """Principal components of the training split, a map for each corruption, corrupted rows marked (Fig. 1b)."""
    maps = []
    for config in shown.corruptions:
        corrupted = Member.of(shown.task, shown.dataset, make("corruption", config), shown.seed).corrupted
        places = project_features(corrupted.split.x)
        labels = (corrupted.split.y.numpy(), corrupted.clean_y.numpy(), corrupted.mask.numpy())
        maps.append(data_map(map_frame(places, *labels), f"{config['type']} {config['ratio']:g}"))
    return styled(
        hv.Layout(maps).cols(len(maps)),
        bokeh={"shared_axes": False},
        matplotlib={"shared_axes": False, "fig_inches": (6.5 * len(maps), 4.2), "sublabel_format": "", "hspace": 0.6},
    )


def sample_pictures(shown: Shown) -> hv.Layout | None:
    """A clean and a corrupted picture of each class, a row for each corruption (Fig. 1b); None for other tasks."""
    if not isinstance(shown.task, ImageTask):
        return None
    pictures = []
    for config in shown.corruptions:
        corrupted = Member.of(shown.task, shown.dataset, make("corruption", config), shown.seed).corrupted
        for wanted in (False, True):
            for label in (0, 1):
                rows = torch.nonzero((corrupted.mask == wanted) & (corrupted.clean_y == label)).flatten()
                if len(rows) == 0:
                    continue
                row = int(rows[0])
                vector = dense_rows(corrupted.split.x[row : row + 1])[0].numpy()
                what = f"{config['type']}, " if wanted else "as it is, "
                pictures.append(picture(vector, shown.task.shape, f"{what}label {int(corrupted.split.y[row])}"))
    return row_of(pictures, columns=4) if pictures else None


def write_circuit(shown: Shown, config: Mapping[str, Any], path: Path) -> Path:
    """A PNG of one of the circuits, its light cone marked."""
    from qlab.views.circuit import draw_circuit

    return draw_circuit(make("model", config).build(Features.of(shown.dataset)), path)
