"""Metrics from shots in experiment files: part of the identity, and the same draws for metrics that are asked later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.experiments import TASK

import qlab
from qlab.cli import main

FILE = f"""
name = "sampled"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[training]
epochs = 2
[run]
seeds = 1
[[model]]
type = "PennyLaneQNN"
depth = 2
evaluate_shots = ["exact", 5]
[[unlearner]]
type = "Scrub"
steps = 2
"""

METRIC = """
from qlab import Metric


class Right(Metric):
    \"\"\"The validation accuracy.\"\"\"

    def compute(self, logits, split):
        return ((logits > 0).long() == split.y).double().mean()
"""


def invoke(text: str, *options: str) -> Any:
    Path("sampled.toml").write_text(text)
    result = CliRunner().invoke(main, ["run", "sampled.toml", *options])
    assert result.exit_code == 0, result.output
    return result


def test_a_metric_that_is_asked_for_later_sees_the_draws_that_were_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(METRIC)
    assert "2 trials: 0 done, 2 would run" in invoke(FILE, "--dry-run").output
    invoke(FILE)
    frame = qlab.results("sampled").frame
    assert list(frame["model.evaluate_shots"]) == ["exact", 5]
    later = invoke(FILE + '[[metric]]\ntype = "mine:Right"\non = "validation"\n')
    assert "0 trained" in later.output or "2 from the store" in later.output, later.output
    results = qlab.results("sampled")
    for found in (results.frame, results.unlearning):
        assert len(found) == 2
        [column] = [name for name in found.columns if "right" in name.lower()]
        assert list(found[column]) == pytest.approx(list(found["validation_accuracy"]))
