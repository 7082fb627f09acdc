"""Tables as :func:`qlab.views.summary.summarize` makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="session")
def hostile() -> str:
    """A name that a page must show and not obey."""
    return HOSTILE


@pytest.fixture(scope="session")
def make_table() -> Callable[..., pd.DataFrame]:
    """A table of rows (model, ratio, mean validation accuracy, kept)."""

    def make(*rows: tuple[str, float, float, int], corruption: str = "LabelFlip") -> pd.DataFrame:
        records: list[dict[str, Any]] = []
        for model, ratio, mean, kept in rows:
            record: dict[str, Any] = {"model": model, "corruption": corruption, "ratio": ratio}
            for metric in ("train_accuracy", "validation_accuracy"):
                record |= {f"{metric}_mean": mean, f"{metric}_std": 0.05 if kept > 1 else float("nan")}
            left_out = "" if kept == 5 else "diverged"
            records.append(record | {"kept": kept, "trials": 5, "left_out": left_out})
        return pd.DataFrame(records)

    return make
