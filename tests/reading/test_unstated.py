"""Settings that came later: runs that do not state them have them in frames, tables and labels all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.experiments import TASK

import qlab
from qlab.cli import main
from qlab.fields import fields_of
from qlab.registry import KINDS, available
from qlab.tracking import names
from qlab.training import Trainer
from qlab.views.labels import label_models

EXPERIMENT = f"""
name = "swept"
{TASK}
[[model]]
type = "PennyLaneQNN"
depth = 1
observable = ["Z_last", "mean_Z"]
[[model]]
type = "MLP"
hidden = [3]
training = {{ loss = ["CrossEntropy", {{ type = "GeneralizedCrossEntropy", q = 0.5 }}] }}
[training]
epochs = 2
[run]
seeds = 2
"""


def unstated(table: str, cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in fields_of(cls).items():
        if field.absent is None:
            continue
        value = field.absent.value
        if isinstance(value, dict):
            found |= {f"{table}.{name}.{key}": item for key, item in value.items()}
        else:
            found[f"{table}.{name}"] = value
    return found


def test_all_of_them_are_known_to_who_reads_runs() -> None:
    expected = unstated("training", Trainer)
    for kind in KINDS:
        for cls in available(kind).values():
            expected |= unstated(kind, cls)
    assert expected == names.UNSTATED


def test_what_is_swept_is_in_every_row_and_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swept.toml").write_text(EXPERIMENT)
    result = CliRunner().invoke(main, ["run", "swept.toml", "--no-figures"])
    assert result.exit_code == 0, result.output
    results = qlab.results("swept")
    frame = results.frame
    circuits = frame[frame["model.type"] == "PennyLaneQNN"]
    assert circuits.groupby("model.observable").size().to_dict() == {"Z_last": 2, "mean_Z": 2}
    networks = frame[frame["model.type"] == "MLP"]
    assert networks.groupby("training.loss.type").size().to_dict() == {"CrossEntropy": 2, "GeneralizedCrossEntropy": 2}
    assert networks["training.loss.q"].isna().sum() == 2
    assert networks["model.observable"].isna().all()
    table = results.table("train_accuracy", by="model.observable")
    assert "Z_last" in table.to_string()
    said = set(label_models(frame))
    assert any("observable=Z_last" in label for label in said)
    assert any("CrossEntropy" in label and "Generalized" not in label for label in said)
