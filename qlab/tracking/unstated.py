"""What runs mean that do not state a param: it came when there were stored runs already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qlab.tracking import names

_LOSS, _LOSS_TYPE = "training.loss.", "training.loss.type"

_INPUTS, _SITES, _OF_SITES = "model.inputs", "model.sites", ("pauli", "density")
"""Which inputs of models are of some sites; of others there are none to state."""

_OWNERS = {
    "task.type": ("task.",),
    "corruption.type": ("corruption.",),
    "model.type": ("model.", "training."),
    "unlearner.type": ("unlearner.",),
    "probe.type": ("probe.",),
}

_KNOWN = {
    owner: {name: value for name, value in names.UNSTATED.items() if name.startswith(tables)}
    for owner, tables in _OWNERS.items()
}
"""By what has the settings: a task, a corruption, a model and its training, a method, or a probe."""

OWNERS = tuple(_OWNERS)
"""Params that decide what is filled in."""

_TOLD, _WHICH = "corruption.known", "corruption.known_rows"
"""How many of the corrupted rows methods are told, and which: of runs that unlearn alone, the latter if not all."""


def state(rows: Sequence[dict[str, Any]]) -> None:
    """Fills in what is not stated, where it tells rows of one type of task or model from others of it.

    Args:
        rows: settings by dotted name, one row a run; they are changed.
    """
    for owner, known in _KNOWN.items():
        stated: dict[Any, set[str]] = {}
        for row in rows:
            stated.setdefault(row.get(owner), set()).update(known.keys() & row.keys())
        for row in rows:
            if owner == "corruption.type" and row.get("unlearner.type") is None:
                continue
            # The other settings of a loss are those of its type.
            own_loss = _LOSS_TYPE in row
            missing = stated[row.get(owner)] - row.keys()
            if row.get(_INPUTS, names.UNSTATED[_INPUTS]) not in _OF_SITES:
                missing -= {_SITES}
            if row.get(_TOLD, 1.0) == 1.0:
                missing -= {_WHICH}
            row |= {name: known[name] for name in missing if not (own_loss and name.startswith(_LOSS))}
