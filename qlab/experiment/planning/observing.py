"""The values that claims are tested with: one for each seed, from the metrics of runs."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from qlab.claims import Claim
from qlab.claims.asked import Group
from qlab.claims.effects import Effect
from qlab.claims.verdict import FEWEST, Observed
from qlab.experiment.asking.claim_groups import Item, Made, unit_of

Unit = tuple[int, int]

Values = Callable[[Item, str], tuple[float, str]]
"""Gives a run's metric, and why there is none: "diverged"."""


def observed(claim: Claim, made: Made, values: Values) -> Observed:
    """What there is to test a claim with.

    Runs of a seed are averaged, of a slope those of each place; a seed of which a run has no value is left out, from
    both groups if they are paired.

    Args:
        claim: the claim.
        made: the runs of the experiment.
        values: gives their metrics.
    """
    table = claim.table
    first, lost = _by_unit(claim, made, claim.of, values)
    if isinstance(claim.than, float):
        return _observed(claim, first, claim.than, list(first), len(first), lost)
    second, also_lost = _by_unit(claim, made, claim.than, values)
    if not table.paired:
        asked = max(len(first) + len(lost), len(second) + len(also_lost))
        n = min(len(first), len(second))
        said = _reasons([*lost.values(), *also_lost.values()])
        if n < FEWEST:
            return Observed(claim, None, n, asked, said)
        effect = _effect(claim, list(first.values()), list(second.values()))
        return Observed(claim, effect, n, asked, said, _seeds([*first, *second]))
    both = [unit for unit in first if unit in second]
    either = first.keys() | second.keys() | lost.keys() | also_lost.keys()
    absent = dict.fromkeys(either - set(both), "not in both groups")
    return _observed(claim, first, second, both, len(either), {**absent, **also_lost, **lost})


def expected(claim: Claim, made: Made) -> int:
    """How many observations there will be if nothing fails; of groups that are not paired, in the smaller."""
    groups = [group for group in (claim.of, claim.than) if not isinstance(group, float)]
    units = [{unit_of(item, claim.table.independent) for item in made.members(group)} for group in groups]
    return len(set.intersection(*units)) if claim.table.paired else min(map(len, units))


def _observed(
    claim: Claim,
    first: Mapping[Unit, float],
    second: Mapping[Unit, float] | float,
    both: Sequence[Unit],
    asked: int,
    lost: Mapping[Unit, str],
) -> Observed:
    """Of pairs, or of one group and a constant."""
    asked = max(asked, len(both) + len(lost))
    said = _reasons(lost.values())
    if len(both) < FEWEST:
        return Observed(claim, None, len(both), asked, said)
    than = second if isinstance(second, float) else [second[unit] for unit in both]
    effect = _effect(claim, [first[unit] for unit in both], than)
    return Observed(claim, effect, len(both), asked, said, _seeds(both))


def _seeds(units: Iterable[Unit]) -> tuple[int, ...]:
    return tuple(sorted({seed for seed, _ in units}))


def _effect(claim: Claim, of: Sequence[float], than: Sequence[float] | float) -> Effect:
    table = claim.table
    other = than if isinstance(than, float) else np.asarray(than, dtype=float)
    ratio = table.effect == "ratio"
    return Effect(np.asarray(of, dtype=float), other, table.paired, ratio, table.mean == "geometric", table.test)


def _by_unit(claim: Claim, made: Made, group: Group, values: Values) -> tuple[dict[Unit, float], dict[Unit, str]]:
    """One value for each seed, or why it has none."""
    table = claim.table
    places: dict[Unit, dict[float, list[float]]] = {}
    lost: dict[Unit, str] = {}
    for item in sorted(made.members(group), key=lambda item: unit_of(item, table.independent)):
        unit = unit_of(item, table.independent)
        value, why = values(item, table.metric)
        if not why and table.mean == "geometric" and value <= 0.0:
            why = f"{table.metric} not positive"
        if why:
            lost.setdefault(unit, why)
        place = float(made.settings(item)[table.over]) if table.over else 0.0
        places.setdefault(unit, {}).setdefault(place, []).append(value)
    found = {}
    for unit, own in places.items():
        if unit in lost:
            continue
        means = {place: float(np.mean(at)) for place, at in own.items()}
        if not table.over:
            found[unit] = means[0.0]
        elif len(means) > 1:
            found[unit] = _slope(means)
        else:
            lost[unit] = f"one value of {table.over}"
    return found, lost


def _slope(means: Mapping[float, float]) -> float:
    """Of the least-squares line."""
    x, y = np.array(list(means)), np.array(list(means.values()))
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x))


def _reasons(reasons: Iterable[str]) -> str:
    counts = collections.Counter(reasons)
    return ", ".join(f"{count} {why}" for why, count in counts.items())
