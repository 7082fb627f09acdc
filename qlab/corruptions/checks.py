"""Checks of what a user's corruption made of a split."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qlab import own_code
from qlab.corruptions.base import Corrupted, Corruption
from qlab.errors import ConfigError
from qlab.tasks.base import Split
from qlab.tasks.checks import check_finite
from qlab.tasks.features import FeatureRows, LazyFeatures, nonzero_columns


def check_corrupted(corruption: Corruption, split: Split, found: object) -> Corrupted:
    """What a corruption returned, checked against the split it was given.

    Features are compared where they are other than the split's; those that are not held only for finite numbers.

    Args:
        corruption: the corruption.
        split: the clean split.
        found: what its ``apply`` returned.

    Raises:
        ConfigError: it does not fit the split, or says other than what it did.
        DataError: it holds values that are not numbers.
    """
    where = own_code.method(type(corruption), "apply")
    if not isinstance(found, Corrupted):
        raise ConfigError(
            f"{where}: got {type(found).__name__}, accepts a corrupted split: return Corrupted(Split(x, y, "
            "split.about), mask, split.y)."
        )
    x, y, mask = found.split.x, found.split.y, found.mask
    if len(x) != len(split):
        raise ConfigError(
            f"{where}: got {len(x)} rows, accepts the {len(split)} of the clean split in their order; rows cannot "
            f"be left out."
        )
    if x.shape[1] != split.x.shape[1] or x.dtype != split.x.dtype:
        raise ConfigError(
            f"{where}: got features of length {x.shape[1]} and {x.dtype}, accepts the length {split.x.shape[1]} and "
            f"{split.x.dtype} of the clean split."
        )
    if not torch.equal(found.clean_y, split.y):
        raise ConfigError(
            f"{where}: clean_y differs from the labels of the clean split in {_rows(found.clean_y != split.y)}, "
            "accepts split.y as it is."
        )
    if corruption.ratio == 0.0 and bool(mask.any()):
        raise ConfigError(
            f"{where}: got {int(mask.sum())} corrupted rows at ratio 0, accepts none: comparisons with clean data "
            "train at ratio 0. self.choose_rows(split, generator) keeps to the ratio."
        )
    wrong = _beyond(corruption, y != split.y, mask)
    if bool(wrong.any()):
        raise ConfigError(
            f"{where}: labels of {_rows(wrong)} are changed, which the mask does not mark as corrupted; mark every "
            "changed row: y = torch.where(mask, new, split.y)."
        )
    if x is not split.x:
        check_finite(x, f"{where}: x")
        _check_features(where, corruption, split.x, x, mask)
    return found


def _beyond(corruption: Corruption, changed: Tensor, mask: Tensor) -> Tensor:
    """Rows that are changed beyond the mask; none if no more rows than the ratio says are changed.

    Of some corruptions only a part is known: the mask then marks some of the rows that are changed.
    """
    allowed = math.ceil(corruption.ratio * len(changed))
    return changed & ~mask if int(changed.sum()) > allowed else torch.zeros_like(mask)


def _check_features(where: str, corruption: Corruption, clean: FeatureRows, x: FeatureRows, mask: Tensor) -> None:
    if isinstance(x, LazyFeatures) or isinstance(clean, LazyFeatures):
        return
    wrong = _beyond(corruption, (x != clean).any(1), mask)
    if bool(wrong.any()):
        raise ConfigError(
            f"{where}: features of {_rows(wrong)} are changed, which the mask does not mark as corrupted; "
            "mark every changed row: x[mask] = new."
        )
    if not corruption.changes_features and bool((nonzero_columns(x) & ~nonzero_columns(clean)).any()):
        raise ConfigError(
            f"{where}: features that are zero in all clean rows are not in corrupted ones; write changes_features = "
            f"True in {type(corruption).__name__}, or models leave these features out."
        )


def check_same_again(corruption: Corruption, first: Corrupted, again: object) -> None:
    """Compares what a corruption returned for the same split with generators in the same state.

    Raises:
        ConfigError: it differs.
    """
    if not isinstance(again, Corrupted):
        return
    pairs = [(first.mask, again.mask), (first.split.y, again.split.y)]
    if isinstance(first.split.x, Tensor) and isinstance(again.split.x, Tensor):
        pairs.append((first.split.x, again.split.x))
    if not all(torch.equal(one, other) for one, other in pairs):
        raise ConfigError(
            f"{own_code.method(type(corruption), 'apply')}: got different rows or values for the same seed: it must "
            f"draw only from its generator, as in torch.randn(n, generator=generator)."
        )


def _rows(where: Tensor) -> str:
    rows = torch.nonzero(where).flatten().tolist()
    return f"row {rows[0]}" if len(rows) == 1 else f"{len(rows)} rows (the first is row {rows[0]})"
