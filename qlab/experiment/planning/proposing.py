"""Whether an experiment had better keep its runs together, said before it starts."""

from __future__ import annotations

from typing import Final

from qlab.experiment.planning.plan import Plan
from qlab.tracking import names

MOST_RUNS: Final = 1000
"""More new runs than this are proposed to be kept together."""

_FEW = 5
"""Groups of fewer gain little."""

_RUN_SECONDS, _MEMBER_SECONDS, _GROUP_SECONDS = 0.05, 0.001, 0.3
"""What writing takes: MLflow's client for a run of its own, and what is needed of a run in a group and for a group."""


def tracking_notice(plan: Plan) -> str | None:
    """What tracking takes with a run each, and how it takes less; None where that is not worth a word.

    Args:
        plan: what is left to do.
    """
    items = [*plan.todo, *plan.todo_unlearnings, *plan.todo_probe_runs]
    if plan.experiment.track != "runs" or len(items) <= MOST_RUNS:
        return None
    groups = len({(type(item), item.group_tags[names.GROUP]) for item in items})
    if len(items) < _FEW * groups:
        return None
    together = _MEMBER_SECONDS * len(items) + _GROUP_SECONDS * groups
    return (
        f"{len(items):,} new runs: an MLflow run for each takes about {_time(_RUN_SECONDS * len(items))} of tracking. "
        f'With --track groups (or track = "groups" in [run]) those that differ in seed only are kept in one, '
        f"{groups:,} in all, in about {_time(together)}; everything reads them alike (docs/running.md)."
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
