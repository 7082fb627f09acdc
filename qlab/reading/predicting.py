"""Predictions of trained models on new rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from qlab.errors import DataError
from qlab.models import Estimator, Model
from qlab.models.rows import prepare_features
from qlab.reading.rows import features_in, features_of
from qlab.reading.stored import find_run, load_model
from qlab.tracking.store import Store
from qlab.training.fitting import decide, probabilities, rows_for


def predict_file(store: Store, run: str, file: Path, folder: Path | None = None) -> pd.DataFrame:
    """Predictions of a stored model on the rows of a file, in their order, see :func:`predictions`.

    Args:
        store: where the run is.
        run: its id, or the beginning of it.
        file: CSV, Parquet or NPZ.
        folder: where the file of a class of one's own is, which is imported from there.

    Raises:
        ConfigError: there is no such run, or its class is not to be found.
        DataError: it has no model, or the rows do not fit it.
    """
    return predictions(load_model(store, find_run(store, run), folder), file)


@torch.no_grad()
def predictions(model: Model | Estimator, rows: Any) -> pd.DataFrame:
    """One row for each row given: ``probability`` of class 1, ``predicted`` (the label's own value) and ``logit``.

    The class is 1 where the logit is positive; estimators without probabilities have NaN for one. The index is that of
    a data frame that is given, else 0, 1, ...

    Args:
        model: a trained model; it knows how its features were scaled and reduced.
        rows: a path, see :func:`qlab.reading.rows.features_in`, or see :func:`qlab.reading.rows.features_of`.

    Raises:
        DataError: the rows do not fit the model.
    """
    if model.features is None:
        raise DataError(f"{type(model).__name__} has no weights yet; train it first.")
    x = features_in(rows, model.features) if isinstance(rows, Path) else features_of(model.features, rows, "the rows")
    logit = _logits(model, x) if len(x) else torch.empty(0, dtype=torch.float64)
    probability = torch.sigmoid(logit)
    if isinstance(model, Estimator) and len(x):
        found = probabilities(model, rows_for(model, x))
        probability = torch.full_like(logit, torch.nan) if found is None else torch.from_numpy(found)
    made = model.features.preprocessing
    zero, one = (0, 1) if made is None else made.classes
    index = rows.index if isinstance(rows, pd.DataFrame) else None
    return pd.DataFrame(
        {
            "probability": probability.numpy(),
            "predicted": [one if positive else zero for positive in (logit > 0).tolist()],
            "logit": logit.numpy(),
        },
        index=index,
    )


def _logits(model: Model | Estimator, x: Tensor) -> Tensor:
    if isinstance(model, Estimator):
        return torch.from_numpy(decide(model, rows_for(model, x)))
    logit: Tensor = model(prepare_features(model, x))
    return logit.double()
