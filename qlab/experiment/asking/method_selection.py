"""Choosing settings of unlearning methods: ``[select]`` over ``unlearner`` keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from qlab.errors import ConfigError
from qlab.experiment.asking.criteria import UTILITY_AND_FORGETTING, criterion_of
from qlab.experiment.asking.measurement import AskedMetric
from qlab.experiment.asking.selection import Selection, SelectTable, alike_groups, score_metric
from qlab.experiment.asking.trial import Unlearning
from qlab.experiment.asking.values import METHOD, has

_ALWAYS = ("corruption", METHOD)
"""One choice is made for each method, each corruption and what is known of it, whatever ``per`` says beside."""


def is_of_methods(table: SelectTable) -> bool:
    """Whether a table chooses settings of unlearning methods.

    Raises:
        ConfigError: it chooses settings of models as well.
    """
    own = [key for key in table.over if key.startswith(f"{METHOD}.")]
    if own and len(own) < len(table.over):
        others = [key for key in table.over if key not in own]
        raise ConfigError(
            f'select.over: got "{own[0]}" and "{others[0]}": settings of methods and of models are not chosen '
            "together. Choose those of the models in an experiment of its own, and write them down here."
        )
    return bool(own)


def method_selection(
    table: SelectTable, unlearnings: Sequence[Unlearning], metrics: Iterable[AskedMetric]
) -> Selection:
    """What is chosen among the settings of a file's methods.

    Raises:
        ConfigError: there is nothing to choose from, or what is chosen by takes what nobody knows.
    """
    metrics = list(metrics)
    for key in table.over:
        if not any(has(item, key) for item in unlearnings):
            raise ConfigError(f'select.over: no method has "{key}"; accepts dotted keys, such as "unlearner.beta".')
    on_validation = ["validation_accuracy", "validation_loss"]
    on_validation += [item.metric.logged_as for item in metrics if item.metric.on == "validation"]
    base = dataclasses.replace(table, metric="validation_accuracy") if _is_other(table, on_validation) else table
    asked = score_metric(base, metrics, "select")
    higher = base.metric == "validation_accuracy" if asked is None else asked.metric.higher_is_better
    criterion = criterion_of(
        table.metric, asked, on_validation, oracle=table.oracle, higher_is_better=higher, where="select"
    )
    per = tuple(dict.fromkeys((*table.per, *_ALWAYS)))
    groups = alike_groups(table, unlearnings, per, asked)
    if all(len(group.options) == 1 for group in groups):
        keys = ", ".join(table.over)
        raise ConfigError(
            f"select.over: each method has one value of {keys}, so there is nothing to choose; give lists of values."
        )
    needed = {name for name, _ in criterion.parts}
    return Selection(table, groups, asked if asked is not None and asked.name in needed else None, criterion)


def _is_other(table: SelectTable, on_validation: Sequence[str]) -> bool:
    """Whether what is chosen by is no metric on validation rows; one of them may be part of it."""
    return table.metric == UTILITY_AND_FORGETTING or table.metric not in on_validation


def templates_of(selection: Selection) -> list[Unlearning]:
    """What is reported, with any of the values."""
    return [item for group in selection.groups for item in group.templates if isinstance(item, Unlearning)]
