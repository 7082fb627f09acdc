"""Which runs differ in nothing but their seed: decided by their configurations, never by text made for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from qlab.tracking import params

RATIO = "corruption.ratio"
"""The param that curves run over."""

OVER = "select.over"
"""The param that names those that were chosen for each ratio, and do not tell curves apart."""

_SEEDS = ("seed", "repeat", "oracle", "probe.label")
"""Params that differ within a group, and one that repeats what others say."""

POINTS = "points."
"""Params that name the runs whose models a probe needs: other ones for every seed."""


class Keys(NamedTuple):
    """What runs have in common, each a hash.

    Args:
        group: equal for runs that differ in seed only; repeats of an unlearning belong to one group.
        curve: equal for runs that differ in seed and corruption ratio only.
    """

    group: str
    curve: str


def differs_within(name: str) -> bool:
    """Whether a param may differ within a group."""
    return name in (*_SEEDS, "shadow") or name.startswith(POINTS)


def keys_of(settings: Mapping[str, Any]) -> Keys:
    """The keys of a run from its configuration.

    Args:
        settings: values by dotted name, as :func:`qlab.tracking.params.read` gives them.
    """
    own = {name: value for name, value in settings.items() if name not in _SEEDS and not name.startswith(POINTS)}
    chosen = own.get(OVER)
    left = {RATIO, *(chosen if isinstance(chosen, list | tuple) else ())}
    return Keys(_hash(own), _hash({name: value for name, value in own.items() if name not in left}))


def keys_of_params(texts: Mapping[str, str], run: str) -> Keys:
    """The keys of a run whose store does not say them, from its params.

    A run with a param that MLflow has cut is alone in its group: what was cut off may tell it from others.

    Args:
        texts: its params as they are stored.
        run: what to tell it from others by.
    """
    settings = {name: params.read(text) for name, text in texts.items()}
    cut = any(len(text) >= params.LONGEST for text in texts.values())
    return keys_of(settings | ({"run": run} if cut else {}))


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
