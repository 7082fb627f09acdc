"""Runs without noise as those of strength zero of every channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from qlab.tracking import frames, names
from qlab.tracking.missing import is_missing
from qlab.views.alike import without
from qlab.views.controls import has
from qlab.views.words import NOISE

_LIST: Final = "model.noise"
_ATTENUATION: Final = "noise_attenuation"
"""A metric of runs with noise; it is one without, where nobody logs it."""


def with_zero(frame: pd.DataFrame, axes: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    """Runs, and those without noise once more for each channel whose strength is on an axis and was not tried at zero.

    They stand for a channel if all else is as in some run with it. No noise is what every channel does at strength
    zero, and an experiment that has several trains it once.

    Args:
        frame: one row for each run.
        axes: params on the axes of a map.
    """
    axis = next((own for own in axes if own and all(NOISE.fullmatch(name) for name in own)), ())
    axis = tuple(name for name in axis if name in frame)
    noise = [name for name in frames.param_columns(frame) if name == _LIST or name.startswith(f"{_LIST}.")]
    if not axis:
        return frame
    bare = has(frame, _LIST, None)
    noisy = (~frame[list(axis)].map(is_missing)).any(axis=1).to_numpy(dtype=bool)
    if not bare.any() or not noisy.any():
        return frame
    others = {name for own in axes for name in own} | set(noise)
    alike = without(frame, others)[names.CURVE].to_numpy()
    described = [name for name in noise if name not in axis]
    channels: dict[str, dict[str, Any]] = {}
    members: dict[str, list[int]] = {}
    for place in np.flatnonzero(noisy):
        row = frame.iloc[int(place)]
        own = {name: row[name] for name in (*described, *axis)}
        of = next(name for name in axis if not is_missing(own[name]))
        told = repr((of, [(name, own[name]) for name in described]))
        channels.setdefault(told, dict.fromkeys(axis) | {name: own[name] for name in described} | {of: 0.0})
        members.setdefault(told, []).append(int(place))
    copies = []
    for told, setting in channels.items():
        places = members[told]
        tried = any(frame[name].iloc[place] == 0.0 for name in axis for place in places)
        here = bare & np.isin(alike, list({alike[place] for place in places}))
        if tried or not here.any():
            continue
        copy = frame[here].copy()
        for name, value in setting.items():
            copy[name] = pd.Series([value] * len(copy), index=copy.index, dtype=object)
        if _ATTENUATION in copy:
            copy[_ATTENUATION] = 1.0
        copies.append(copy)
    return pd.concat([frame, *copies], ignore_index=True) if copies else frame
