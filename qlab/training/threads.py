"""How many threads PyTorch uses for an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

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


@contextmanager
def limited_threads() -> Iterator[None]:
    """Lets other libraries, such as scikit-learn's, use no more threads than PyTorch may."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=torch.get_num_threads()):
        yield


@contextmanager
def side_by_side(model: Model, tiles: int, device: torch.device) -> Iterator[Callable[..., Iterable[Any]]]:
    """A function like ``map`` that works on several tiles of an ensemble at a time, each in a thread of its own.

    PyTorch's own threads meet after every operation, and these operations are short: a thread for each tile keeps the
    cores busier. With fewer tiles than threads, on other devices, and for models that may not be run from several
    threads, it is ``map``.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or tiles < threads or not model.supports_vmap:
        yield map
        return
    try:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)
