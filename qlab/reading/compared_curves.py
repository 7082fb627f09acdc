"""Curves and last values of groups of runs: means over seeds, and differences by seed with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from qlab.claims.intervals import t_interval
from qlab.reading.compare import Group, Series, by_seed, final
from qlab.views.kept import spread
from qlab.views.numerals import rounded
from qlab.views.readable import Written, spread_text

CURVES: Final = ("letter", "group", "metric", "step", "mean", "deviation", "n")
"""Columns of :func:`curve_table`."""

DIFFERENCES: Final = ("letter", "against", "metric", "step", "difference", "low", "high", "n")
"""Columns of :func:`difference_table`."""


def curve_table(groups: Sequence[Group], metrics: Sequence[str], series: Series) -> pd.DataFrame:
    """Mean and sample standard deviation (n - 1) over the seeds of each group, at each step; see :data:`CURVES`."""
    rows = []
    for group in groups:
        for metric in metrics:
            values = by_seed(group, metric, series)
            for step in sorted({step for own in values.values() for step in own}):
                known = [own[step] for own in values.values() if step in own]
                rows.append((group.letter, group.title, metric, step, *spread(known), len(known)))
    return pd.DataFrame(rows, columns=list(CURVES))


def difference_table(groups: Sequence[Group], reference: Group, metrics: Sequence[str], series: Series) -> pd.DataFrame:
    """Differences from one group by seed: mean over the seeds that both have, with a 95 % interval of it, at each step.

    The interval is Student's, see :func:`qlab.claims.intervals.t_interval`. Only steps that both have are there, and
    only seeds that have a finite value in both; ``n`` says how many. See :data:`DIFFERENCES`.

    Args:
        groups: all; the reference is left out.
        reference: what is subtracted.
        metrics: which.
        series: steps and values by run and metric.
    """
    parts = []
    for metric in metrics:
        base = by_seed(reference, metric, series)
        for group in groups:
            if group is not reference:
                parts.append(_difference(group, reference, metric, by_seed(group, metric, series), base))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(DIFFERENCES))


def end_table(groups: Sequence[Group], reference: Group, metrics: Sequence[str]) -> pd.DataFrame:
    """Last values: for each metric and group mean, deviation and n, and its paired difference from the reference.

    Columns: ``metric``, ``letter``, ``mean``, ``deviation``, ``n``, ``against``, ``difference``, ``low``, ``high`` and
    ``pairs``; the reference has no difference.
    """
    rows: list[dict[str, Any]] = []
    for metric in metrics:
        base = final(reference, metric)
        for group in groups:
            own = final(group, metric)
            mean, deviation = spread(list(own.values()))
            row = {"metric": metric, "letter": group.letter, "mean": mean, "deviation": deviation, "n": len(own)}
            seeds = [seed for seed in own if seed in base] if group is not reference else []
            found = np.array([own[seed] - base[seed] for seed in seeds])
            low, high = t_interval(found)
            paired = {"difference": spread(list(found))[0], "low": float(low), "high": float(high), "pairs": len(seeds)}
            rows.append(row | {"against": reference.letter if group is not reference else ""} | paired)
    columns = ["metric", "letter", "mean", "deviation", "n", "against", "difference", "low", "high", "pairs"]
    return pd.DataFrame(rows, columns=columns)


def in_words(ends: pd.DataFrame) -> pd.DataFrame:
    """The same table for people: a row for each metric, a column for each group and each difference."""
    rows: dict[str, dict[str, str]] = {}
    for row in ends.to_dict("records"):
        own = rows.setdefault(str(row["metric"]), {"metric": str(row["metric"])})
        own[row["letter"]] = spread_text(row["mean"], row["deviation"], row["n"])
        if row["against"]:
            own[f"{row['letter']} − {row['against']}"] = Written(difference_text(row), row["difference"])
    columns = list(dict.fromkeys(name for own in rows.values() for name in own))
    return pd.DataFrame(list(rows.values()), columns=sorted(columns, key=lambda name: "−" in name))


def difference_text(row: Mapping[Any, Any]) -> str:
    """A difference with its interval: "+0.031 [+0.012, +0.050], n = 5"."""
    value, low, high, pairs = float(row["difference"]), float(row["low"]), float(row["high"]), int(row["pairs"])
    if not pairs:
        return "– (no seed in common)"
    reach = 0.5 * (high - low)
    power = rounded(value, reach).power
    found = [number / 10.0**power for number in (value, low, high)]
    texts = [f"{number:+.{_places(reach / 10.0**power)}f}" for number in found]
    text = f"{texts[0]} [{texts[1]}, {texts[2]}]" if math.isfinite(reach) else texts[0]
    text = f"({text}) x 10^{power}" if power else text
    return f"{text}, n = {pairs}".replace("-", "−")


def _places(reach: float) -> int:
    """Decimals by which half an interval has two digits; three where there is none."""
    return max(0, 1 - int(f"{reach:.1e}".partition("e")[2])) if math.isfinite(reach) and reach > 0.0 else 3


def _difference(
    group: Group,
    reference: Group,
    metric: str,
    own: Mapping[int, Mapping[int, float]],
    base: Mapping[int, Mapping[int, float]],
) -> pd.DataFrame:
    seeds = [seed for seed in own if seed in base]
    steps = sorted({step for seed in seeds for step in own[seed].keys() & base[seed].keys()})
    values = np.array(
        [[own[seed].get(step, np.nan) - base[seed].get(step, np.nan) for step in steps] for seed in seeds]
    ).reshape(len(seeds), len(steps))
    counts = np.isfinite(values).sum(0)
    mean, low, high = (np.full(len(steps), np.nan) for _ in range(3))
    # Steps that the same number of seeds have are done together.
    for count in np.unique(counts):
        here = np.flatnonzero(counts == count)
        found = np.stack([column[np.isfinite(column)] for column in values[:, here].T], axis=1)
        mean[here] = found.mean(0)
        low[here], high[here] = t_interval(found)
    columns = (steps, mean, low, high, counts)
    about = {"letter": group.letter, "against": reference.letter, "metric": metric}
    measured = dict(zip(DIFFERENCES[3:], columns, strict=True))
    return pd.DataFrame({**measured}).assign(**about)[list(DIFFERENCES)]
