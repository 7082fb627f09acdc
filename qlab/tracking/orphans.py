"""Runs that claim to be running although nobody runs them: their worker was killed, or its machine went down."""

from __future__ import annotations

from collections.abc import Sequence

from qlab.tracking import frames
from qlab.tracking.query import Query
from qlab.tracking.standing import REASON, groups_left, mark_interrupted
from qlab.tracking.store import Store


def end_orphans(store: Store, experiment_ids: Sequence[str]) -> None:
    """Marks the runs of some MLflow experiments as killed whose workers are gone. What they hold is kept."""
    groups = groups_left(store, experiment_ids)
    mark_interrupted(store, frames.runs(store, experiment_ids, Query(status="RUNNING")))
    if groups:
        store.end(groups, "KILLED", REASON)
