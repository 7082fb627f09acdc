"""Experiment files on four spins, and an empty store to run them into."""

from __future__ import annotations

import pytest

TINY = """
name = "tiny"
about = "Four spins, a handful of states"

[task]
type = "XXZ"
length = 4
gapless = [-0.7, 0.7, 0.2]
gapped = [1.3, 2.7, 0.2]
validation = [-0.65, 2.65, 0.3]

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


@pytest.fixture(scope="session")
def tiny() -> str:
    """The text of an experiment of eight trials that train in no time."""
    return TINY
