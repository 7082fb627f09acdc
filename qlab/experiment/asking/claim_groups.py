"""Groups of runs that claims are about: what a run's configuration says, by dotted key, and which runs say it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qlab.component import Component, name_of
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning, flattened
from qlab.experiment.asking.values import TABLES, fields_at
from qlab.tracking.params import number

Item = Trial | Unlearning | ProbeRun


def settings_of(item: Item) -> dict[str, Any]:
    """Everything that a run's configuration says, by dotted key, defaults included."""
    if isinstance(item, Trial):
        found: dict[str, Any] = {}
        for table in TABLES:
            fields = _flat(table, fields_at(item, table))
            found |= fields if table == "training" else {f"{table}.type": item.names[table], **fields}
        return found
    if isinstance(item, Unlearning):
        own = {"unlearner.type": item.name, **_flat("unlearner", item.unlearner.field_values())}
        told = {f"corruption.{name}": getattr(item.knowledge, name) for name in item.teacher.corruption.told_fields()}
        return settings_of(item.teacher) | told | own
    own = {"probe.type": item.name, **_flat("probe", item.probe.field_values())}
    return settings_of(item.trial) | own


class Made:
    """The runs that an experiment makes, in which groups are looked for.

    Args:
        items: trials, unlearning runs and probes.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self._settings: dict[str, dict[str, Any]] = {}

    def settings(self, item: Item) -> dict[str, Any]:
        """See :func:`settings_of`."""
        if item.key not in self._settings:
            self._settings[item.key] = settings_of(item)
        return self._settings[item.key]

    def members(self, group: Mapping[str, Any]) -> list[Item]:
        """The runs of a group; its keys are whole."""
        return [item for item in of_kind(group, self.items) if _has_all(self.settings(item), group)]


def seed_of(item: Item) -> int:
    """That of the trial."""
    return (
        item.seed if isinstance(item, Trial) else item.teacher.seed if isinstance(item, Unlearning) else item.trial.seed
    )


def unit_of(item: Item, independent: str) -> tuple[int, int]:
    """What counts as one observation: equal for runs that are averaged."""
    repeat = item.repeat if isinstance(item, Unlearning) and independent == "repeats" else 0
    return seed_of(item), repeat


def _flat(table: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by dotted key, those of components among them as params name them: ``model.noise.1.p``."""
    return flattened({table: {name: _table(value) for name, value in fields.items()}})


def _table(value: Any) -> Any:
    """A value as an experiment file says it, defaults included."""
    if isinstance(value, Component):
        fields = {name: _table(own) for name, own in value.field_values().items()}
        return {value.tag: name_of(value), **fields}
    return [_table(item) for item in value] if isinstance(value, tuple) else value


def kind_of(group: Mapping[str, Any]) -> type[Item]:
    """Which runs a group is of."""
    if any(key == "probe" or key.startswith("probe.") for key in group):
        return ProbeRun
    return Unlearning if any(key == "unlearner" or key.startswith("unlearner.") for key in group) else Trial


def kind_of_item(item: Item) -> type[Item]:
    """Which of the three a run is."""
    return Trial if isinstance(item, Trial) else Unlearning if isinstance(item, Unlearning) else ProbeRun


def of_kind(group: Mapping[str, Any], items: Iterable[Item]) -> Iterable[Item]:
    """The runs of the kind that a group is of."""
    kind = kind_of(group)
    return (item for item in items if kind_of_item(item) is kind)


def _has_all(settings: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    return all(has_value(settings, key, value) for key, value in group.items())


def has_value(settings: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a setting has a value, or one of a list of them."""
    if key not in settings:
        return False
    own = settings[key]
    return _same(own, value) or (isinstance(value, list) and any(_same(own, item) for item in value))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    a, b = number(one), number(other)
    if a is not None and b is not None:
        return math.isclose(a, b, rel_tol=1e-12)
    return type(one) is type(other) and one == other


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once."""
    found: list[Any] = []
    for value in values:
        if not any(_same(value, known) or (value is None and known is None) for known in found):
            found.append(value)
    return found
