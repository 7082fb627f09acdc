"""What a model says of its training rows before unlearning and after: which it has put right, and which it has lost."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.reading.confusion import is_right

CLEAN, KNOWN, HIDDEN, ALARM = "clean", "corrupted, known", "corrupted, hidden", "clean, named by mistake"

ROWS: Final = (CLEAN, ALARM, KNOWN, HIDDEN)
"""Kinds of rows: whether they are corrupted, and whether the method is told to forget them."""

BEFORE, AFTER = "before", "after"


def row_kinds(corrupted: NDArray[np.bool_], told: NDArray[np.bool_]) -> NDArray[np.str_]:
    """For each row one of :data:`ROWS`.

    Args:
        corrupted: which rows are, ``[N]``.
        told: which of them the method is told to forget, ``[N]``.
    """
    return np.select([corrupted & told, corrupted, told], [KNOWN, HIDDEN, ALARM], CLEAN)


def judged(frame: pd.DataFrame, before: NDArray[np.float64], after: NDArray[np.float64]) -> pd.DataFrame:
    """Rows with what both models say of them: right is what has the true label.

    Added columns: ``before`` and ``after`` (whether right), ``before_class`` and ``after_class``, 0 or 1.

    Args:
        frame: see :func:`qlab.views.data_map.map_frame`.
        before: logits of the model before unlearning, ``[N]``.
        after: logits after it, ``[N]``.

    Raises:
        DataError: there are not as many of both as rows.
    """
    labels = frame["clean_label"].to_numpy()
    found: dict[str, Any] = {}
    for name, logits in ((BEFORE, before), (AFTER, after)):
        found[name] = is_right(logits, labels)
        found[f"{name}_class"] = (logits > 0).astype(int)
    return frame.assign(**found)


def confused(rows: pd.DataFrame) -> pd.DataFrame:
    """How many rows of each kind are right before unlearning and after.

    Columns: ``rows`` (the kind; the last line is of all), ``n``, ``right_before``, ``right_after``, ``mended`` (wrong
    before, right after), ``lost`` (right before, wrong after), ``given_before`` and ``given_after`` (how many are said
    to be what they were trained on as).

    Args:
        rows: see :func:`judged`, with ``told``: one of :data:`ROWS` for each.
    """
    kinds = [kind for kind in ROWS if (rows["told"] == kind).any()]
    lines = []
    for kind in [*kinds, "all"]:
        own = rows if kind == "all" else rows[rows["told"] == kind]
        before, after = own[BEFORE].astype(bool), own[AFTER].astype(bool)
        lines.append(
            {
                "rows": kind,
                "n": len(own),
                "right_before": int(before.sum()),
                "right_after": int(after.sum()),
                "mended": int((~before & after).sum()),
                "lost": int((before & ~after).sum()),
                "given_before": int((own["before_class"] == own["polluted_label"]).sum()),
                "given_after": int((own["after_class"] == own["polluted_label"]).sum()),
            }
        )
    return pd.DataFrame(lines)
