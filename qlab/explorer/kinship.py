"""Which runs belong to a selection: what was made of a selected run, and what a selected run was made of."""

from __future__ import annotations

import collections
from collections.abc import Iterable

import pandas as pd

from qlab.tracking import names


class Kinship:
    """Teachers and what was made of them.

    Args:
        frame: all runs of an experiment, see :func:`qlab.tracking.frames.runs`.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        trials = set(frame.loc[frame["kind"] == names.TRIAL, "run_id"])
        self._parents: dict[str, str] = {}
        self._children: dict[str, list[str]] = collections.defaultdict(list)
        for run, parent in zip(frame["run_id"], frame["parent_id"], strict=True):
            if parent in trials:
                self._parents[run] = parent
                self._children[parent].append(run)

    def of(self, chosen: Iterable[str]) -> frozenset[str]:
        """The chosen runs, unlearning runs, oracles and probes of those that are trials, and teachers of the others."""
        found = set(chosen)
        found |= {child for run in found for child in self._children.get(run, ())} | {
            self._parents[run] for run in found if run in self._parents
        }
        return frozenset(found)
