"""Tug of war: forgetting, keeping and generalising as one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qlab.audits.margins import Floats


def tug_of_war(accuracies: ArrayLike, oracle: ArrayLike) -> Floats:
    """ToW = (1 - |a_f - o_f|) (1 - |a_r - o_r|) (1 - |a_v - o_v|) (arXiv:2406.01257).

    The accuracies of a model on forget, retain and validation rows against those of a retrained one. It is 1 only if
    all three agree, whichever way they would differ; a model that forgets more than retraining does loses, too.

    Args:
        accuracies: of models, ``[..., 3]``, in [0, 1].
        oracle: of the retrained model, or means over several, ``[..., 3]``.

    Returns:
        Shape ``[...]``, in [0, 1].
    """
    found: Floats = np.prod(1.0 - np.abs(np.asarray(accuracies, dtype=float) - np.asarray(oracle, dtype=float)), -1)
    return found
