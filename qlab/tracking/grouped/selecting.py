"""Which groups may have members that are asked for, and members chosen in MLflow's own words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mlflow.utils.search_utils import SearchUtils

from qlab.tracking import names
from qlab.tracking.grouped.address import group_of, is_member
from qlab.tracking.grouped.member import Member
from qlab.tracking.query import Query


def runs_asked(query: Query) -> Query | None:
    """What is asked for of runs that are no members; None if only members are asked for."""
    if not query.run_ids:
        return query
    own = tuple(run_id for run_id in query.run_ids if not is_member(run_id))
    return dataclasses.replace(query, run_ids=own) if own else None


def groups_asked(query: Query) -> Query | None:
    """What groups have whose members may be asked for; None if no member can be."""
    if query.status == "RUNNING":  # members are kept when they have ended
        return None
    if query.run_ids:
        groups = tuple(dict.fromkeys(group_of(run_id) for run_id in query.run_ids if is_member(run_id)))
        return Query(run_ids=groups) if groups else None
    tags = {name: query.tags[name] for name in (names.GROUP, names.CURVE) if name in query.tags}
    kind = query.tags.get(names.KIND)
    if kind in (names.EXPERIMENT, names.CLAIMS) or names.CONTENT in query.tags:
        return None
    return Query(tags | ({names.MEMBERS: kind} if kind in _MEMBERS else {}))


_MEMBERS = (names.TRIAL, names.SELECTION, names.UNLEARNING, names.ORACLE, names.SHADOW, names.PROBE)


def chosen_in_words(members: Sequence[Member], text: str) -> list[Member]:
    """Members to which a filter applies that MLflow understands.

    Raises:
        MlflowException: it does not understand it.
    """
    return list(SearchUtils.filter(members, text))
