"""How many threads PyTorch uses for an ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from qlab.models.base import Model

SMALL_WORK = 2**15
"""PyTorch itself does not split elementwise work below this many elements. For an ensemble this small a second thread
gains a quarter at best (9.5 against 7.8 ms a step of 50 circuits) but must be waited for at every one of a hundred
small operations: with another process on the core it was seen to cost a factor of 40."""


@contextmanager
def suited_threads(model: Model, members: int) -> Iterator[None]:
    """Uses one thread while a small ensemble is evaluated, and puts the number back afterwards."""
    before = torch.get_num_threads()
    small = members * model.elements() <= SMALL_WORK
    try:
        if small:
            torch.set_num_threads(1)
        yield
    finally:
        if small:
            torch.set_num_threads(before)
