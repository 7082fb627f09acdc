"""`qlab list` and `qlab describe`: what can be named in a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from qlab import registry
from qlab.cli import main
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.fields import REQUIRED, fields_of
from qlab.noise.device_file import snapshots
from qlab.resources import experiments
from qlab.training import Trainer
from qlab.words import plural

CLASSES = {name: cls for kind in registry.KINDS for name, cls in registry.available(kind).items()}


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    return result.stderr


def test_everything_is_listed_under_its_kind() -> None:
    lines = invoke("list").splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        *(plural(kind) for kind in registry.KINDS),
        "devices",
        "experiments",
    ]
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith(" ")}
    assert set(listed) == {*CLASSES, *experiments(), *snapshots(), "sklearn.svm:SVC"}
    assert all(listed.values())


def test_experiments_are_listed_where_extras_that_they_need_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tenpy" else find(name, *rest))
    monkeypatch.setattr("qlab.tasks.dmrg.kept.read", lambda wanted: None)
    with pytest.raises(ConfigError, match="needs TeNPy"):
        schema.load(experiments()["size/xxz"])
    lines = invoke("list", "experiments").splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(experiments())
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


@pytest.mark.parametrize("kind", ["model", "models"])
def test_one_kind_is_listed_alone(kind: str) -> None:
    listed = [line.split()[0] for line in invoke("list", kind).splitlines()]
    own = ["CNOTQNN", "MLP", "DensityKernelSVC", "PauliLinear", "PennyLaneQNN", "RandomQNN"]
    assert listed == ["models", *own, "sklearn.svm:SVC"]


def test_a_classifier_of_scikit_learn_is_described_in_its_words_with_its_defaults() -> None:
    output = invoke("describe", "sklearn.svm:SVC")
    assert output.startswith("sklearn.svm:SVC (model)\nC-Support Vector Classification.")
    assert "An estimator without gradients" in output
    assert "[training] does not apply" in output
    assert "  C: a number; default 1.0\n      Regularization parameter.\n" in output
    assert '  kernel: one of "linear", "poly", "precomputed", "rbf", "sigmoid"; default "rbf"\n' in output
    assert "random_state:" not in output
    assert "needs other estimators (steps)" in refused("describe", "sklearn.pipeline:Pipeline")


def test_probes_are_listed_with_a_line_each() -> None:
    lines = invoke("list", "probes").splitlines()
    assert lines[0] == "probes"
    listed = dict(line.split(maxsplit=1) for line in lines[1:])
    assert listed.keys() >= {"HessianProbe", "InterpolationProbe", "RougheningProbe", "SliceProbe"}
    assert "LandscapeProbe" not in listed
    assert invoke("list", "probe").splitlines() == lines


def test_a_probe_is_described_with_the_fields_of_every_probe() -> None:
    output = invoke("describe", "SliceProbe")
    assert output.startswith("SliceProbe (probe)\n")
    for field in ("samples", "n_samples", "at", "directions", "span", "resolution"):
        assert f"\n  {field}: " in output
    for choice in ("forget_clean", "hessian", "pca"):
        assert choice in output


def test_a_probe_of_a_file_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(
        "from qlab import LandscapeProbe\n\n\nclass Own(LandscapeProbe):\n    '''My own.\n\n    Args:\n"
        "        size: of it.\n    '''\n\n    size: int = 3\n\n    def compute(self, landscape):\n        ...\n"
    )
    monkeypatch.chdir(tmp_path)
    output = invoke("describe", "own:Own")
    assert output.startswith("own:Own (probe)\nMy own.")
    assert "  size: an integer; default 3\n      of it." in output
    assert "  n_samples: " in output


def test_an_unknown_kind_is_explained() -> None:
    message = refused("list", "modles")
    for part in ('"modles"', 'Did you mean "models"?', "corruptions, devices, experiments, losses"):
        assert part in message


@pytest.mark.parametrize("name", [*CLASSES, "Trainer"])
def test_a_class_is_described_with_fields_formula_and_source(name: str) -> None:
    cls = CLASSES.get(name, Trainer)
    output = invoke("describe", name)
    lines = output.splitlines()
    assert lines[0].startswith(f"{name} (")
    assert f"formula: {cls.formula}" in output
    assert f"source: {cls.source}" in output
    for field in fields_of(cls).values():
        (line,) = [line for line in lines if line.startswith(f"  {field.name}: ")]
        assert field.accepts in line
        assert ("; required" if field.default is REQUIRED else "; default ") in line
        assert field.doc
        assert field.doc.split()[0] in output
    assert "Args:" not in output
    assert "``" not in output
    assert ":meth:" not in output


@pytest.mark.parametrize("name", experiments())
def test_an_experiment_that_is_listed_can_be_described(name: str) -> None:
    assert f'name = "{name.replace("/", "-")}"' in invoke("describe", name)


def test_a_class_of_a_file_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(
        "from qlab import MLP\n\n\nclass Own(MLP):\n    '''My own.\n\n    Args:\n        size: of it.\n    '''\n\n"
        "    def __init__(self, *, size: int, **fields):\n        super().__init__(size=size, **fields)\n"
    )
    monkeypatch.chdir(tmp_path)
    output = invoke("describe", "own:Own")
    assert output.startswith("own:Own (model)\nMy own.")
    assert "  size: an integer; required\n      of it." in output
    assert "  hidden: " in output


def test_an_unknown_name_is_explained_with_the_nearest() -> None:
    message = refused("describe", "LabelFlop")
    for part in ('"LabelFlop"', 'Did you mean "LabelFlip"?', "PennyLaneQNN", "Trainer", "XXZ"):
        assert part in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("nowhere:Thing", ['no module "nowhere"'], id="no module"),
        pytest.param("own:Halfway", ["own:Halfway", "does not define", "forward"], id="abstract model"),
        pytest.param("own:Own", ["own", '"Own"', 'Did you mean "Owner"?'], id="misspelt"),
    ],
)
def test_a_class_that_cannot_be_described_is_explained(
    name: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(
        "from qlab import MLP, Model\n\n\nclass Owner(MLP):\n    pass\n\n\nclass Halfway(Model):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    message = refused("describe", name)
    for part in expected:
        assert part in message


def test_a_device_is_listed_and_its_file_printed() -> None:
    assert invoke("list", "devices").splitlines() == [
        "devices",
        "  kingston               36 qubits of ibm_kingston, 2026-04-15",
    ]
    assert 'name = "ibm_kingston"' in invoke("describe", "kingston")


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("run", "oracles"),
        ("select", "metric"),
        ("search", "sampler_seed"),
        ("claim", "statement"),
        ("audit", "relearn_steps"),
    ],
)
def test_a_table_is_described_with_its_fields(table: str, field: str) -> None:
    output = invoke("describe", table)
    assert output.startswith(f"{table} (table)")
    assert f"\n  {field}: " in output
