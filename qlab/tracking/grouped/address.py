"""Addresses of runs that are members of a group: the group's run, and what tells its members apart."""

from __future__ import annotations

_BETWEEN = ":"


def address(group: str, key: str) -> str:
    """The id of a member, which everything takes that takes the id of a run.

    Args:
        group: the id of the group's run.
        key: the member's identity, see :data:`qlab.tracking.names.TRIAL_KEY`.
    """
    return f"{group}{_BETWEEN}{key}"


def is_member(run_id: str) -> bool:
    """Whether an id is that of a member of a group."""
    return _BETWEEN in run_id


def group_of(run_id: str) -> str:
    """The run in MLflow that a run is kept in: its group's, or itself."""
    return run_id.partition(_BETWEEN)[0]


def key_of(run_id: str) -> str:
    """What tells a member from others of its group; empty if the run is none."""
    return run_id.partition(_BETWEEN)[2]
