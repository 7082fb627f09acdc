"""What runs mean that do not state a param: it came when there were stored runs already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qlab.tracking import names

_TYPE, _LOSS, _LOSS_TYPE = "model.type", "training.loss.", "training.loss.type"


def state(rows: Sequence[dict[str, Any]]) -> None:
    """Fills in what is not stated, where it tells rows of one type of model from others of it.

    Args:
        rows: settings by dotted name, one row a run; they are changed.
    """
    stated: dict[Any, set[str]] = {}
    for row in rows:
        stated.setdefault(row.get(_TYPE), set()).update(names.UNSTATED.keys() & row.keys())
    for row in rows:
        # The other settings of a loss are those of its type.
        own_loss = _LOSS_TYPE in row
        missing = stated[row.get(_TYPE)] - row.keys()
        row |= {name: names.UNSTATED[name] for name in missing if not (own_loss and name.startswith(_LOSS))}
