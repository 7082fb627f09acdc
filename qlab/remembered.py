"""What was computed from data, kept as long as the data are: models that need the same of the same data share it."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

MOST_BYTES = 2**28
"""So much is kept at most, what was needed longest ago goes first."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    source: weakref.ref[Any]
    version: int
    found: Tensor


class Remembered:
    """A memory of what was computed from tensors, by the identity of the tensor and by what was computed.

    What belongs to a tensor that is gone, or that was written to since, is not found again.

    Args:
        most_bytes: so much is kept at most.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._parts: OrderedDict[int, tuple[weakref.ref[Tensor], weakref.ref[Any], int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, x: Tensor, what: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What ``make`` computes from ``x``, perhaps from an earlier call; not to be written to.

        Args:
            x: a tensor.
            what: tells apart what is computed from it.
            make: computes it, and depends on ``x`` and ``what`` alone.
        """
        if _is_transient(x):
            return make()
        source, place = self._origin(x)
        version = source._version if isinstance(source, Tensor) else 0
        key = (id(source), *place, what)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.source() is source and kept.version == version:
                self._kept.move_to_end(key)
                return kept.found
        found = make()
        if found.nbytes <= self._most:
            with self._lock:
                self._kept[key] = _Kept(weakref.ref(source), version, found)
                self._kept.move_to_end(key)
                self._tidy()
        return found

    def is_part(self, part: Tensor, whole: Any, start: int, stop: int) -> None:
        """Takes down that a tensor holds some rows of features that are not held, or not used, as a whole.

        Args:
            part: the rows; found again by where they come from, after the tensor itself is gone.
            whole: where they come from: a tensor, or features that are made when they are needed.
            start: the first row.
            stop: the row after the last.
        """
        with self._lock:
            self._parts[id(part)] = (weakref.ref(part), weakref.ref(whole), start, stop)
            for key in [key for key, (known, *_) in self._parts.items() if known() is None]:
                del self._parts[key]

    @property
    def nbytes(self) -> int:
        """What is kept."""
        return sum(kept.found.nbytes for kept in self._kept.values())

    def _origin(self, x: Tensor) -> tuple[Any, tuple[int, ...]]:
        known = self._parts.get(id(x))
        if known is not None and known[0]() is x and (whole := known[1]()) is not None:
            return whole, known[2:]
        return x, ()

    def _tidy(self) -> None:
        for key in [key for key, kept in self._kept.items() if kept.source() is None]:
            del self._kept[key]
        while self.nbytes > self._most:
            self._kept.popitem(last=False)


def _is_transient(x: Tensor) -> bool:
    """Whether a tensor, or what is made of it now, is of no use elsewhere: in a transform, or with a gradient."""
    inside = torch._C._functorch.peek_interpreter_stack() is not None
    return inside or torch.is_inference_mode_enabled() or x.is_inference() or x.requires_grad


REMEMBERED = Remembered()
"""The memory of this process."""
