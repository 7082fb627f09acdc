"""A store with a small experiment, read by several modules and changed by none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.experiments import TASK
from support.runs import runner

import qlab
from qlab.experiment.asking import schema
from qlab.tracking.store import Store

STUDY = f"""
name = "study"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.2, 0.5]

[[model]]
type = "MLP"
hidden = [4]
training = {{ epochs = 2, batch_size = 8, learning_rate = [0.001, 0.1] }}

[[model]]
type = "PennyLaneQNN"
depth = 2
training = {{ epochs = 2, batch_size = 8, learning_rate = 0.03 }}

[[unlearner]]
type = "Finetune"
steps = 2

[[probe]]
type = "HessianProbe"

[run]
seeds = 2
oracles = 1
"""
"""Twelve trials: two models, one at two learning rates, two ratios, two seeds; and what is done with them."""


@pytest.fixture(scope="session")
def study_uri(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> str:
    """The URI of a store with the study."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text(STUDY)
    uri = write_empty_store(folder / "mlruns" / "mlflow.db")
    runner(Store(uri)).run(schema.load(folder / "study.toml"))
    return uri


@pytest.fixture(scope="session")
def study(study_uri: str) -> qlab.Results:
    """What is in it."""
    return qlab.results("study", tracking_uri=study_uri)
