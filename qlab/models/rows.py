"""Rows of prepared features: how they are made of a data set, and picked."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from qlab.remembered import REMEMBERED
from qlab.tasks.features import CHUNK_BYTES, FeatureRows, LazyFeatures

FEW = 8
"""Batches pick their rows before an evaluation rather than their logits after it where there are so many times more."""


class Preparing(Protocol):
    """A built model, as far as rows are concerned."""

    def prepare(self, x: Tensor) -> Tensor:
        """See :meth:`qlab.models.Model.prepare`."""


def prepare_features(model: Preparing, x: FeatureRows) -> Tensor:
    """What :meth:`qlab.models.Model.prepare` makes of all rows; many or long ones meet the model some at a time.

    Args:
        model: a built model.
        x: features ``[N, d]``, held or not.

    Returns:
        Prepared features, first dimension N.
    """
    if isinstance(x, Tensor) and x.nbytes <= CHUNK_BYTES:
        return model.prepare(x)
    one = model.prepare(x[:1].dense() if isinstance(x, LazyFeatures) else x[:1])
    # Written in place: joining the parts in the end would take twice the memory.
    found = one.new_empty((len(x), *one.shape[1:]))
    # Neither what goes into a part nor what comes out of it is large.
    some = max(1, CHUNK_BYTES // max(x.shape[1] * x.dtype.itemsize, one.nbytes))
    for start in range(0, len(x), some):
        stop = min(start + some, len(x))
        part = x.make(start, stop) if isinstance(x, LazyFeatures) else x[start:stop]
        REMEMBERED.is_part(part, x, start, stop)
        found[start:stop] = model.prepare(part)
    return found


def few(rows: Tensor, prepared: Tensor, shared: bool) -> bool:
    """Whether picking rows ``[members, n]`` is cheaper than evaluating them all, which needs no copies of them."""
    return FEW * rows.numel() < prepared.shape[: 1 if shared else 2].numel()


def take_rows(prepared: Tensor, rows: Tensor, shared: bool) -> Tensor:
    """Rows ``[members, n]`` of prepared features that are ``[N, ...]`` if shared, else ``[members, N, ...]``."""
    return prepared[rows] if shared else prepared[torch.arange(len(rows), device=rows.device)[:, None], rows]
