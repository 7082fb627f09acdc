"""Reports of stores with something that cannot be drawn: it is said in its place, the rest is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qlab.cli import main
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

OWN = '''
import torch
from qlab import Corrupted, Corruption, Split
from qlab.fields import Ratio


class HalfKnown(Corruption):
    """Label flips of which only a share is in the mask."""

    known: Ratio = 0.5

    def apply(self, split, task, generator):
        mask = self.choose_rows(split, generator)
        rows = torch.nonzero(mask).flatten()
        seen = torch.zeros_like(mask)
        seen[rows[: round(self.known * len(rows))]] = True
        return Corrupted(Split(split.x, torch.where(mask, 1 - split.y, split.y), split.about), seen, split.y)
'''

EXPERIMENT = """
name = "{name}"
[task]
type = "XXZ"
length = 4
gapless = [-0.7, 0.7, 0.2]
gapped = [1.3, 2.7, 0.2]
validation = [-0.65, 2.65, 0.3]
{corruptions}
[[model]]
type = "MLP"
hidden = [3]
training = {{ epochs = 1 }}
[run]
seeds = 2
"""

BUILT_IN = """
[[corruption]]
type = "LabelFlip"
ratio = [0.0, 0.25]
"""

MINE = """
[[corruption]]
type = "undrawable_parts:HalfKnown"
ratio = 0.25
known = [0.5, 1.0]
"""


def qlab(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "undrawable_parts.py").write_text(OWN)
    (tmp_path / "mixed.toml").write_text(EXPERIMENT.format(name="mixed", corruptions=BUILT_IN + MINE))
    (tmp_path / "plain.toml").write_text(EXPERIMENT.format(name="plain", corruptions=BUILT_IN))
    return tmp_path


def test_an_own_class_is_named_where_its_data_would_be_and_everything_else_is_drawn(project: Path) -> None:
    ran = qlab("run", "mixed.toml", "plain.toml")
    assert ran.exit_code == 0, ran.output
    for name in ("LabelFlip", "HalfKnown known=0.5", "HalfKnown known=1"):
        assert name in ran.output
    assert ran.output.count("2 of 2") == 6  # a row for each ratio of each corruption
    made = qlab("report", "-o", "out")
    assert made.exit_code == 1
    for known in ("0.5", "1"):
        what = f"data map of undrawable_parts:HalfKnown known={known} 0.25"
        assert f"Error: not drawn: mixed: {what}: " in made.output
        assert f"Not drawn: {what}." in (project / "out/index.html").read_text(encoding="utf-8")
    assert "not drawn: plain" not in made.output
    files = {path.name for path in (project / "out").iterdir()}
    assert {f"{name}.{what}" for name in ("mixed", "plain") for what in ("accuracy.png", "data.png")} <= files
    table = (project / "out/mixed.accuracy.csv").read_text()
    assert table.count("LabelFlip") == table.count("HalfKnown") == 2
    alone = qlab("report", "plain", "-o", "alone")
    assert alone.exit_code == 0, alone.output


@pytest.mark.usefixtures("figures")
def test_what_is_damaged_or_fails_is_named_and_the_rest_is_drawn(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object, **named: object) -> None:
        raise RuntimeError("no ink")

    import qlab.views.resilience as drawing

    with monkeypatch.context() as patch:
        patch.setattr(drawing, "accuracy_against_ratio", broken)
        ran = qlab("run", "plain.toml")
    assert ran.exit_code == 1
    assert "2 of 2" in ran.output
    assert "NOT DRAWN accuracy: RuntimeError: no ink" in ran.output
    again = qlab("run", "plain.toml")
    assert again.exit_code == 0, again.output
    assert "NOT DRAWN" not in again.output
    store = Store(None, create=False)
    parents = [run for run in store.search(store.experiment_ids()) if run.data.tags["qlab.kind"] == "experiment"]
    for parent in parents:
        Path(store.artifact_place(parent.info.run_id), "trials.json").write_text("{")
    made = qlab("report", "-o", "out")
    assert made.exit_code == 1
    assert "not drawn: plain: data and circuits: trials.json of run" in made.output
    assert (project / "out/plain.accuracy.png").exists()
