"""Values of a configuration by dotted key, of a trial or of an unlearning method: read, and replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from qlab.component import Component
from qlab.experiment.asking.trial import Trial, Unlearning

TABLES = {"task": "task", "corruption": "corruption", "model": "model", "training": "trainer"}
"""Where a trial has what a table of an experiment file says."""

T = TypeVar("T", bound="Trial | Unlearning")

METHOD = "unlearner"
"""The table of an unlearning method."""


def fields_at(item: Trial | Unlearning, table: str) -> dict[str, Any]:
    """The fields of one table and their values, but for those that no training depends on; none of an estimator's.

    Of an unlearning method its own, and those of its teacher.
    """
    if isinstance(item, Unlearning):
        return dict(item.unlearner.field_values()) if table == METHOD else fields_at(item.teacher, table)
    trial = item
    if table == "training" and not trial.has_gradients:
        return {}
    part = getattr(trial, TABLES[table])
    values = part.field_values()
    left_out = trial.corruption.told_fields() if table == "corruption" else ()
    return {name: values[name] for name in part.config() if name not in left_out}


def has(item: Trial | Unlearning, key: str) -> bool:
    """Whether a trial or a method has a value of this dotted key."""
    table, _, field = key.partition(".")
    known = {**TABLES, METHOD: ""} if isinstance(item, Unlearning) else TABLES
    return table in known and field in fields_at(item, table)


def value_at(trial: Trial | Unlearning, key: str) -> Any:
    """A value by dotted key."""
    table, _, field = key.partition(".")
    return fields_at(trial, table)[field]


def with_values(item: T, values: Mapping[str, Any]) -> T:
    """The same trial with other values by dotted key; or the same unlearning, with other values of its method.

    Raises:
        ConfigError: a class does not accept one.
    """
    if isinstance(item, Unlearning):
        method = {key.partition(".")[2]: value for key, value in values.items()}
        return dataclasses.replace(item, unlearner=dataclasses.replace(item.unlearner, **method))
    trial: Trial = item
    parts: dict[str, Any] = {}
    for key in values:
        table = key.partition(".")[0]
        own = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{table}.")}
        parts[TABLES[table]] = type(getattr(trial, TABLES[table]))(**fields_at(trial, table) | own)
    return cast(T, dataclasses.replace(trial, **parts))


def plain(value: Any) -> Any:
    """A value that JSON can say and that tells it from others."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, Component) else value
