"""Sharing an experiment with other workers: what one works at, the others leave alone and wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from qlab.experiment.plan import Plan
from qlab.experiment.session import DAMAGED, Session
from qlab.experiment.trial import Measurement, Trial, Unlearning

POLL_SECONDS: Final = 1.0
"""While others work, the store is looked at so often; more rarely if that takes long."""

_POLL_SHARE = 10.0
"""A look at the store is followed by a pause of so many times its length."""


def complete(
    session: Session,
    plan: Plan,
    left_of: Callable[[Plan], Sequence[Trial | Unlearning | Measurement]],
    perform: Callable[[Plan], None],
) -> Plan:
    """Sees to it that nothing of one kind is left: runs what this worker can claim, waits for what others run.

    What another worker is at is left to it. If it finishes, that counts; if it fails, that counts as well; if it is
    released or dies, what it had is claimed and run here.

    Args:
        session: what the experiment's parts share.
        plan: what is left, as far as is known.
        left_of: what of a plan is left of the kind in question.
        perform: runs what is left of that kind in a plan.

    Returns:
        The last plan that was made.
    """
    told = False
    while True:
        left = [item for item in left_of(plan) if item.key not in session.attempted]
        left = [item for item in left if not _failed_elsewhere(session, plan, item)]
        if not left:
            return plan
        start = time.perf_counter()
        with session.tracking():
            won = session.claims.claim(item.key for item in left)
            if won:  # somebody may have finished it before the claim was free
                plan = Plan.of(session.experiment, session.store)
        mine = plan.only(won)
        if left_of(mine):
            perform(mine)
            session.attempted |= won
            if len(won) == len(left):
                return plan
        elif not won:
            if not told:
                _tell(session, left)
                told = True
            time.sleep(max(POLL_SECONDS, _POLL_SHARE * (time.perf_counter() - start)))
        with session.tracking():
            plan = Plan.of(session.experiment, session.store)


def _failed_elsewhere(session: Session, plan: Plan, item: Trial | Unlearning | Measurement) -> bool:
    """Whether another worker has failed at something since this one began; takes that down."""
    run_id = plan.last_runs.get(item.key)
    if plan.states.get(item.key) != "FAILED" or run_id in session.old_failures:
        return False
    error = plan.errors.get(item.key, "failed in another process")
    if error == DAMAGED:
        return False
    session.fail([item], error)
    session.attempted.add(item.key)
    return True


def _tell(session: Session, left: Sequence[Trial | Unlearning | Measurement]) -> None:
    with session.tracking():
        holders = session.claims.holders(item.key for item in left)
    if holders:
        whose = ", ".join(sorted({str(worker) for worker in holders.values()}))
        session.reporter.notice(f"{len(left)} are being run by {whose}: waiting")
