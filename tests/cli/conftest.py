"""A project folder with a small experiment, and an empty store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny() -> str:
    """The text of an experiment that trains in no time: two models, two ratios, two seeds."""
    return """
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
[run]
seeds = 2
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: str) -> Path:
    """A current folder with an experiment and no store."""
    (tmp_path / "tiny.toml").write_text(tiny)
    monkeypatch.chdir(tmp_path)
    return tmp_path
