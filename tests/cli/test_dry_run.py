"""What a dry run says: the refusals of the run where data are quick to load, and what would be searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.experiments import TASK

from qlab import XXZ
from qlab.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = """
name = "cells"
task = { type = "Table", path = "cells.csv", label = "kind", positive = "M" }
corruption = { type = "LabelFlip", ratio = [0.0, 0.4] }
model = { type = "MLP", hidden = [2] }
training = { epochs = 1 }
run = { seeds = 1 }
"""

LINES = ["kind,a,b", *(f"{'MB'[row % 2]},{row}.5,{row * row}" for row in range(30))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.csv").write_text("\n".join(LINES))
    return tmp_path


def run(text: str, *arguments: str) -> Result:
    Path("file.toml").write_text(text)
    return CliRunner().invoke(main, ["run", "file.toml", "--no-figures", *arguments])


def test_a_good_table_is_loaded_and_planned(folder: Path) -> None:
    result = run(FILE, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "2 trials: 0 done, 2 would run in 1 ensemble"
    assert sorted(path.name for path in folder.iterdir()) == ["cells.csv", "file.toml"]


BAD = {
    "a cell": ("a,b", "B,red,4", FILE),
    "a class": ("", "", FILE.replace('positive = "M"', 'positive = "X"')),
    "a ratio that takes no row": ("", "", FILE.replace("0.4", "0.001")),
    "no test rows": (
        "",
        "",
        FILE.replace('"M" }', '"M", split = [0.7, 0.3, 0.0] }')
        + 'metric = { type = "BalancedAccuracy", on = "test" }\n',
    ),
    "no test rows to report": (
        "",
        "",
        FILE.replace('"M" }', '"M", split = [0.7, 0.3, 0.0] }').replace("epochs = 1", "epochs = [1, 2]")
        + 'select = { over = ["training.epochs"] }\n',
    ),
    "a circuit that does not take its features": (
        "",
        "",
        FILE.replace(
            'type = "MLP", hidden = [2]', 'type = "PennyLaneQNN", observable = "ZZ_last", encoding = "angle"'
        ).replace('"M" }', '"M", columns = ["a"] }'),
    ),
}


@pytest.mark.parametrize(("old", "line", "text"), BAD.values(), ids=BAD)
def test_what_the_run_refuses_its_dry_run_refuses_in_the_same_words(
    folder: Path, old: str, line: str, text: str
) -> None:
    if line:
        (folder / "cells.csv").write_text("\n".join([*LINES[:5], line, *LINES[6:]]))
    planned = run(text, "--dry-run")
    assert planned.exit_code == 2, planned.output
    assert not (folder / "mlruns").exists()
    done = run(text)
    assert done.exit_code == 2
    # A slow disk may be remarked upon before.
    assert planned.stderr.partition("Error: ")[2] == done.stderr.partition("Error: ")[2] != ""


def test_what_is_computed_is_left_to_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(task: XXZ) -> None:
        raise AssertionError

    monkeypatch.setattr(XXZ, "load", load)
    text = FILE.replace(FILE.splitlines()[2], "") + TASK
    assert run(text, "--dry-run").exit_code == 0


METHODS = {
    "a certificate without noise": (
        'type = "PennyLaneQNN"\ndepth = 1',
        'type = "NewtonStep"\ncertify = true',
        "nothing to certify without noise",
    ),
    "a certificate without decay": (
        'type = "PauliLinear"\nsites = 2',
        'type = "NewtonStep"\ncertify = true\nnoise = 0.1',
        "strongly convex",
    ),
    "no layers": ('type = "PauliLinear"\nsites = 2', 'type = "CFk"\nk = 1', "layer"),
}


@pytest.mark.parametrize(("model", "method", "said"), METHODS.values(), ids=METHODS)
def test_methods_that_a_model_is_not_for_are_refused_before_data_are_computed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: str, method: str, said: str
) -> None:
    lines = [line for line in FILE.splitlines() if not line.startswith(("task", "model"))]
    text = "\n".join([*lines, TASK, f"[[model]]\n{model}\n[[unlearner]]\n{method}\n"])
    done = run(text)
    monkeypatch.setattr(XXZ, "load", None)
    planned = run(text, "--dry-run")
    assert (planned.exit_code, done.exit_code) == (2, 2), planned.output
    assert planned.stderr.partition("Error: ")[2] == done.stderr.partition("Error: ")[2]
    assert said in planned.stderr


SEARCH = """
name = "searched"
task = { type = "Sklearn", name = "breast_cancer" }
corruption = { type = "LabelFlip", ratio = 0.3 }
training = { epochs = 2 }
run = { seeds = 2 }
[[model]]
type = "MLP"
[[model]]
type = "sklearn.linear_model:LogisticRegression"
C = 1.0
[[model]]
type = "sklearn.naive_bayes:GaussianNB"
[search]
configurations = 4
seeds = 1
"training.learning_rate" = { low = 1e-4, high = 0.3, log = true }
"model.hidden" = { choices = [[2], [4]] }
"model.C" = { low = 1, high = 10 }
"""


def test_a_search_says_its_space_and_how_many_trials_it_takes(folder: Path) -> None:
    result = run(SEARCH, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[1:] == [
        "MLP, ratio 0.3: 4 configurations of training.learning_rate 0.0001 to 0.3 (log); model.hidden one of [2], [4]",
        "sklearn.linear_model:LogisticRegression, ratio 0.3: 4 configurations of model.C 1 to 10",
        "sklearn.naive_bayes:GaussianNB, ratio 0.3: has nothing to search",
        "8 trials to search, each configuration with 1 seed",
        "then, with what is chosen by selection_accuracy: 6 trials to report, with 2 other seeds",
    ]
