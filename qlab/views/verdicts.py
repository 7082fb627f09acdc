"""How rows that a model gets right or wrong look on every map."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KINDS: Final = (
    ("right", "#0072B2", ("circle", "o")),
    ("wrong", "#D55E00", ("circle", "o")),
    ("right, corrupted row", "#0072B2", ("x", "X")),
    ("wrong, corrupted row", "#D55E00", ("x", "X")),
)
"""What there is to see, with colours and both backends' markers: a cross is a corrupted row, as on the map of data."""


def verdicts(right: Any, corrupted: Any) -> NDArray[np.int64]:
    """For each row its place among :data:`KINDS`.

    Args:
        right: whether the model is, ``[N]``, bool.
        corrupted: whether the row is, ``[N]``, bool.
    """
    return 2 * np.asarray(corrupted, dtype=np.int64) + ~np.asarray(right, dtype=bool)
