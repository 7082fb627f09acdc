"""What the experiments of a store ask, and what they found: from their own runs and summaries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import pandas as pd

from qlab.claims.table import claim_table
from qlab.reading.claims import claims_of
from qlab.tracking import names
from qlab.tracking.query import Query
from qlab.tracking.store import Store

_FOLDER: Final = "summary"

_FIRST: Final = ("accuracy", "unlearning", "map", "audits", "roughening", "hessian")
"""Figures in the order in which they say what an experiment is about."""


@dataclasses.dataclass(frozen=True, eq=False)
class Finding:
    """What one experiment asks and found.

    Args:
        experiment: its name.
        about: what it is for, as its file says.
        claims: what it claims and the verdicts, see :func:`qlab.claims.table.claim_table`.
        run: its own run, the last that has a summary; else the last.
        status: of its last run, as MLflow has it.
        error: why that failed.
        changed: when that ended, or began if it has not, in milliseconds since the epoch.
        figures: paths of PNG files among that run's artifacts, that which says most first.
    """

    experiment: str
    about: str
    claims: pd.DataFrame
    run: str
    status: str
    error: str
    changed: int
    figures: tuple[str, ...]

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims have which verdict."""
        return {str(word): int(count) for word, count in self.claims["verdict"].value_counts().items()}

    def figure_of(self, name: str) -> str:
        """The figure of that name, which a claim says that it is shown by; empty if there is none."""
        return next((path for path in self.figures if PurePosixPath(path).stem == name), "")


def findings(store: Store, experiments: Mapping[str, str]) -> list[Finding]:
    """What experiments found, that which changed last first; those that qlab has not run are left out.

    One search for the runs of all experiments, then a listing of files for each, and of those with claims their record.

    Args:
        store: where they are.
        experiments: ids by name.
    """
    every: dict[str, list[Any]] = {}
    for run in store.search(list(experiments.values()), Query({names.KIND: names.EXPERIMENT}), brief=True):
        every.setdefault(str(run.info.experiment_id), []).append(run)
    found = [
        _finding(store, name, number, sorted(every[number], key=lambda run: (run.info.start_time, run.info.run_id)))
        for name, number in experiments.items()
        if number in every
    ]
    return sorted(found, key=lambda finding: (-finding.changed, finding.experiment))


def _finding(store: Store, name: str, number: str, runs: Sequence[Any]) -> Finding:
    last = runs[-1]
    drawn = next((run for run in reversed(runs) if run.data.tags.get(names.SUMMARY)), last)
    claimed = any(run.data.tags.get(names.CLAIM_RECORD) for run in runs)
    run_id = str(drawn.info.run_id)
    return Finding(
        experiment=name,
        about=str(last.data.tags.get(names.NOTE, "")),
        claims=claims_of(store, {name: number}) if claimed else claim_table([], name),
        run=run_id,
        status=str(last.info.status),
        error=str(last.data.tags.get(names.ERROR, "")),
        changed=int(last.info.end_time or last.info.start_time),
        figures=tuple(_ordered(store.files(run_id, _FOLDER))),
    )


def _ordered(files: Iterable[str]) -> list[str]:
    """The pictures among some files."""
    pictures = [path for path in files if PurePosixPath(path).suffix == ".png"]

    def rank(path: str) -> tuple[int, str]:
        stem = PurePosixPath(path).stem
        return (_FIRST.index(stem) if stem in _FIRST else len(_FIRST), path)

    return sorted(pictures, key=rank)
