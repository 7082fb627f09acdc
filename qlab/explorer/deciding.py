"""What a model decides at a point of a slice: the rows of its training data as a map, as its parameters there say."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from qlab.errors import DataError
from qlab.explorer.loaded import Loader
from qlab.explorer.slicing import Asked, Sliced, named_others
from qlab.explorer.training_map import mapped
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.views.decision_map import Judged, decided


@dataclasses.dataclass(frozen=True, eq=False)
class Decision:
    """The map at a place of a slice.

    Args:
        name: of the model among those that are sliced.
        title: model, corruption, ratio, seed and method.
        place: coordinates along the two directions.
        frame: see :func:`qlab.views.decision_map.decided`.
        judged: by which label a decision is right.
    """

    name: str
    title: str
    place: tuple[float, float]
    frame: pd.DataFrame
    judged: Judged


def place_of(cut: Sequence[float]) -> tuple[float, float] | None:
    """The place that an address names; None where it names none.

    Raises:
        DataError: it is none.
    """
    if not cut:
        return None
    if len(cut) != 2 or not all(math.isfinite(value) for value in cut):
        raise DataError(f"cut: got {json.dumps(list(cut))}, accepts two finite numbers: [0.5, -0.25].")
    return float(cut[0]), float(cut[1])


def logits_at(landscape: Landscape, result: ProbeResult, place: tuple[float, float]) -> Any:
    """The logits of all training rows at theta_0 + a d_1 + b d_2, ``[N]``.

    Args:
        landscape: of the model.
        result: of a SliceProbe in two dimensions, which has d_1 and d_2.
        place: a and b.
    """
    directions = torch.as_tensor(result.arrays["directions"], dtype=torch.float64)
    theta = landscape.theta + place[0] * directions[0] + place[1] * directions[1]
    with torch.no_grad():
        return landscape.on("train").logits(theta).double().numpy()


def decide(
    loader: Loader, asked: Asked, sliced: Sliced, number: int, place: tuple[float, float], look: tuple[str, str]
) -> Decision:
    """The map of what one of the sliced models decides.

    Args:
        loader: makes landscapes.
        asked: what was sliced.
        sliced: the slices.
        number: of the slice.
        place: see :func:`logits_at`.
        look: how rows are projected, and by which label a decision is right.

    Raises:
        DataError: there is no such slice on a plane, or no such label.
    """
    shown = list(sliced.results)
    if not 0 <= number < len(shown):
        raise DataError(f"cut_in: got {number}, but there are slices 0 to {len(shown) - 1}.")
    projection, judged = look
    if judged not in ("clean", "given"):
        raise DataError(f'judged: got "{judged}", accepts clean or given.')
    name = shown[number]
    item = sliced.items[name]
    landscape = loader.landscape(asked.experiment, item, named_others(name, sliced.items))
    frame = mapped(loader.config(asked.experiment, item), projection)
    logits = np.asarray(logits_at(landscape, sliced.results[name], place))
    by: Judged = "given" if judged == "given" else "clean"
    return Decision(name, sliced.titles[name], place, decided(frame, logits, by), by)
