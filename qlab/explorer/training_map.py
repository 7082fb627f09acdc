"""The training rows of a trial as a map, kept for all pages that draw it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from qlab.explorer.cache import MEBIBYTE, Kept
from qlab.explorer.loaded import corrupted_of
from qlab.tracking import names
from qlab.views.data_map import Projection, map_frame, project_features

KEPT_MAPS = 64 * MEBIBYTE
"""Bytes of maps of data that stay in memory."""

_maps: Kept[str, pd.DataFrame] = Kept(KEPT_MAPS)


def mapped(config: Mapping[str, Any], projection: str) -> pd.DataFrame:
    """The training split of a trial in two dimensions, with its labels and what is known of its rows.

    Args:
        config: of the trial.
        projection: "pca" or "tsne".
    """
    method: Projection = "tsne" if projection == "tsne" else "pca"

    def make() -> pd.DataFrame:
        corrupted = corrupted_of(config)
        places = project_features(corrupted.split.x, method, seed=int(config["seed"]))
        labels = (corrupted.split.y.numpy(), corrupted.clean_y.numpy(), corrupted.mask.numpy())
        about = {name: values.numpy() for name, values in corrupted.split.about.items()}
        return map_frame(places, *labels).assign(**about)

    own = {name: config.get(name) for name in ("task", "corruption", "seed", names.FOLDER)}
    return _maps.get(json.dumps([own, method], sort_keys=True), make)
