"""Values that are kept must be made outside of whatever transform or mode their first user happens to be in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def untransformed(make: Callable[[], Result]) -> Result:
    """What a function returns outside of all ``torch.func`` transforms and of ``inference_mode``, without gradients.

    For what is computed once and kept. A tensor made inside a transform, from whatever, belongs to that transform and
    breaks those who meet it later. Both are states of a thread, so the function runs in one of its own.
    """

    def alone() -> Result:
        with torch.no_grad():
            return make()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(alone).result()
