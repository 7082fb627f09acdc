"""Rows of a frame that agree in some columns, found once: thousands of runs have a handful of settings."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.tracking import names
from qlab.tracking.groups import POINTS
from qlab.tracking.missing import is_missing


def telling(frame: pd.DataFrame, more: Iterable[str] = ()) -> list[str]:
    """The columns that say what a run belongs to, in whatever way; others do not change its names.

    Args:
        frame: runs, see :mod:`qlab.tracking.frames`.
        more: further ones.
    """
    own = (names.CURVE, "oracles", *more)
    return [
        name
        for name in frame.columns
        if name in own or ("." in name and name not in names.COLUMNS and not name.startswith(POINTS))
    ]


def distinct(frame: pd.DataFrame, columns: Iterable[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first rows of each kind, in order, and for each row the place of the one that it agrees with among them.

    Values agree if they are equal and of the same type: 1, 1.0 and True do not. What is missing agrees.

    Args:
        frame: any.
        columns: of it, that are compared.
    """
    codes = np.zeros(len(frame), dtype=np.intp)
    for name in columns:
        values = frame[name].tolist()
        if all(map(operator.is_, values, itertools.repeat(values[0] if values else None))):
            continue  # most params: all runs say the same
        seen: dict[Hashable, int] = {}
        own = np.array([seen.setdefault(_key(value), len(seen)) for value in values], dtype=np.intp)
        if len(seen) > 1:
            _, codes = np.unique(codes * len(seen) + own, return_inverse=True)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return first[order], places[codes]


def _key(value: Any) -> Hashable:
    if is_missing(value):
        return None
    if isinstance(value, (list, tuple)):  # whose values are compared with their types too
        return repr(tuple(value))
    return type(value), value if isinstance(value, Hashable) else repr(value)
