"""Runs that claim to be running although nobody runs them: their worker was killed, or its machine went down."""

from __future__ import annotations

from qlab.experiment.session import Session
from qlab.tracking import frames
from qlab.tracking.standing import mark_interrupted


def end_orphans(session: Session) -> None:
    """Marks the runs of this MLflow experiment as killed whose workers are gone. What they hold is kept."""
    with session.tracking():
        running = frames.runs(session.store, [session.experiment_id], "attributes.status = 'RUNNING'")
        mark_interrupted(session.store, running)
