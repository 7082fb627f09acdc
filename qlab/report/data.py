"""The data and circuits of an experiment, drawn again from its configuration."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import holoviews as hv
import torch

from qlab.corruptions import Corrupted
from qlab.errors import DataError, QlabError
from qlab.fields import fields_of
from qlab.models import Features, PennyLaneQNN
from qlab.own_code import described
from qlab.registry import find, make
from qlab.tasks import Dataset, Task
from qlab.tasks.features import dense_rows
from qlab.tasks.images import ImageTask
from qlab.tasks.stored import load_stored
from qlab.tracking import names, params
from qlab.tracking.configs import read_configs
from qlab.tracking.store import Store
from qlab.training import Member
from qlab.views.backends import styled
from qlab.views.data_map import data_map, map_frame, picture, project_features

_SHOWN_RATIO = 0.2
"""Corrupted data are shown at the ratio nearest to that of the paper's Fig. 1b."""


_CIRCUIT_FIELDS = frozenset(fields_of(PennyLaneQNN))
"""What the configuration of a model says that is a circuit, whatever its class."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What of an experiment's data can be drawn.

    Args:
        task: its first task.
        dataset: its data.
        corruptions: configurations of its corruptions, one for each that differ in more than the ratio, at the ratio
            shown.
        circuits: configurations of its different quantum models.
        seed: the first trial's.
    """

    task: Task
    dataset: Dataset
    corruptions: tuple[Mapping[str, Any], ...]
    circuits: tuple[Mapping[str, Any], ...]
    seed: int


def shown_data(store: Store, parent: str) -> Shown | None:
    """The data of an experiment; None if its run does not say what they are.

    Args:
        store: where its run is.
        parent: the experiment's run.

    Raises:
        DataError: the data cannot be made again: what the run says of them is damaged.
        ConfigError: they are of a class that is not here.
    """
    configs = read_configs(store, parent)
    if configs is None:
        if store.has_file(parent, names.CONFIGS):
            raise DataError(f"{names.CONFIGS} of run {parent} is damaged: it does not say what the data are")
        return None
    trials = [config for config in configs.values() if "task" in config]
    if not trials:
        return None
    try:
        by_kind: dict[str, Mapping[str, Any]] = {}
        ratios = {id(config): float(config["corruption"]["ratio"]) for config in trials}
        for config in sorted(trials, key=lambda item: (abs(ratios[id(item)] - _SHOWN_RATIO), -ratios[id(item)])):
            but_ratio = {key: value for key, value in config["corruption"].items() if key != "ratio"}
            by_kind.setdefault(json.dumps(but_ratio, sort_keys=True), config["corruption"])
        models = {json.dumps(config["model"]): config["model"] for config in trials}
        first, seed = trials[0]["task"], int(trials[0]["seed"])
        folder = store.get_run(parent).data.tags.get(names.FOLDER)
        task, dataset = load_stored(first, None if folder is None else Path(folder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # somebody else wrote that file
        if isinstance(error, QlabError):
            raise
        raise DataError(f"{names.CONFIGS} of run {parent} is not what qlab writes: {described(error)}") from None
    circuits = tuple(config for config in models.values() if _is_circuit(config))
    return Shown(task, dataset, tuple(by_kind.values()), circuits, seed)


def _is_circuit(model: Mapping[str, Any]) -> bool:
    """Whether a model is a quantum one; one whose class is not here is if it has all fields of one."""
    try:
        return issubclass(find("model", str(model.get("type")), imports=False), PennyLaneQNN)
    except QlabError:
        return set(model) >= _CIRCUIT_FIELDS


def corrupted_map(shown: Shown, config: Mapping[str, Any]) -> hv.Overlay:
    """Principal components of the training split under one corruption, corrupted rows marked (Fig. 1b).

    Raises:
        ConfigError: the corruption's class is not here.
    """
    corrupted = _corrupted(shown, config)
    places = project_features(corrupted.split.x)
    labels = (corrupted.split.y.numpy(), corrupted.clean_y.numpy(), corrupted.mask.numpy())
    return data_map(map_frame(places, *labels), corruption_name(shown, config))


def corruption_name(shown: Shown, config: Mapping[str, Any]) -> str:
    """A corruption's type, ratio, and the fields in which corruptions of the type differ."""
    alike = [other for other in shown.corruptions if other.get("type") == config.get("type")]
    fields = [key for key in config if key not in ("type", "ratio", "code")]
    told = [key for key in fields if len({json.dumps(other.get(key)) for other in alike}) > 1]
    ratio = params.shown(config["ratio"])
    return " ".join([str(config["type"]), *(f"{key}={params.shown(config.get(key))}" for key in told), ratio])


def maps_in_a_row(maps: Sequence[hv.Overlay]) -> hv.Layout:
    """Maps side by side."""
    return styled(
        hv.Layout(list(maps)).cols(len(maps)),
        bokeh={"shared_axes": False},
        matplotlib={"shared_axes": False, "fig_inches": (6.5 * len(maps), 4.2), "sublabel_format": "", "hspace": 0.6},
    )


def sample_pictures(shown: Shown, config: Mapping[str, Any]) -> list[hv.Image]:
    """A clean and a corrupted picture of each class under one corruption (Fig. 1b); none of tasks without pictures.

    Raises:
        ConfigError: the corruption's class is not here.
    """
    if not isinstance(shown.task, ImageTask):
        return []
    corrupted = _corrupted(shown, config)
    pictures = []
    for wanted in (False, True):
        for label in (0, 1):
            rows = torch.nonzero((corrupted.mask == wanted) & (corrupted.clean_y == label)).flatten()
            if len(rows) == 0:
                continue
            row = int(rows[0])
            vector = dense_rows(corrupted.split.x[row : row + 1])[0].numpy()
            what = f"{config['type']}, " if wanted else "as it is, "
            pictures.append(picture(vector, shown.task.shape, f"{what}label {int(corrupted.split.y[row])}"))
    return pictures


def _corrupted(shown: Shown, config: Mapping[str, Any]) -> Corrupted:
    return Member.of(shown.task, shown.dataset, make("corruption", config), shown.seed).corrupted


def write_circuit(shown: Shown, config: Mapping[str, Any], path: Path) -> Path:
    """A PNG of one of the circuits, its light cone marked."""
    from qlab.views.circuit import draw_circuit

    return draw_circuit(make("model", config).build(Features.of(shown.dataset)), path)
