"""What the run of a group says of all its members: means and spreads over epochs or steps, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qlab.tracking import names
from qlab.tracking.curves import forget
from qlab.tracking.grouped.group import Group
from qlab.tracking.grouped.member import Member, Series
from qlab.tracking.store import MetricRow, Status, Store, now_ms

QUANTILES: Final = {"median": 0.5, "q05": 0.05, "q95": 0.95}
"""Endings of the names of metrics that are quantiles, and which."""


def close_groups(store: Store) -> None:
    """Writes the spreads of all groups that members were written to, and ends the groups' runs."""
    store.flush()
    groups = list(store.groups.touched.values())
    for group in groups:
        members = list(group.members())
        wanted = spreads(group, _kept(members))
        run = store.get_run(group.run_id)
        for name in run.data.metrics:
            forget(store, group.run_id, name)  # where it can be: of a server the newest value of a step counts
        rows = [row for own in wanted.values() for row in own]
        failed = sum(member.info.status == "FAILED" for member in members)
        status: Status = "FAILED" if failed else "FINISHED"
        if rows:
            store.log(group.run_id, metrics=rows)
        if failed:
            store.set_tags(group.run_id, {names.ERROR: f"{failed} of {len(members)} failed"})
        elif names.ERROR in run.data.tags:
            store.delete_tag(group.run_id, names.ERROR)
        store.finish(group.run_id, status)
    store.groups.closed()


def _kept(members: Iterable[Member]) -> list[str]:
    """The keys of those whose values count."""
    return [
        member.data.tags[names.TRIAL_KEY]
        for member in members
        if member.info.status == "FINISHED" and member.data.tags.get(names.HEALTH) not in names.LEFT_OUT
    ]


def spreads(group: Group, keys: Sequence[str]) -> dict[str, list[MetricRow]]:
    """Metrics of a group, by name: of each metric of its members mean, deviation, quantiles and number at every step.

    Args:
        group: the group.
        keys: of the members that count; of them values that are not finite do not.
    """
    now = now_ms()
    found: dict[str, list[MetricRow]] = {}
    for metric in sorted({name for part in group.parts.values() for name in part.metrics}):
        own = [series for key in keys if (series := group.series(key, metric)) is not None]
        by_step = _by_step(own)
        if not by_step:
            continue
        rows: dict[str, list[float]] = {name: [] for name in ("mean", "std", *QUANTILES, "n")}
        for _, values in by_step:
            rows["mean"].append(float(values.mean()))
            rows["std"].append(float(values.std(ddof=1)) if len(values) > 1 else np.nan)
            for name, quantile in zip(QUANTILES, np.quantile(values, list(QUANTILES.values())), strict=True):
                rows[name].append(float(quantile))
            rows["n"].append(float(len(values)))
        steps = [step for step, _ in by_step]
        for name, over in rows.items():
            found[f"{metric}_{name}"] = [
                (f"{metric}_{name}", value, step, now)
                for step, value in zip(steps, over, strict=True)
                if np.isfinite(value)
            ]
        found[metric] = [(metric, rows["mean"][-1], steps[-1], now)]
    return found


def _by_step(own: Sequence[Series]) -> list[tuple[int, NDArray[np.float64]]]:
    """The finite values of all at each step; of a step that was logged twice the later value."""
    if not own:
        return []
    steps = np.concatenate([series.steps for series in own])
    values = np.concatenate([series.values for series in own])
    owner = np.repeat(np.arange(len(own)), [len(series.steps) for series in own])
    order = np.lexsort((np.arange(len(steps)), owner, steps))
    steps, values, owner = steps[order], values[order], owner[order]
    last = np.ones(len(steps), dtype=bool)
    last[:-1] = (steps[1:] != steps[:-1]) | (owner[1:] != owner[:-1])
    last &= np.isfinite(values)
    steps, values = steps[last], values[last]
    places = np.flatnonzero(np.diff(steps)) + 1
    return [
        (int(at[0]), part)
        for at, part in zip(np.split(steps, places), np.split(values, places), strict=True)
        if len(at)
    ]
