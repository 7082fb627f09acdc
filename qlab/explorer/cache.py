"""What all visitors share stays in memory, up to so many bytes: the least recently used goes first."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import torch

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MEBIBYTE = 2**20


def held_bytes(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of the tensors, arrays, tables and files that an object holds, wherever in it; each memory counted once.

    Args:
        value: any object; plain Python objects in it count for nothing.
        seen: identities of what was counted before.
    """
    seen = set() if seen is None else seen
    total, left = 0, [value]
    while left:
        item = left.pop()
        if isinstance(item, (str, int, float, type(None), type)) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, bytes):
            total += len(item)
            continue
        if isinstance(item, torch.Tensor):
            storage = item.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                total += storage.nbytes()
        elif isinstance(item, np.ndarray):
            base = item if item.base is None else item.base
            if not isinstance(base, np.ndarray) or item.base is None or id(base) not in seen:
                seen.add(id(base))
                total += item.nbytes
        elif isinstance(item, pd.DataFrame):
            total += int(item.memory_usage().sum())
        elif isinstance(item, dict):
            left += item.values()
        elif isinstance(item, (list, tuple, set, frozenset, collections.deque)):
            left += item
        else:
            left += vars(item).values() if hasattr(item, "__dict__") else []
            if dataclasses.is_dataclass(item):
                left += [getattr(item, field.name, None) for field in dataclasses.fields(item)]
    return total


class Kept(Generic[K, V]):
    """Keeps the last used values by key; safe to share among threads.

    What a value holds may grow after it was made (a landscape keeps prepared features), so all are measured again
    whenever one is added. The newest stays even if it is larger than the limit.

    Args:
        most: bytes that the values may hold together, as :func:`held_bytes` counts them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._values: collections.OrderedDict[K, V] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made if it is not kept; two threads that ask at once may both make it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            self._shrink()
        return value

    def _shrink(self) -> None:
        seen: set[int] = set()
        total = 0
        for number, key in enumerate(reversed(list(self._values))):
            total += held_bytes(self._values[key], seen)
            if total > self.most and number:
                del self._values[key]
