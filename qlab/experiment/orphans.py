"""What workers leave behind that are killed, or whose machines go down."""

from __future__ import annotations

from typing import Final

from qlab.experiment import resumption
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


def delete_states(session: Session) -> None:
    """Deletes states of trainings that had finished when their worker was killed."""
    with session.tracking():
        left = f"attributes.status = 'FINISHED' and tags.`{names.RESUME}` != ''"
        runs = list(session.store.search([session.experiment_id], left))
        gone = session.claims.gone({run.data.tags.get(names.WORKER, "") for run in runs})
        for run in runs:
            if run.data.tags.get(names.WORKER, "") in gone:
                resumption.delete_state(session.store, str(run.info.run_id))
