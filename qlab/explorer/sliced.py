"""Slices of several models as a page shows them: on one colour scale or on their own, with what they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from qlab.explorer.slicing import Sliced
from qlab.landscape import ProbeResult
from qlab.views.backends import styled
from qlab.views.limits import finite_limits
from qlab.views.panels import row
from qlab.views.slices import slice_picture


def limits_of(shown: Sliced, common: bool) -> dict[str, tuple[float, float]]:
    """Of the colours of each slice."""
    losses = {name: result.arrays["loss"].ravel() for name, result in shown.results.items()}
    if common:
        return dict.fromkeys(losses, finite_limits(np.concatenate(list(losses.values()))))
    return {name: finite_limits(loss) for name, loss in losses.items()}


def below(result: ProbeResult) -> str:
    """What stands below the title of a slice: on which samples, and how good the model is on them."""
    loss, accuracy = (result.scalars[f"landscape_{name}"] for name in ("loss", "accuracy"))
    samples = str(result.about["samples"]).replace("_", ", ")
    if not np.isfinite(result.arrays["loss"]).any():
        return f"{samples}: the loss is not a number anywhere"
    return f"{samples} ({result.about['rows']})\nloss {loss:.3g}, accuracy {accuracy:.3f}"


def pictures(shown: Sliced, limits: Mapping[str, tuple[float, float]]) -> hv.Layout:
    """Slices for files, with their titles."""
    panels = []
    for name, result in shown.results.items():
        picture = slice_picture(result, limits=limits[name])
        for part in picture if isinstance(picture, hv.Layout) else [picture]:
            title = {"title": shown.titles[name]}
            panels.append(styled(part, bokeh=title, matplotlib=title))
    return row(panels, columns=2)


def columns_of(result: ProbeResult) -> dict[str, Any]:
    """The numbers of a line."""
    return {
        name: result.arrays[name].reshape(-1)
        for name in ("position", "loss", "accuracy", "validation_loss", "validation_accuracy")
        if name in result.arrays
    }


def table_of(results: Mapping[str, ProbeResult]) -> pd.DataFrame:
    """Slices as rows: what they are of, coordinates, loss and accuracy."""
    pieces = []
    for name, result in results.items():
        axis, loss = result.arrays["axis"], result.arrays["loss"]
        places = np.meshgrid(*[axis] * loss.ndim, indexing="ij")
        coordinates = dict(zip("ab", (place.ravel() for place in places), strict=False))
        values = {"loss": loss.ravel(), "accuracy": result.arrays["accuracy"].ravel()}
        pieces.append(pd.DataFrame({"checkpoint": name, **coordinates, **values}))
    return pd.concat(pieces, ignore_index=True)
