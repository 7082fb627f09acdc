"""Samples that one model gets right and another wrong: counts by seed, and which rows they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.errors import DataError

BOTH, FIRST, SECOND, NEITHER = "both", "first", "second", "neither"

OUTCOMES: Final = (BOTH, FIRST, SECOND, NEITHER)
"""Who gets a sample right."""

Right = NDArray[np.bool_]
"""Which samples a model gets right, ``[N]``."""


def is_right(logits: NDArray[np.float64], labels: NDArray[Any]) -> Right:
    """Which samples a model gets right: class 1 where the logit is positive, as in every accuracy.

    Args:
        logits: shape ``[N]``.
        labels: the true ones, 0 or 1, shape ``[N]``.

    Raises:
        DataError: there are not as many of both.
    """
    if logits.shape != np.shape(labels):
        raise DataError(f"Answers to {len(logits)} samples cannot be compared with {len(labels)} labels.")
    found: Right = (logits > 0) == (np.asarray(labels) == 1)
    return found


def outcomes(first: Right, second: Right) -> NDArray[np.str_]:
    """For each sample one of :data:`OUTCOMES`.

    Raises:
        DataError: the models were asked about different numbers of samples.
    """
    if first.shape != second.shape:
        raise DataError(f"Answers to {len(first)} and to {len(second)} samples cannot be compared.")
    return np.select([first & second, first & ~second, ~first & second], [BOTH, FIRST, SECOND], NEITHER)


def confusion_counts(first: Mapping[int, Right], second: Mapping[int, Right]) -> pd.DataFrame:
    """How many samples have which outcome, for each seed that both have: columns ``seed`` and :data:`OUTCOMES`."""
    rows = []
    for seed in sorted(first.keys() & second.keys()):
        found = outcomes(first[seed], second[seed])
        rows.append({"seed": seed, **{name: int((found == name).sum()) for name in OUTCOMES}})
    return pd.DataFrame(rows, columns=["seed", *OUTCOMES])


def disagreements(first: Mapping[int, Right], second: Mapping[int, Right], seed: int) -> pd.DataFrame:
    """The samples that one of two models of a seed gets right and the other wrong.

    Columns: ``row``, ``right`` ("first" or "second"), ``first_seeds`` and ``second_seeds`` (of how many seeds the
    models get it right) and ``seeds`` (of how many). Rows that the first gets right come first, in order.
    """
    found = outcomes(first[seed], second[seed])
    seeds = sorted(first.keys() & second.keys())
    totals = {
        name: np.sum([own[one] for one in seeds], axis=0)
        for name, own in (("first_seeds", first), ("second_seeds", second))
    }
    rows = np.concatenate([np.flatnonzero(found == name) for name in (FIRST, SECOND)])
    return pd.DataFrame(
        {"row": rows, "right": found[rows], **{name: own[rows] for name, own in totals.items()}, "seeds": len(seeds)}
    )
