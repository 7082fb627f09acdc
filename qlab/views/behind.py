"""Which runs stand behind a point of a figure, in a few words for whoever points at it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from qlab.tracking.missing import is_missing
from qlab.views.backends import literal

BEHIND: Final = "behind"
"""A column of a table that is drawn: the text of :func:`said` for each row."""

IDS: Final = "ids of runs"
"""A column of such a table: the ids of all runs of each row, those that are left out among them."""

FEW: Final = 6
"""So many seeds or ids are named, of more runs the first."""

Key = tuple[Hashable, ...]


def runs_by(runs: pd.DataFrame, keys: Sequence[str]) -> dict[Key, pd.DataFrame]:
    """Runs by what they agree in; a missing value is one like the others, see :func:`key_of`.

    Args:
        runs: one row for each.
        keys: columns.
    """
    found: dict[Key, pd.DataFrame] = {}
    if runs.empty:
        return found
    for key, own in runs.groupby(list(keys), sort=False, dropna=False):
        found[tuple(None if is_missing(value) else value for value in key)] = own
    return found


def key_of(row: Mapping[Any, Any], keys: Sequence[str]) -> Key:
    """What a row of a table has in these columns, as :func:`runs_by` has it."""
    return tuple(None if is_missing(row[name]) else row[name] for name in keys)


def said(runs: pd.DataFrame) -> str:
    """Runs by their seeds, "seeds 0, 1, 2", or by the beginnings of their ids where seeds do not tell them apart.

    Args:
        runs: columns ``run_id`` and ``seed``.
    """
    seeds = [None if is_missing(seed) else f"{seed:g}" for seed in runs["seed"]]
    if None not in seeds and len(set(seeds)) == len(seeds):
        what, each = "seed", sorted((str(seed) for seed in seeds), key=float)
    else:
        what, each = "run", sorted(str(run)[:8] for run in runs["run_id"])
    if not each:
        return ""
    more = f" and {len(each) - FEW} more" if len(each) > FEW else ""
    return f"{what}{'s' if len(each) > 1 else ''} {', '.join(each[:FEW])}{more}"


def with_behind(table: pd.DataFrame, runs: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A table with columns :data:`BEHIND`, of the runs whose mean a row is, and :data:`IDS`.

    Args:
        table: a row for each group of runs.
        runs: a row for each run, with ``run_id`` and ``seed``, and ``kept`` if some are left out of the groups' means.
        keys: columns of both that tell groups apart.
    """
    own = runs_by(runs, keys)
    texts: list[str] = []
    ids: list[tuple[str, ...]] = []
    for row in table.to_dict("records"):
        found = own.get(key_of(row, keys))
        if found is None:
            texts.append("")
            ids.append(())
            continue
        texts.append(said(found[found["kept"]] if "kept" in found else found))
        ids.append(tuple(str(run) for run in found["run_id"]))
    columns = {BEHIND: pd.Series(texts, index=table.index, dtype=str)}
    return table.assign(**columns, **{IDS: pd.Series(ids, index=table.index, dtype=object)})


def without_behind(table: pd.DataFrame) -> pd.DataFrame:
    """A table without the columns of :func:`with_behind`: for files, and for people."""
    return table.drop(columns=[BEHIND, IDS], errors="ignore")


def pointed(
    place: str, column: str, table: pd.DataFrame, value: str, deviation: str, kept: str, of: str
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """What is said of points that are pointed at: columns of texts, and what to call them.

    Args:
        place: what the axis is, in words.
        column: that has the places, as the figure calls it.
        table: a row for each point.
        value: the column of means, as the figure calls it.
        deviation: the table's column of deviations, NaN for single runs.
        kept: its column of how many runs there are.
        of: its column of how many there would be.
    """
    found = pd.DataFrame(
        {
            "spread": [f"{v:.4f}" if np.isfinite(v) else "-" for v in np.asarray(table[deviation], dtype=float)],
            "counts": [
                f"{k:.0f}" if k == n else f"{k:.0f} of {n:.0f}" for k, n in zip(table[kept], table[of], strict=True)
            ],
        },
        index=table.index,
    )
    words = [
        (literal(place), f"@{{{column}}}{{0[.]0000}}"),
        ("mean", f"@{{{value}}}{{0.0000}}"),
        ("standard deviation", "@spread"),
        ("n", "@counts"),
    ]
    if BEHIND in table:
        found[BEHIND] = table[BEHIND].astype(str)
        words.append(("runs", f"@{BEHIND}"))
    return found, words
