"""Files in MNIST's format: pictures and labels, header and bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

REAL = Path(__file__).parents[3] / "shared" / "data"
"""Where real digits may be; they are no part of the repository."""

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Pictures ``[N, 28, 28]`` and labels ``[N]``."""


def drawn(seed: int, each: int = 10) -> Part:
    """``each`` pictures of each of ten classes, in mixed order, with empty columns at both edges."""
    numbers = np.random.default_rng(seed)
    pictures = numbers.integers(0, 256, (10 * each, 28, 28), dtype=np.uint8)
    pictures[:, :, :4] = pictures[:, :, 25:] = 0
    labels = np.repeat(np.arange(10, dtype=np.uint8), each)
    numbers.shuffle(labels)
    return pictures, labels


def write(folder: Path, name: str = "MNIST", train: Part | None = None, test: Part | None = None) -> Path:
    """Writes the four files of a collection below ``folder``; returns where they are."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part, (pictures, labels) in (("train", train or drawn(0)), ("t10k", test or drawn(1, each=5))):
        header = struct.pack(">BBBBIII", 0, 0, 8, 3, *pictures.shape)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pictures.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + bytes(labels))
    return raw


def real_files() -> Path:
    """Where real digits are; a test that asks for them is skipped where they are not."""
    raw = REAL / "MNIST" / "raw"
    if not all((raw / name).is_file() for name in NAMES):
        pytest.skip(f"the files of MNIST are not in {raw}")
    return raw
