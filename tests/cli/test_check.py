"""`qlab check` and `qlab new`: classes of one's own, tried before they are trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.experiments import TASK

from qlab.cli import main
from qlab.registry import KINDS, base_classes
from qlab.starting import kinds

MODEL = """
import torch
from qlab import MLP, Corruption, Corrupted, Dataset, LandscapeProbe, ProbeResult, Split, Task, Unlearner

DRAWN = torch.Generator().manual_seed(0)


class Shaky(Task):
    def load(self):
        def split():
            x = torch.randn(20, 4, generator=DRAWN, dtype=torch.float64)
            return Split(x, torch.arange(20) % 2)
        return Dataset(split(), split())

    def random_features(self, n, generator):
        return torch.randn(n, 4, generator=generator, dtype=torch.float64)


class Wrong(MLP):
    def forward(self, prepared):
        return self.missing(prepared)


class Odd(Corruption):
    def apply(self, split, task, generator):
        raise KeyError("the drawer")


class Endless(Unlearner):
    def loss(self, student, teacher, data):
        return student(data.retain.x).sum() * float("nan")


class Broken(LandscapeProbe):
    def compute(self, landscape):
        return ProbeResult({"ratio": 1 / 0})


class Branching(Unlearner):
    def update(self, student, teacher, data):
        return student.theta if student.theta.sum() > 0 else 2 * student.theta


class Undecided(Unlearner):
    def update(self, student, teacher, data):
        return student.theta + torch.randn(student.theta.shape)
"""

WHOLE = f"""
name = "mine"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
[[model]]
type = "MLP"
hidden = [4]
[[model]]
type = "PennyLaneQNN"
depth = 2
[[unlearner]]
type = "Finetune"
[[probe]]
type = "HessianProbe"
at = "Finetune"
[[probe]]
type = "SliceProbe"
directions = "pca"
resolution = 3
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MODEL)
    (tmp_path / "mine.toml").write_text(WHOLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_that_a_file_names_is_tried_and_nothing_is_stored(folder: Path) -> None:
    before = sorted(folder.iterdir())
    result = invoke("check", "mine.toml")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert [line.removeprefix("ok").strip().partition(":")[0] for line in lines[:-1]] == [
        "task XXZ",
        "corruption LabelFlip, ratios 0.25, 0.5",
        *(
            f"{what} {model}{rest}"
            for model in ("MLP", "PennyLaneQNN")
            for what, rest in (
                ("model", " on XXZ, LabelFlip"),
                ("unlearner Finetune of", ""),
                ("probe HessianProbe of", ""),
                ("probe SliceProbe 2-D pca of", ""),
            )
        ),
    ]
    assert lines[-1] == "mine: 10 checks, 0 failed"
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("table", "raised", "line"),
    [
        ('[[model]]\ntype = "mine:Wrong"', "AttributeError: 'Wrong' object has no attribute 'missing'", 21),
        ('[[unlearner]]\ntype = "mine:Endless"', "mine:Endless: the loss is NaN or infinite", None),
        ('[[unlearner]]\ntype = "mine:Branching"', "weight with torch.where instead", 41),
        ('[[unlearner]]\ntype = "mine:Undecided"', "data.randn(shape)", 46),
        ('[[probe]]\ntype = "mine:Broken"', "ZeroDivisionError: division by zero", 36),
    ],
)
def test_what_fails_is_shown_with_file_and_line_and_the_rest_is_tried(
    folder: Path, table: str, raised: str, line: int | None
) -> None:
    (folder / "mine.toml").write_text(f"{WHOLE}\n{table}\n")
    result = invoke("check", "mine.toml")
    assert result.exit_code == 1
    failed = [text for text in result.stdout.splitlines() if text.startswith("FAILED")]
    assert failed
    assert all(raised in text for text in failed)
    if line is not None:
        assert result.stderr.startswith("Traceback")
        assert f'mine.py", line {line}, in ' in result.stderr
    assert result.stdout.splitlines()[-1].endswith(f"checks, {len(failed)} failed")
    assert "ok      probe SliceProbe 2-D pca of PennyLaneQNN" in result.stdout


def test_what_needs_something_that_failed_is_not_tried(folder: Path) -> None:
    given = WHOLE.replace('type = "LabelFlip"', 'type = "mine:Odd"')
    (folder / "mine.toml").write_text(given)
    result = invoke("check", "mine.toml")
    assert result.exit_code == 1
    assert "FAILED  corruption mine:Odd, ratios 0.25, 0.5: Odd.apply" in result.stdout
    assert "the drawer" in result.stdout
    assert "unlearner" not in result.stdout


def test_data_that_differ_each_time_are_refused(folder: Path) -> None:
    (folder / "mine.toml").write_text('[task]\ntype = "mine:Shaky"\n[model]\ntype = "MLP"\n')
    result = invoke("check", "mine.toml")
    assert result.exit_code == 1
    assert "FAILED  task mine:Shaky" in result.stdout
    assert "gives another train split each time" in result.stdout


def test_a_file_that_cannot_be_read_is_unusable_and_shows_where_its_module_fails(folder: Path) -> None:
    (folder / "mine.py").write_text("import math\n\nmath.nothing()\n")
    (folder / "mine.toml").write_text('[task]\ntype = "mine:Shaky"\n[model]\ntype = "MLP"\n')
    result = invoke("check", "mine.toml")
    assert result.exit_code == 2
    assert 'mine.py", line 3, in <module>' in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: mine.toml: task.type: ")


@pytest.mark.parametrize("kind", kinds())
def test_what_a_template_writes_passes_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("new", kind, "own.py").exit_code == 0
    result = invoke("check", "own.toml")
    assert result.exit_code == 0, result.output
    assert "own:My" in result.stdout
    again = invoke("new", kind, "own.py")
    assert again.exit_code == 2
    assert "own.py: is there already" in again.stderr


def test_templates_run_as_they_are(tmp_path: Path) -> None:
    for command in (["new", "unlearner", "own.py"], ["run", "own.toml", "--no-figures"]):
        done = subprocess.run(
            [sys.executable, "-m", "qlab", *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert "own:MyUnlearner" in done.stdout
    assert "3 of 3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "kettle", "own.py"], 'unknown kind "kettle"'),
        (["new", "model", "own"], "accepts the name of a Python file"),
        (["new", "model", "my-model.py"], "accepts the name of a Python file"),
        (["new", "model", "nowhere/own.py"], "nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("base", [base for kind in KINDS for base in base_classes(kind)])
def test_a_base_class_is_described_by_what_is_to_be_defined(base: type) -> None:
    result = invoke("describe", base.__name__)
    assert result.exit_code == 0
    for name in base.__abstractmethods__:  # type: ignore[attr-defined]
        assert f"to define: {name}(self" in result.stdout
    assert "`qlab new " in result.stdout
