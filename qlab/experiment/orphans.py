"""Runs that claim to be running although nobody runs them: their worker was killed, or its machine went down."""

from __future__ import annotations

from typing import Final

from qlab.experiment.session import Session
from qlab.tracking import frames, names

ERROR: Final = "interrupted: its worker is gone"


def end_orphans(session: Session) -> None:
    """Marks the runs of this MLflow experiment as killed whose workers are gone. What they hold is kept."""
    with session.tracking():
        running = frames.runs(session.store, [session.experiment_id], "attributes.status = 'RUNNING'")
        running = running[running["kind"].notna()]
        if running.empty:
            return
        gone = session.claims.gone(str(worker) for worker in running[names.WORKER].dropna())
        orphans = running[running[names.WORKER].isna() | running[names.WORKER].isin(gone)]
        session.end([str(run_id) for run_id in orphans["run_id"]], "KILLED", ERROR)
