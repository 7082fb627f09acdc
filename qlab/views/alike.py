"""Runs that differ in nothing but their seed, the ratio and a param or two over which a figure runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from qlab.tracking import frames, names, params
from qlab.tracking.groups import keys_of
from qlab.tracking.missing import is_missing


def without(frame: pd.DataFrame, left: Collection[str]) -> pd.DataFrame:
    """Runs as if they had no such params: labels and keys do not tell them apart by those.

    A run with a param that MLflow has cut stays alone. The ratio tells runs apart by itself, as one of the labels.

    Args:
        frame: runs, see :mod:`qlab.tracking.frames`.
        left: the params.
    """
    columns = [name for name in frames.param_columns(frame) if name not in left]
    columns += [name for name in names.PLAIN_PARAMS if name in frame and name not in left]
    keys = []
    for row in frame.to_dict("records"):
        own: Mapping[str, Any] = {name: row[name] for name in columns if not is_missing(row[name])}
        cut = any(isinstance(value, str) and len(value) >= params.LONGEST for value in own.values())
        keys.append(keys_of({**own, **({"run": row["run_id"]} if cut else {})}).curve)
    present = [name for name in left if name in frame]
    return frame.drop(columns=present).assign(**{names.CURVE: pd.Series(keys, index=frame.index, dtype=object)})
