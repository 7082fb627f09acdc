"""Between which values colours and axes run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def finite_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """The lowest and highest finite value; a constant gets some room."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
