"""Random generators, one per purpose, derived from a trial's seed alone."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one ``purpose`` of one ``seed``.

    Streams of different purposes are independent, so that (say) drawing more initial weights does not
    change which rows are corrupted. The stream depends on nothing else: not on the ensemble a trial runs
    in, nor on the ratio, so that trials of one seed are paired across ratios.

    Args:
        seed: the trial's seed, any integer.
        purpose: what is drawn, for example ``"initialization"``.
    """
    return torch.Generator().manual_seed(_number(seed, purpose) >> 1)


def numpy_generator(seed: int, purpose: str) -> np.random.Generator:
    """The same for libraries that draw with NumPy."""
    return np.random.default_rng(_number(seed, purpose))


def _number(seed: int, purpose: str) -> int:
    digest = hashlib.blake2b(f"{int(seed)}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
