"""A report of a real small store, from the command line."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from click.testing import CliRunner
from support.experiments import TASK

from qlab.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

EXPERIMENT = f"""
name = "small"
about = "<b>bold</b> & small"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]

[[model]]
type = "MLP"
hidden = [3]

[[model]]
type = "PennyLaneQNN"
depth = 1

[training]
epochs = 2

[[unlearner]]
type = "Finetune"
steps = 2

[[probe]]
type = "RougheningProbe"

[[probe]]
type = "HessianProbe"

[run]
seeds = 2
oracles = 1
"""

POINTS = """model,corruption,ratio,run,train_accuracy,validation_accuracy
MLP,LabelFlip,0.25,0,0.5,0.5
MLP,LabelFlip,0.25,1,0.6,0.6
"""

CURVES = """model,unlearner,run,step,validation_accuracy,corruption,ratio
MLP,Finetune,0,1,0.5,LabelFlip,0.25
MLP,Finetune,0,1,0.9,LabelFlip,0.3
"""


def qlab(*arguments, cwd):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "small.toml").write_text(EXPERIMENT)
    (folder / "published").mkdir()
    (folder / "published" / "fig_xxz.csv").write_text(POINTS)
    (folder / "published" / "curves_xxz.csv").write_text(CURVES)
    ran = qlab("run", "small.toml", cwd=folder)
    assert ran.exit_code == 0, ran.stderr
    made = qlab("report", "small", "-o", "out", "--reference", "published", cwd=folder)
    assert made.exit_code == 0, made.stderr
    return folder, made.stdout, (folder / "out" / "index.html").read_text(encoding="utf-8")


def test_every_figure_and_table_is_a_file_and_on_the_page(reported):
    folder, _, page = reported
    files = {file.name for file in (folder / "out").iterdir()}
    for name in ("accuracy", "unlearning", "roughening", "hessian", "data", "circuit1"):
        assert f"small.{name}.png" in files
    for name in ("accuracy", "unlearning", "probes", "agreement"):
        assert f"small.{name}.csv" in files
    assert page.count("data:image/png;base64,") == 6
    assert all((folder / "out" / name).stat().st_size > 0 for name in files)


def test_the_page_needs_no_network_and_shows_text_as_text(reported):
    _, _, page = reported
    assert not re.findall(r'src="(?!data:)', page)
    assert "<link" not in page
    assert set(re.findall(r'(<\w+) [^>]*href="(?!#)', page)) <= {"<a"}  # what a reader may follow
    assert "<script" not in page
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; small" in page
    assert "<b>bold" not in page


def test_settings_stand_below(reported):
    _, _, page = reported
    for setting, value in (("model.hidden", "[3]"), ("task.length", "4"), ("unlearner.steps", "2")):
        assert f"<td>{setting}</td><td>{value}</td>" in page
    assert "<td>corruption.ratio</td><td>0, 0.25, 0.5</td>" in page  # 0 are the clean twins of the roughening ratio


def test_agreement_is_counted(reported):
    folder, printed, _ = reported
    table = pd.read_csv(folder / "out" / "small.agreement.csv")
    assert len(table) == 3  # training and validation accuracy of one point, one of a curve; no curve of ours is at 0.3
    assert set(table["model"]) == {"MLP"}
    assert set(table["ratio"]) == {0.25}
    assert f"{int(table['agrees'].sum())} of 3 published points agree" in printed
    assert table["published"].tolist() == pytest.approx([0.55, 0.55, 0.5])
    assert table["step"].dropna().tolist() == [1]


def test_points_of_which_none_is_compared_are_named(tmp_path, reported):
    folder, _, _ = reported
    (tmp_path / "fig_mnist.csv").write_text(POINTS)
    made = qlab("report", "small", "-o", str(tmp_path / "out"), "--reference", str(tmp_path), cwd=folder)
    assert made.exit_code == 0
    assert f"Nothing of {tmp_path} is in the report: its points are of task mnist" in made.stderr
    assert "model MLP, corruption LabelFlip and ratio 0.25." in made.stderr


def test_what_is_not_there_is_said(tmp_path, reported):
    folder, _, _ = reported
    missing = qlab("report", "smal", cwd=folder)
    assert (missing.exit_code, "Did you mean" in missing.stderr) == (2, True)
    nowhere = qlab("report", cwd=tmp_path)
    assert (nowhere.exit_code, "There is no store" in nowhere.stderr) == (2, True)
    (folder / "occupied").write_text("")
    unwritable = qlab("report", "-o", "occupied", cwd=folder)
    assert unwritable.exit_code == 2
    assert "cannot be written" in unwritable.stderr
    assert "Traceback" not in missing.stderr + nowhere.stderr + unwritable.stderr
