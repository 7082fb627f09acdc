"""Runs of a noisy circuit over flip ratio and strength, made up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

RATIOS = (0.0, 0.2, 0.4)
STRENGTHS = (0.0, 0.001, 0.01, 0.1)


def accuracy(ratio: float, strength: float, seed: int) -> float:
    """What the runs reach: falls with both, and differs among seeds."""
    return 0.95 - 0.5 * ratio - 2.0 * strength + 0.01 * seed


def run(**changed: Any) -> dict[str, Any]:
    """One run."""
    row: dict[str, Any] = {
        "qlab.not_finite": (),
        "task.type": "XXZ",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.0,
        "model.type": "PennyLaneQNN",
        "model.scale": 5.0,
        "seed": 0,
        "status": "FINISHED",
        "health": "healthy",
        "validation_accuracy": 1.0,
    }
    return row | {key.replace("__", "."): value for key, value in changed.items()}


def noisy(
    channel: str = "BitFlip",
    field: str = "p",
    seeds: Sequence[int] = (0, 1),
    reach: Callable[[float, float, int], float] = accuracy,
    strengths: Sequence[float] = STRENGTHS,
) -> list[dict[str, Any]]:
    """A run for each ratio, strength and seed."""
    return [
        run(corruption__ratio=ratio, seed=seed, validation_accuracy=reach(ratio, strength, seed))
        | {"model.noise.1.channel": channel, f"model.noise.1.{field}": strength, "noise_attenuation": 1.0 - strength}
        for ratio, strength, seed in itertools.product(RATIOS, strengths, seeds)
    ]


def frame_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Runs as :mod:`qlab.tracking.frames` gives them: params in columns of objects."""
    found = pd.DataFrame(rows)
    given = [name for name in found if "." in name and name not in ("corruption.ratio", "qlab.not_finite")]
    columns = {name: pd.Series([None if v != v else v for v in found[name]], dtype=object) for name in given}
    return found.assign(**columns)
