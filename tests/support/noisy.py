"""An experiment file whose circuit takes noise, to be added as its last lines."""

from __future__ import annotations

from pathlib import Path

from qlab.experiment.asking import schema
from qlab.experiment.asking.trial import Trial
from support.experiments import TASK

BASE = f"""{TASK}[corruption]
type = "LabelFlip"
ratio = 0.2
[training]
epochs = 2
[run]
seeds = 1
[[model]]
type = "PennyLaneQNN"
depth = 2
"""
"""A circuit on four spins; ``noise = ...`` is to be added."""


def trials(noise: str, folder: Path | None = None) -> tuple[Trial, ...]:
    """Those of the circuit with a line of noise."""
    return schema.parse(BASE + noise, source="given.toml", folder=folder, default_name="given").trials
