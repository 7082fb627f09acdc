"""Sharing an experiment with other workers: what one works at, the others leave alone and wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from qlab.errors import StoreAwayError
from qlab.experiment.plan import DAMAGED, Plan
from qlab.experiment.portions import portion
from qlab.experiment.session import Session
from qlab.experiment.trial import Measurement, Trial, Unlearning

POLL_SECONDS: Final = 1.0
"""While others work, the store is looked at so often; more rarely if that takes long."""

_POLL_SHARE = 10.0
"""A look at the store is followed by a pause of so many times its length."""


def complete(
    session: Session,
    plan: Plan,
    groups_of: Callable[[Plan], Sequence[Sequence[Trial | Unlearning | Measurement]]],
    perform: Callable[[Plan], None],
) -> Plan:
    """Sees to it that nothing of one kind is left: runs what this worker can claim, waits for what others run.

    A worker alone claims everything that is left; one of several takes a portion, looks again, and takes the next.
    What another worker is at is left to it. If it finishes, that counts; if it fails, that counts as well; if it is
    released or dies, what it had is claimed and run here.

    Args:
        session: what the experiment's parts share.
        plan: what is left, as far as is known.
        groups_of: what of a plan is left of the kind in question, in groups that are worked at together.
        perform: runs what is left of that kind in a plan.

    Returns:
        The last plan that was made.
    """
    told = False
    while True:
        groups = [_left(session, plan, group) for group in groups_of(plan)]
        left = [item for group in groups for item in group]
        if not left:
            return plan
        start = time.perf_counter()
        with session.tracking():
            wanted = portion(groups, _taken(session, plan, left), session.share.workers)
            claimed = won = session.claim(plan, wanted)
            if claimed:  # somebody may have finished it, or failed at it, before the claim was free
                plan = Plan.of(session.experiment, session.store)
                won = {item.key for item in _left(session, plan, [item for item in left if item.key in claimed])}
        mine = plan.only(won)
        if any(groups_of(mine)):
            session.left_to_others -= won
            perform(mine)
            tried = won - session.left_to_others
            session.attempted |= tried
            if len(tried) == len(left):
                return plan
        elif not claimed and (session.share.workers == 1 or not wanted):
            if not told:
                _tell(session, plan, left)
                told = True
            time.sleep(max(POLL_SECONDS, _POLL_SHARE * (time.perf_counter() - start)))
        with session.tracking():
            plan = Plan.of(session.experiment, session.store)


def _left(
    session: Session, plan: Plan, group: Sequence[Trial | Unlearning | Measurement]
) -> list[Trial | Unlearning | Measurement]:
    """What of a group this worker has not tried and no other has failed at."""
    left = [item for item in group if item.key not in session.attempted]
    return [item for item in left if not _failed_elsewhere(session, plan, item)]


def _taken(session: Session, plan: Plan, left: Sequence[Trial | Unlearning | Measurement]) -> Collection[str]:
    """What of that other workers are at. A worker alone does not ask: it claims everything, and sees what it gets."""
    if session.share.workers == 1:
        return ()
    try:
        return session.holders(plan, (item.key for item in left))
    except StoreAwayError:  # then claims do not ask either
        return ()


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


def _tell(session: Session, plan: Plan, left: Sequence[Trial | Unlearning | Measurement]) -> None:
    with session.tracking():
        holders = session.holders(plan, (item.key for item in left))
    if holders:
        whose = ", ".join(sorted({str(worker) for worker in holders.values()}))
        session.reporter.notice(f"{len(left)} are being run by {whose}: waiting")
