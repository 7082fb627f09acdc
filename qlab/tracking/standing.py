"""How runs stand: those that say they are running although nobody runs them any more were interrupted.

A command that is killed (SIGKILL, a power cut) cannot say so in the store. Whoever reads runs asks here whether a
command runs their experiment; who runs it next marks those that were left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd

from qlab.tracking import names
from qlab.tracking.lock import experiment_lock
from qlab.tracking.query import Query
from qlab.tracking.store import Store

INTERRUPTED: Final = "INTERRUPTED"
"""What the status of such a run is read as; MLflow has no such status."""

REASON: Final = "interrupted: its command is gone"


def with_interrupted(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    """Runs of qlab with the status :data:`INTERRUPTED` where nobody runs the experiment of a running one.

    Args:
        store: where they are from.
        frame: with the columns ``status``, ``kind``, ``experiment_id`` and ``qlab.error``.
    """
    running = frame[(frame["status"] == "RUNNING") & frame["kind"].notna()]
    if running.empty:
        return frame
    gone = pd.Series(False, index=frame.index)
    for experiment_id, runs in running.groupby("experiment_id"):
        if experiment_lock(store, str(experiment_id)).holder() is None:
            # A command may have ended its runs, and gone, since they were read.
            gone[runs.index] = runs["run_id"].isin(_running(store, str(experiment_id)))
    return frame.assign(
        **{
            "status": frame["status"].mask(gone, INTERRUPTED),
            names.ERROR: frame[names.ERROR].mask(gone & frame[names.ERROR].isna(), REASON),
        }
    )


def _running(store: Store, experiment_id: str) -> set[str]:
    return {str(run.info.run_id) for run in store.search([experiment_id], Query(status="RUNNING"))}


def groups_left(store: Store, experiment_ids: Sequence[str]) -> list[str]:
    """The runs of groups that say they are running although nobody runs their experiment."""
    found = list(store.groups_of(experiment_ids, Query(status="RUNNING")))
    idle = {
        number: experiment_lock(store, number).holder() is None
        for number in dict.fromkeys(str(run.info.experiment_id) for run in found)
    }
    return [str(run.info.run_id) for run in found if idle[str(run.info.experiment_id)]]


def mark_interrupted(store: Store, frame: pd.DataFrame) -> int:
    """Ends runs that were interrupted, of a frame that says which, and returns how many; what they hold is kept."""
    orphans = frame[frame["status"] == INTERRUPTED]
    if not orphans.empty:
        store.end([str(run_id) for run_id in orphans["run_id"]], "KILLED", REASON)
    return len(orphans)


def end_left(store: Store, experiment_id: str, but: str) -> None:
    """Marks the runs of an experiment as killed that an earlier command left running; for who holds the experiment.

    Args:
        store: where they are.
        experiment_id: the MLflow experiment.
        but: a run that is running.
    """
    left = Query(status="RUNNING", having=names.KIND)
    found = [run for run in store.search_kept([experiment_id], left) if run.data.tags[names.KIND] != names.CLAIMS]
    if orphans := [run_id for run in found if (run_id := str(run.info.run_id)) != but]:
        store.end(orphans, "KILLED", REASON)
