"""What visitors share is bounded by what it holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from qlab.explorer.cache import Kept, held_bytes


@dataclasses.dataclass(frozen=True)
class Holder:
    array: np.ndarray
    table: dict[str, Any]


def test_memory_is_found_wherever_it_is_and_counted_once() -> None:
    tensor = torch.zeros(100)
    shared = [tensor, tensor[:50], tensor.view(10, 10)]
    assert held_bytes(shared) == 400
    assert held_bytes(torch.nn.Linear(10, 10)) == 440
    array = np.zeros(10)
    assert held_bytes(Holder(array, {"again": [array, (np.ones(5),)]})) == 120
    assert held_bytes([array[:5], array[5:]]) <= 160
    loop: list[Any] = [tensor]
    loop.append(loop)
    assert held_bytes([loop, "text", 3, None, Holder]) == 400


def test_the_least_recently_used_goes_first_and_the_newest_stays() -> None:
    kept: Kept[str, torch.Tensor] = Kept(1000)
    made: list[str] = []

    def get(key: str, count: int = 100) -> None:
        kept.get(key, lambda: made.append(key) or torch.zeros(count))  # type: ignore[func-returns-value]

    for key in "abacab":
        get(key)
    assert made == ["a", "b", "c", "b"]
    get("large", 10_000)
    assert len(kept) == 1


def test_what_fails_is_not_kept() -> None:
    kept: Kept[str, int] = Kept(10)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)
    assert len(kept) == 0


def test_what_grew_is_measured_again() -> None:
    kept: Kept[str, list[torch.Tensor]] = Kept(1000)
    first = kept.get("a", list)
    first.append(torch.zeros(1000))
    kept.get("b", list)
    assert len(kept) == 1
