"""Ranges that a search takes values from: the ``[search]`` table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from qlab.errors import ConfigError, unknown
from qlab.experiment.asking.selection import ChoiceTable, check_key
from qlab.experiment.asking.trial import Trial
from qlab.experiment.asking.values import TABLES, has, plain, with_values
from qlab.fields import NonNegativeInt, PositiveInt, show

_KEYS = ("low", "high", "log", "choices")


class SearchTable(ChoiceTable):
    """The ``[search]`` table: values from ranges are tried and the best reported, with the same budget for each model.

    Beside these fields it has the ranges, by dotted key: ``"training.learning_rate" = { low = 1e-4, high = 0.3, log =
    true }``, or ``{ choices = [8, 16, 32] }``. A model that has none of the keys has nothing to choose.

    Args:
        configurations: how many are tried for each combination of ``per``, each with all ``seeds``.
        batch: how many are proposed at a time, from what is known of those before them.
        sampler: Optuna's: "tpe" (its first 10 configurations are random) or "random".
        sampler_seed: of the proposals.
    """

    configurations: PositiveInt = 20
    batch: PositiveInt = 5
    sampler: Literal["tpe", "random"] = "tpe"
    sampler_seed: NonNegativeInt = 0


@dataclasses.dataclass(frozen=True)
class Range:
    """What one value may be.

    Args:
        low: the least value.
        high: the greatest.
        log: whether it is proposed on a logarithmic scale.
        whole: whether it is an integer.
        choices: the values, instead of a range.
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def example(self) -> Any:
        """One of the values."""
        return self.choices[0] if self.choices else self.low

    @property
    def text(self) -> str:
        """For people: "0.0001 to 0.3 (log)", "one of 8, 16"."""
        if self.choices:
            return "one of " + ", ".join(show(plain(value)) for value in self.choices)
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"

    def said(self) -> Any:
        """For a digest."""
        return [self.low, self.high, self.log, self.whole, plain(self.choices)]


def split_table(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a ``[search]`` table, and what it says of ranges by dotted key, quoted or not."""
    fields, ranges = {}, {}
    for key, value in table.items():
        if "." in key:
            ranges[key] = value
        elif key in TABLES and isinstance(value, dict):
            ranges |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            fields[key] = value
    return fields, ranges


def range_of(key: str, given: Any, trials: list[Trial]) -> Range:
    """What is meant by a range.

    Raises:
        ConfigError: no trial has such a key, or it is no range of what the key accepts.
    """
    where = f'search."{key}"'
    check_key(key, "search")
    having = [trial for trial in trials if has(trial, key)]
    if not having:
        raise ConfigError(
            f'{where}: no trial has this key; accepts dotted keys, such as "training.learning_rate" or "model.depth".'
        )
    if not isinstance(given, dict) or not given:
        raise ConfigError(
            f"{where}: got {show(given)}, accepts {{ low = ..., high = ..., log = true }} or {{ choices = [...] }}."
        )
    for name in given:
        if name not in _KEYS:
            raise ConfigError(f"{where}: " + unknown("key", name, _KEYS))
    if "choices" in given:
        return _checked(where, key, _choices(where, given), having)
    low, high, log = given.get("low"), given.get("high"), given.get("log", False)
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{where}.{name}: got {show(value)}, accepts a number.")
    if not isinstance(log, bool):
        raise ConfigError(f"{where}.log: got {show(log)}, accepts true or false.")
    assert isinstance(low, int | float) and isinstance(high, int | float)  # noqa: PT018 - for the type checker
    if not low < high:
        raise ConfigError(f"{where}: got low = {show(low)} and high = {show(high)}, accepts a low below the high.")
    if log and low <= 0:
        raise ConfigError(f"{where}: got low = {show(low)}, accepts a low above 0 on a logarithmic scale.")
    whole = isinstance(low, int) and isinstance(high, int) and not _takes_fractions(having[0], key, low)
    return _checked(where, key, Range(low, high, log, whole), having)


def _choices(where: str, given: Mapping[str, Any]) -> Range:
    choices = given["choices"]
    if len(given) > 1:
        raise ConfigError(f"{where}: accepts low and high, or choices, not both.")
    if not isinstance(choices, list) or len(choices) < 2:
        raise ConfigError(f"{where}.choices: got {show(choices)}, accepts a list of at least two values.")
    return Range(choices=tuple(tuple(item) if isinstance(item, list) else item for item in choices))


def _checked(where: str, key: str, found: Range, having: list[Trial]) -> Range:
    """A range whose ends, or all of whose choices, every trial accepts."""
    for value in found.choices or (found.low, found.high):
        for trial in {trial.ensemble_key: trial for trial in having}.values():
            try:
                with_values(trial, {key: value})
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from None
    return found


def _takes_fractions(trial: Trial, key: str, low: int) -> bool:
    try:
        with_values(trial, {key: low + 0.5})
    except ConfigError:
        return False
    return True
