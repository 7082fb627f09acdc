"""Values of a trial's configuration by dotted key: read, and replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from qlab.component import Component
from qlab.experiment.asking.trial import Trial

TABLES = {"task": "task", "corruption": "corruption", "model": "model", "training": "trainer"}
"""Where a trial has what a table of an experiment file says."""


def fields_at(trial: Trial, table: str) -> dict[str, Any]:
    """The fields of one table and their values, but for those that no training depends on; none of an estimator's."""
    if table == "training" and not trial.has_gradients:
        return {}
    part = getattr(trial, TABLES[table])
    values = part.field_values()
    left_out = trial.corruption.told_fields() if table == "corruption" else ()
    return {name: values[name] for name in part.config() if name not in left_out}


def has(trial: Trial, key: str) -> bool:
    """Whether a trial has a value of this dotted key."""
    table, _, field = key.partition(".")
    return table in TABLES and field in fields_at(trial, table)


def value_at(trial: Trial, key: str) -> Any:
    """A value by dotted key."""
    table, _, field = key.partition(".")
    return fields_at(trial, table)[field]


def with_values(trial: Trial, values: Mapping[str, Any]) -> Trial:
    """The same trial with other values by dotted key.

    Raises:
        ConfigError: a class does not accept one.
    """
    parts: dict[str, Any] = {}
    for key in values:
        table = key.partition(".")[0]
        own = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{table}.")}
        parts[TABLES[table]] = type(getattr(trial, TABLES[table]))(**fields_at(trial, table) | own)
    return dataclasses.replace(trial, **parts)


def plain(value: Any) -> Any:
    """A value that JSON can say and that tells it from others."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, Component) else value
