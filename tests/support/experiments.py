"""Texts of small experiments, and a model that can be made to wait."""

from __future__ import annotations

TASK = """
[task]
type = "XXZ"
length = 4
gapless = [-0.7, 0.7, 0.2]
gapped = [1.3, 2.7, 0.2]
validation = [-0.65, 2.65, 0.3]
"""
"""Four spins: 8 + 8 training states and 12 for validation."""

FLIPPED = f"""
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 2
batch_size = 8
"""
"""A multi-layer perceptron on half flipped labels, which trains in no time; name and seeds are to be added."""

TINY = f"""
name = "tiny"
about = "Four spins, a handful of states"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]

[[model]]
type = "MLP"
hidden = [4]

[[model]]
type = "PennyLaneQNN"
depth = 2

[training]
epochs = 2
batch_size = 8

[run]
seeds = 2
"""
"""Eight trials that train in no time: two models, two ratios, two seeds."""

SLOW = '''
import os
import time
from pathlib import Path

from qlab import MLP


class Slow(MLP):
    """An MLP that looks for files beside it: with "slow" it is slow, with "wait" it waits, with "fail" it fails.

    In the folder "processes" it leaves the number of its process.
    """

    def forward(self, prepared):
        place = Path(__file__).parent
        if prepared.shape[-2] <= 4:  # the few rows that a model is tried on before there are runs
            return super().forward(prepared)
        if (place / "processes").exists():
            (place / "processes" / str(os.getpid())).touch()
        if (place / "slow").exists():
            time.sleep(0.05)
        while (place / "wait").exists():
            time.sleep(0.05)
        if (place / "fail").exists():
            raise RuntimeError("the kettle is dry")
        return super().forward(prepared)
'''
"""The text of ``slow.py``, for files that say ``type = "slow:Slow"``."""


def cloud(features: int) -> str:
    """A module with the task ``Cloud``: Gaussian rows of so many features, 8 to train on and 4 for validation."""
    return f"""
import torch
from qlab import Dataset, Split, Task

class Cloud(Task):
    def load(self):
        generator = torch.Generator().manual_seed(0)
        def split(rows):
            x = torch.randn(rows, {features}, generator=generator, dtype=torch.float64)
            return Split(x, torch.arange(rows) % 2)
        return Dataset(split(8), split(4))
    def random_features(self, n, generator):
        return torch.randn(n, {features}, generator=generator, dtype=torch.float64)
"""
