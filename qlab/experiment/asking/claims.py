"""Claims of an experiment file: which of its runs they are about, and whether it makes them."""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from qlab.claims import Claim, ClaimTable
from qlab.claims.verdict import FEWEST
from qlab.errors import ConfigError, nearest, unknown
from qlab.experiment.asking.claim_groups import Item, Made, distinct, has_value, kind_of, kind_of_item, of_kind, unit_of
from qlab.experiment.asking.claim_metrics import check_metric
from qlab.experiment.asking.measurement import AskedMetric
from qlab.experiment.asking.tables import Tables
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning
from qlab.fields import fields_of, show
from qlab.tracking.params import number
from qlab.words import counted

_GROUPS = ("of", "than", "at")

_SHOWN = 8

_LONGEST = 100
"""Characters of a name, which metrics and tags of MLflow have in theirs."""

_CONTROL = ("Cc", "Zl", "Zp")
"""Unicode's categories of control characters, and of what ends a line or paragraph."""

_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Unicode's classes of characters that turn the direction of what follows around, beyond the sentence too."""


class UnmadeError(ConfigError):
    """A claim about runs that the experiment does not make."""


def read_claims(
    tables: Tables, raw: Any, items: Sequence[Item], metrics: Sequence[AskedMetric], chosen: Sequence[str] = ()
) -> tuple[list[Claim], dict[str, tuple[ClaimTable, UnmadeError]]]:
    """The claims of a file, and by place those about runs that it does not make, each with why.

    Args:
        tables: makes components.
        raw: what the file has under ``claim``.
        items: trials, unlearning runs and probes of the file.
        metrics: that it asks for.
        chosen: keys of values that are chosen, and say nothing before.

    Raises:
        ConfigError: a claim is not one.
    """
    found: list[Claim] = []
    unmade: dict[str, tuple[ClaimTable, UnmadeError]] = {}
    names: dict[str, str] = {}
    made = _Candidates(items, chosen)
    for where, table in tables.tables(raw, "claim"):
        own = {key: value for key, value in table.items() if key not in _GROUPS}
        if key := next((key for key in own if key not in fields_of(ClaimTable)), ""):
            raise ConfigError(f"{where}: " + unknown("key", key, [*fields_of(ClaimTable), *_GROUPS]))
        pool = own.get("pool")
        fields = tables.make(ClaimTable, own | ({"pool": [pool]} if isinstance(pool, str) else {}), where)
        _check_fields(fields, table, where)
        if fields.name and fields.name in names:
            raise ConfigError(f"{where}.name: got {show(fields.name)}, as {names[fields.name]} has; give it another.")
        names[fields.name] = where
        groups = {key: _group(table.get(key, {}), f"{where}.{key}") for key in _GROUPS}
        try:
            found.append(_claim(fields, groups, where, made, metrics))
        except UnmadeError as error:
            unmade[f"{where} ({fields.name or fields.text})"] = fields, error
    return found, unmade


def _check_fields(table: ClaimTable, raw: Mapping[str, Any], where: str) -> None:
    """What can be said without the trials.

    Raises:
        ConfigError: fields do not fit each other.
    """
    if not table.text.strip():
        raise ConfigError(f"{where}.text: got nothing, accepts the claim in a sentence.")
    for letter in table.text:
        if unicodedata.category(letter) in _CONTROL or unicodedata.bidirectional(letter) in _TURNING:
            raise ConfigError(
                f"{where}.text: has the control character U+{ord(letter):04X}; accepts a sentence in one line."
            )
    if not re.fullmatch(r"[\w.-]*", table.name, re.ASCII):
        raise ConfigError(f"{where}.name: got {show(table.name)}, accepts letters, digits, and the characters _ - .")
    if table.name in (".", ".."):
        raise ConfigError(f"{where}.name: got {show(table.name)}, accepts a name with a letter or digit in it.")
    if len(table.name) > _LONGEST:
        raise ConfigError(
            f"{where}.name: got {len(table.name)} characters ({table.name[:20]}...), accepts at most {_LONGEST}."
        )
    if "of" not in raw:
        raise ConfigError(
            f'{where}.of: missing; accepts a table of values by dotted key, such as {{ "model.type" = "MLP" }}.'
        )
    if "than" not in raw and table.effect != "slope":
        raise ConfigError(f"{where}.than: missing; accepts a table like that of of, or a number.")
    if table.statement == "within" and table.margin == 0.0:
        raise ConfigError(f'{where}.margin: got 0, and "within" accepts a margin above 0: nothing lies within 0.')
    if table.effect == "slope" and not table.over:
        raise ConfigError(f'{where}.over: missing; a slope is over a swept field: over = "corruption.ratio".')
    if table.over and table.effect != "slope":
        raise ConfigError(f'{where}.over: is of slopes; add effect = "slope", or leave it out.')
    if table.mean == "geometric" and table.effect != "ratio":
        raise ConfigError(f'{where}.mean: "geometric" is of ratios; add effect = "ratio", or leave it out.')
    than = raw.get("than")
    if table.effect == "ratio" and isinstance(than, int | float) and not isinstance(than, bool) and than <= 0:
        raise ConfigError(f"{where}.than: got {show(than)}, accepts a number above 0 for a ratio.")


def _claim(
    table: ClaimTable, groups: Mapping[str, Any], where: str, made: _Candidates, metrics: Sequence[AskedMetric]
) -> Claim:
    both = groups["at"]
    if isinstance(both, float) or isinstance(groups["of"], float):
        wrong = "at" if isinstance(both, float) else "of"
        raise ConfigError(f"{where}.{wrong}: got a number, accepts a table of values by dotted key.")
    of = made.group(groups["of"], both, f"{where}.of")
    given = groups["than"]
    than: dict[str, Any] | float = given if isinstance(given, float) else {}
    if table.effect == "slope" and given == {}:
        than = 0.0
    elif not isinstance(given, float):
        than = made.group(given, both, f"{where}.than")
    found = of if isinstance(than, float) else of | than
    pool = tuple(made.key(key, found, f"{where}.pool") for key in table.pool)
    over = made.key(table.over, found, f"{where}.over") if table.over else ""
    claim = Claim(dataclasses.replace(table, pool=pool, over=over), of, than, where)
    units = [made.check(claim, of, f"{where}.of", metrics)]
    if not isinstance(than, float):
        if than == of:
            raise ConfigError(f"{where}.than: is the same group as of; name what differs.")
        units.append(made.check(claim, than, f"{where}.than", metrics))
    made.check_pool(claim, where)
    fewest = min(map(len, units))
    if table.paired and len(units) == 2:
        fewest = len(units[0] & units[1])
    unlearned = kind_of(of) is Unlearning
    if table.independent == "repeats" and len({seed for seed, _ in set().union(*units)}) > 1:
        raise UnmadeError(
            f'{where}.independent: got "repeats", and there are several seeds: repeats of one seed share its model, so '
            "they are not independent of one another; leave it out, and they are averaged for each seed."
        )
    if fewest < FEWEST:
        repeats = table.independent == "repeats"
        hint = ' Repeats of one seed are tested with independent = "repeats".' if unlearned and not repeats else ""
        raise UnmadeError(
            f"{where}: has {counted(fewest, 'repeat' if repeats else 'seed')}, and a test needs at least two; raise "
            f"run.{table.independent}.{hint}"
        )
    return claim


class _Candidates(Made):
    """The runs of a file, and what is chosen among them."""

    def __init__(self, items: Sequence[Item], chosen: Sequence[str]) -> None:
        super().__init__(items)
        self._chosen = set(chosen)

    def group(self, own: Mapping[str, Any], both: Mapping[str, Any], where: str) -> dict[str, Any]:
        """A group with whole keys."""
        given = {**both, **own}
        found: dict[str, Any] = {}
        for key, value in given.items():
            name = self.key(key, given, where)
            if name in found:
                raise ConfigError(f"{where}: names {name} twice.")
            found[name] = value
        return found

    def key(self, given: str, group: Mapping[str, Any], where: str) -> str:
        """The key that is meant: ``ratio`` for "corruption.ratio", ``model`` for "model.type"."""
        kind = kind_of(group)
        choices = dict.fromkeys(
            key for item in self.items if kind_of_item(item) is kind or not group for key in self.settings(item)
        )
        if given in ("seed", "repeat", "oracle"):
            raise ConfigError(f"{where}: {given} tells apart what is averaged or tested over; leave it out.")
        if given in choices:
            found = [given]
        else:
            found = [key for key in choices if key == f"{given}.type"] or [
                key for key in choices if key.endswith(f".{given}")
            ]
        if len(found) > 1:
            raise ConfigError(f"{where}: {given} could be {' or '.join(sorted(found))}; give the whole key.")
        if not found:
            words = {Trial: "trial", Unlearning: "unlearning run", ProbeRun: "probe"}[kind]
            if not choices:
                raise UnmadeError(f'{where}: names "{given}", and the file makes no {words}.')
            raise UnmadeError(f'{where}: no {words} has "{given}".{nearest(given, choices)}')
        if found[0] in self._chosen:
            raise ConfigError(f"{where}: {found[0]} is chosen, and so says nothing before; leave it out.")
        return found[0]

    def check(
        self, claim: Claim, group: Mapping[str, Any], where: str, metrics: Sequence[AskedMetric]
    ) -> set[tuple[int, int]]:
        """The units of a group that is there, is one group, and has the metric.

        Raises:
            UnmadeError: the file does not make it.
            ConfigError: its runs never have the metric, or are several groups.
        """
        left = list(of_kind(group, self.items))
        check_metric(claim, group, left, metrics)
        for key, value in group.items():
            kept = [item for item in left if has_value(self.settings(item), key, value)]
            if not kept:
                raise UnmadeError(f"{where}: {key} = {show(value)}: {self._made(left, key, value)}")
            left = kept
        self._check_one(claim, left, where)
        return {unit_of(item, claim.table.independent) for item in left}

    def check_pool(self, claim: Claim, where: str) -> None:
        """Whether there is something to average over.

        Raises:
            UnmadeError: neither group has several values of a key.
        """
        groups = [group for group in (claim.of, claim.than) if not isinstance(group, float)]
        for key in claim.table.pool:
            if all(len(distinct(self.settings(item).get(key) for item in self.members(own))) < 2 for own in groups):
                raise UnmadeError(
                    f"{where}.pool: {key} has one value in each group, so there is nothing to average over; "
                    "sweep it with a list and do not name one value of it, or leave it out."
                )

    def _made(self, items: Sequence[Item], key: str, value: Any) -> str:
        """What there is instead of a value."""
        values = distinct(self.settings(item)[key] for item in items if key in self.settings(item))
        if not values:
            return "no run that the rest of the group names has this key."
        wanted = number(value)
        known = [item for item in values if number(item) is not None]
        hint = ""
        if wanted is not None and known:
            near = sorted(known, key=lambda item: abs(float(item) - wanted))[:2]
            hint = f" Nearest: {', '.join(show(item) for item in sorted(near))}."
        elif isinstance(value, str):
            hint = nearest(value, [item for item in values if isinstance(item, str)])
        return f"the file makes {_listed(values)}.{hint}"

    def _check_one(self, claim: Claim, items: Sequence[Item], where: str) -> None:
        """Whether the runs differ in nothing but what is independent, or averaged over because the claim says so."""
        table = claim.table
        settings = [self.settings(item) for item in items]
        differing: dict[str, list[Any]] = {}
        for key in dict.fromkeys(key for own in settings for key in own):
            values = distinct(own.get(key) for own in settings)
            if len(values) > 1 and key not in self._chosen:
                differing[key] = values
        if table.over and len(differing.get(table.over, ())) < 2:
            raise UnmadeError(
                f"{where}: {table.over} has one value, and a slope needs at least two: sweep it with a list."
            )
        if table.over and any(number(value) is None for value in differing[table.over]):
            raise ConfigError(f"{where}: {table.over} has values that are not numbers; a slope is over numbers.")
        for key in (*table.pool, table.over):
            differing.pop(key, None)
        types = [key for key in differing if key.endswith(".type")]
        told = {key: differing[key] for key in types} | {
            key: values
            for key, values in differing.items()
            if not any(key.partition(".")[0] in _ruled(kind) for kind in types)
        }
        if told:
            first = next(iter(told))
            said = " and ".join(f"{key} ({_listed(values)})" for key, values in list(told.items())[:_SHOWN])
            raise UnmadeError(
                f"{where}: its runs differ in {said}: they are not one group. Name one value of each, or ask for means "
                f'over them: pool = ["{first}"].'
            )


def _group(value: Any, where: str) -> dict[str, Any] | float:
    """A group by dotted key, quoted or not; or a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | dict):
        raise ConfigError(
            f'{where}: got {show(value)}, accepts a table of values by dotted key, such as {{ "model.type" = "MLP", '
            '"corruption.ratio" = 0.3 }' + (", or a number." if where.endswith("than") else ".")
        )
    if not isinstance(value, dict):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: got {show(value)}, accepts a finite number.")
        return float(value)
    return _unnested(value, where)


def _unnested(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in table.items():
        if item == {}:
            raise ConfigError(f"{where}.{key}: got an empty table, accepts a value, or a list of them.")
        inner = _unnested(item, f"{where}.{key}") if isinstance(item, dict) else {"": item}
        found |= {f"{key}.{name}" if name else key: own for name, own in inner.items()}
    return found


def _listed(values: Sequence[Any]) -> str:
    said = ["none" if value is None else show(list(value) if isinstance(value, tuple) else value) for value in values]
    return ", ".join(said[:_SHOWN]) + (f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else "")


def _ruled(kind: str) -> tuple[str, ...]:
    """The tables whose fields differ because a type does."""
    table = kind.removesuffix(".type")
    return {"model": ("model", "training")}.get(table, (table,)) if "." not in table else ()
