"""How runs stand: those that say they are running although nobody runs them any more were interrupted.

A command that is killed (SIGKILL, a power cut) cannot say so in the store. Whoever reads runs asks here who of their
workers is there; whoever writes marks those that are not.
"""

from __future__ import annotations

from typing import Final

import pandas as pd

from qlab.tracking import names
from qlab.tracking.claims import Claims
from qlab.tracking.store import Store

INTERRUPTED: Final = "INTERRUPTED"
"""What the status of such a run is read as; MLflow has no such status."""

REASON: Final = "interrupted: its worker is gone"

SILENT_SECONDS: Final = 600.0
"""A worker of another machine that was last heard of so long ago is gone, for a reader, who cannot wait and see."""


def with_interrupted(store: Store, frame: pd.DataFrame) -> pd.DataFrame:
    """Runs of qlab with the status :data:`INTERRUPTED` where the worker of a running one is gone.

    Args:
        store: where they are from.
        frame: with the columns ``status``, ``kind``, ``experiment_id``, ``qlab.worker`` and ``qlab.error``.
    """
    running = frame[(frame["status"] == "RUNNING") & frame["kind"].notna()]
    if running.empty:
        return frame
    gone = pd.Series(False, index=frame.index)
    for experiment_id, runs in running.groupby("experiment_id"):
        workers = Claims(store, str(experiment_id), silent=SILENT_SECONDS).gone(
            str(worker) for worker in runs[names.WORKER].dropna().unique()
        )
        orphans = runs[runs[names.WORKER].isna() | runs[names.WORKER].isin(workers)]
        if not orphans.empty:  # a worker may have ended its runs, and gone, since they were read
            gone[orphans.index] = orphans["run_id"].isin(_running(store, str(experiment_id)))
    return frame.assign(
        **{
            "status": frame["status"].mask(gone, INTERRUPTED),
            names.ERROR: frame[names.ERROR].mask(gone & frame[names.ERROR].isna(), REASON),
        }
    )


def _running(store: Store, experiment_id: str) -> set[str]:
    return {str(run.info.run_id) for run in store.search([experiment_id], "attributes.status = 'RUNNING'")}


def mark_interrupted(store: Store, frame: pd.DataFrame) -> int:
    """Ends runs that were interrupted, of a frame that says which, and returns how many; what they hold is kept."""
    orphans = frame[frame["status"] == INTERRUPTED]
    if not orphans.empty:
        store.end([str(run_id) for run_id in orphans["run_id"]], "KILLED", REASON)
    return len(orphans)
