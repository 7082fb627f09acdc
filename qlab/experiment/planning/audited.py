"""What audits that are left would train."""

from __future__ import annotations

from collections.abc import Iterable

from qlab.experiment.planning.plan import Plan
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.words import counted


def costs(plan: Plan, store: Store | None) -> list[str]:
    """What the audits of a plan take, in words: models to train, and how often methods are applied.

    Args:
        plan: what is left.
        store: where models may be; None for nowhere.
    """
    audits = plan.todo_audits
    every = plan.experiment.audits
    if not every:
        return []
    lines = [f"{counted(len(every), 'audit')}: {len(every) - len(audits)} done, {len(audits)} would be taken"]
    if not audits:
        return lines
    parts = [
        _models(store, plan, names.ORACLE, "oracle", {key for audit in audits for key in audit.oracle_keys}),
        _models(store, plan, names.SHADOW, "shadow model", {key for audit in audits for key in audit.model_keys}),
    ]
    lines.append(f"audits take {' and '.join(filter(None, parts))}, each trained as its trial is")
    methods = {audit.of.key for audit in audits if audit.needs_models}
    if methods:
        models = audits[0].table.models
        lines.append(f"{counted(len(methods), 'unlearning run')} would be repeated on {counted(models, 'model')} each")
    return lines


def _models(store: Store | None, plan: Plan, kind: str, word: str, wanted: set[str]) -> str:
    if not wanted:
        return ""
    there = len(wanted & set(_stored(store, plan, kind)))
    return f"{counted(len(wanted), word)} ({there} in the store, {len(wanted) - there} to train)"


def _stored(store: Store | None, plan: Plan, kind: str) -> Iterable[str]:
    experiment = None if store is None else store.find_experiment(plan.experiment.name)
    if store is None or experiment is None:
        return ()
    found = frames.runs_of_kind(store, [experiment], kind)
    return found.loc[found["status"] == "FINISHED", "trial"]
