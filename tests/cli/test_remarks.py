"""What a plan, a run and its tags say of a circuit that does not see all features."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.experiments import cloud

from qlab.cli import main
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = """
name = "angles"
[task]
type = "parts:Cloud"
[[model]]
type = "PennyLaneQNN"
encoding = "angle"
depth = 3
training = { epochs = 1 }
[[model]]
type = "PennyLaneQNN"
encoding = "angle"
depth = 3
reupload = 3
observable = "mean_Z"
training = { epochs = 1 }
"""

SEES = "the light cone of 3 of 12 qubits, 21 gates; sees 3 of 12 features"
STATES = "statevector of the light cone of 12 of 12 qubits"


def test_the_plan_the_run_and_its_tags_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts.py").write_text(cloud(12))
    (tmp_path / "angles.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    for arguments in (["--dry-run"], ["--no-figures"]):
        result = CliRunner().invoke(main, ["run", "angles.toml", *arguments])
        assert result.exit_code == 0, result.output
        assert SEES in result.stdout
        assert STATES in result.stdout
        assert result.stdout.count("sees 3 of 12 features") == 1
        assert "data re-uploading needs states; sees all 12 features" in result.stdout
    runs = list(Store(create=False).search(Store(create=False).experiment_ids()))
    engines = [run.data.tags[names.ENGINE] for run in runs if run.data.tags.get(names.KIND) == names.TRIAL]
    assert {engine.partition(";")[2].strip() for engine in engines} == {
        "data re-uploading needs states; sees all 12 features",
        "sees 3 of 12 features",
    }
