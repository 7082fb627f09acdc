"""Names of classes: qlab's own, a user's file, an installed plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qlab import registry
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.fields import fields_of
from qlab.landscape import LandscapeProbe
from qlab.models import MLP, Model, PennyLaneQNN
from qlab.tasks import XXZ, Task

OWN_TASK = '''
from __future__ import annotations

import torch

from qlab import Dataset, Split, Task
from qlab.fields import PositiveInt


class Stripes(Task):
    """Alternating labels.

    Args:
        width: features of a sample.
    """

    width: PositiveInt = 4
    style: str = "plain"

    def load(self) -> Dataset:
        x = torch.eye(self.width, dtype=torch.float64)
        split = Split(x, torch.arange(self.width) % 2)
        return Dataset(split, split)

    def random_features(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(n, self.width, generator=generator, dtype=torch.float64))


class Unfinished(Task):
    """Loads nothing."""
'''

OWN_MODEL = '''
from __future__ import annotations

import pennylane as qml

from qlab import PennyLaneQNN
from qlab.fields import PositiveFloat


class Tilted(PennyLaneQNN):
    """A circuit of one angle per wire.

    Args:
        tilt: fixed angle, in radians.
    """

    def __init__(self, *, tilt: PositiveFloat = 0.1, **fields: object) -> None:
        super().__init__(tilt=tilt, **fields)
        self.tilt = tilt

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"angles": (self.n_wires,)}

    def ansatz(self, angles) -> None:
        for wire in range(self.n_wires):
            qml.RY(self.tilt, wires=wire)
            qml.RX(angles[wire], wires=wire)
'''

EXPERIMENT = """
[task]
type = "own_task:Stripes"
width = [4, 8]
[model]
type = "own_model:Tilted"
tilt = 0.2
dtype = "float32"
[run]
seeds = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an experiment and the two files it names classes of."""
    (tmp_path / "own_task.py").write_text(OWN_TASK)
    (tmp_path / "own_model.py").write_text(OWN_MODEL)
    (tmp_path / "experiment.toml").write_text(EXPERIMENT)
    return tmp_path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], Path]:
    """Installs a distribution of one module into a folder on the path: its name, code and entry points."""

    def install(name: str, code: str, entry_points: str) -> Path:
        site = tmp_path / "site"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[qlab.plugins]\n{entry_points}\n")
        monkeypatch.syspath_prepend(site)
        return site

    return install


# qlab's own


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("task", {"Digits", "FashionMNIST", "KMNIST", "MNIST", "XXZ"}),
        ("corruption", {"FeatureRandomization", "LabelFlip", "NoCorruption"}),
        ("model", {"CNOTQNN", "MLP", "PennyLaneQNN"}),
        ("unlearner", {"Finetune", "GradientAscent", "NPO", "Retrain", "Scrub"}),
        ("probe", {"HessianProbe", "InterpolationProbe", "RougheningProbe", "SliceProbe"}),
    ],
)
def test_the_classes_that_come_with_qlab(kind: str, names: set[str]) -> None:
    found = registry.available(kind)
    assert names <= set(found)
    assert all(issubclass(cls, registry.base_classes(kind)) for cls in found.values())
    assert {registry.find(kind, name) for name in names} == {found[name] for name in names}


def test_the_classes_of_qlab_have_no_code_digest() -> None:
    assert registry.code_digest(XXZ) is None
    assert registry.code_digest(MLP) is None


def test_an_unknown_name_lists_the_choices_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as raised:
        registry.find("corruption", "LabelFlop")
    for part in ("unknown corruption", '"LabelFlop"', 'Did you mean "LabelFlip"?', "NoCorruption", '"module:Class"'):
        assert part in str(raised.value)


# A file beside the experiment


def test_a_class_of_a_file_beside_the_experiment(folder: Path) -> None:
    cls = registry.find("task", "own_task:Stripes", folder)
    assert issubclass(cls, Task)
    assert set(fields_of(cls)) == {"width", "style"}
    assert fields_of(cls)["width"].doc == "features of a sample."
    assert cls(width=6).load().train.x.shape == (6, 6)


def test_an_experiment_of_a_users_classes_expands_like_any_other(folder: Path) -> None:
    trials = schema.load(folder / "experiment.toml").trials
    assert [trial.config["task"]["width"] for trial in trials] == [4, 8]
    config = trials[0].config
    assert config["task"]["type"] == "own_task:Stripes"
    assert config["model"]["type"] == "own_model:Tilted"
    assert config["model"]["tilt"] == 0.2
    assert config["model"]["depth"] == 4
    assert isinstance(trials[0].model, PennyLaneQNN)
    assert len(config["task"]["code"]) == len(config["model"]["code"]) == 12


def test_keys_of_a_users_class_are_checked(folder: Path) -> None:
    for old, new, expected in (
        ("tilt = 0.2", "tilt = -1", "model.tilt: got -1, accepts a number above 0"),
        ("tilt = 0.2", "tlit = 1", 'Did you mean "tilt"?'),
        ("width = [4, 8]", 'width = "wide"', 'task.width: got "wide"'),
    ):
        (folder / "experiment.toml").write_text(EXPERIMENT.replace(old, new))
        with pytest.raises(ConfigError) as raised:
            schema.load(folder / "experiment.toml")
        assert expected in str(raised.value)


OWN_PROBE = '''
from __future__ import annotations

from qlab import LandscapeProbe, ProbeResult
from qlab.landscape.hessian import CurvatureProbe


class Height(LandscapeProbe):
    """The loss.

    Args:
        factor: of it.
    """

    factor: float = 1.0

    def compute(self, landscape):
        return ProbeResult({"height": self.factor * float(landscape.loss(landscape.theta))})


class Unfinished(CurvatureProbe):
    """Measures nothing."""
'''


def test_a_probe_of_a_file_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "own_probe.py").write_text(OWN_PROBE)
    cls = registry.find("probe", "own_probe:Height", tmp_path)
    assert issubclass(cls, LandscapeProbe)
    assert registry.base_class("probe") is LandscapeProbe
    assert fields_of(cls)["factor"].doc == "of it."
    assert {"samples", "n_samples", "at"} <= set(fields_of(cls))
    assert len(registry.code_digest(cls) or "") == 12
    assert registry.find_of_any_kind("own_probe:Height", tmp_path)[0] == "probe"
    with pytest.raises(ConfigError, match="does not define compute"):
        registry.find("probe", "own_probe:Unfinished", tmp_path)
    with pytest.raises(ConfigError, match="unlearner in own_probe"):
        registry.find("unlearner", "own_probe:Height", tmp_path)


def test_the_bases_of_qlabs_probes_are_no_probes_that_a_file_can_name() -> None:
    assert not {"CurvatureProbe", "LandscapeProbe"} & set(registry.available("probe"))
    for name in ("LandscapeProbe", "qlab.landscape.hessian:CurvatureProbe"):
        with pytest.raises(ConfigError):
            registry.find("probe", name)


def test_an_edited_file_makes_new_trials(folder: Path) -> None:
    before = schema.load(folder / "experiment.toml").trials
    (folder / "own_task.py").write_text(OWN_TASK + "\nEDITED = True\n")
    after = schema.load(folder / "experiment.toml").trials
    assert not {trial.key for trial in before} & {trial.key for trial in after}
    (folder / "own_task.py").write_text(OWN_TASK)
    again = schema.load(folder / "experiment.toml").trials
    assert [trial.key for trial in again] == [trial.key for trial in before]


def test_the_digest_is_that_of_the_code_that_runs(folder: Path) -> None:
    first = registry.find("task", "own_task:Stripes", folder)
    assert first().style == "plain"
    digest = registry.code_digest(first)
    (folder / "own_task.py").write_text(OWN_TASK.replace('"plain"', '"bold"'))
    second = registry.find("task", "own_task:Stripes", folder)
    assert second().style == "bold"
    assert registry.code_digest(second) != digest
    assert registry.code_digest(first) == digest


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    styles = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own_task.py").write_text(OWN_TASK.replace('"plain"', f'"{name}"'))
        styles[name] = registry.find("task", "own_task:Stripes", tmp_path / name)().style
    assert styles == {"one": "one", "two": "two"}


def test_a_class_of_an_installed_module() -> None:
    assert registry.find("model", "qlab.models.mlp:MLP") is MLP


REFUSED = {
    "no such module": ("nowhere:Thing", "model", ['no module "nowhere"', "nowhere.py"]),
    "no such class": ("own_model:Tiltde", "model", ["own_model", '"Tiltde"', 'Did you mean "Tilted"?']),
    "abstract class": ("own_task:Unfinished", "task", ["own_task:Unfinished", "load", "random_features"]),
    "class of another hierarchy": ("own_task:Stripes", "model", ["model", "own_task", '"Stripes"']),
    "a function": ("json:loads", "model", ["model in json", '"loads"']),
    "no class named": ("own_model:", "model", ["own_model", "Tilted"]),
    "no module named": (":MLP", "model", ['"']),
    "the base class itself": ("qlab.models.base:Model", "model", ["qlab.models.base:Model", "forward"]),
    "module that is not Python": ("broken:Thing", "model", ["broken", "cannot be imported", "SyntaxError"]),
    "module that fails": ("failing:Thing", "model", ["failing", "cannot be imported", "ValueError", "no luck"]),
    "module that needs another": ("needy:Thing", "model", ["needy", "cannot be imported", "absent_library"]),
    "module that exits": ("leaving:Thing", "model", ["leaving", "cannot be imported"]),
}


@pytest.mark.parametrize(("name", "kind", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_names_that_lead_to_no_usable_class_are_explained(
    folder: Path, name: str, kind: str, expected: list[str]
) -> None:
    (folder / "broken.py").write_text("class Thing(:\n")
    (folder / "failing.py").write_text("raise ValueError('no luck')\n")
    (folder / "needy.py").write_text("import absent_library\n")
    (folder / "leaving.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(ConfigError) as raised:
        registry.find(kind, name, folder)
    for part in expected:
        assert part in str(raised.value)


def test_a_file_that_failed_is_read_again_when_mended(tmp_path: Path) -> None:
    file = tmp_path / "own_task.py"
    file.write_text("raise ValueError\n")
    with pytest.raises(ConfigError):
        registry.find("task", "own_task:Stripes", tmp_path)
    file.write_text(OWN_TASK)
    assert registry.find("task", "own_task:Stripes", tmp_path).__name__ == "Stripes"


USERS_MISTAKES = {
    "an annotation that names nothing": (
        "class Own(MLP):\n    def __init__(self, *, size: Nothing = 1, **fields):\n"
        "        super().__init__(**fields)\n",
        "",
    ),
    "a constructor that refuses": (
        "class Own(MLP):\n    def __init__(self, *, size: int = 1, **fields):\n        super().__init__(**fields)\n"
        "        raise ValueError('size is odd')\n",
        "size is odd",
    ),
}


@pytest.mark.parametrize(("code", "expected"), USERS_MISTAKES.values(), ids=USERS_MISTAKES.keys())
def test_mistakes_in_a_users_class_are_explained_with_file_and_key(tmp_path: Path, code: str, expected: str) -> None:
    (tmp_path / "own.py").write_text("from __future__ import annotations\nfrom qlab import MLP\n" + code)
    file = tmp_path / "experiment.toml"
    file.write_text('[task]\ntype = "XXZ"\nlength = 4\n[model]\ntype = "own:Own"\nsize = 3\n')
    with pytest.raises(ConfigError) as raised:
        schema.load(file)
    assert str(raised.value).startswith(f"{file}: model")
    assert expected in str(raised.value)


# Installed plugins

PLUGIN = "from qlab import MLP\n\n\nclass Wide(MLP):\n    '''Wider than an MLP.'''\n"


def test_an_installed_plugin_is_found_by_its_name(install: Callable[[str, str, str], Path]) -> None:
    install("wide_plugin", PLUGIN, "Wide = wide_plugin:Wide")
    cls = registry.find("model", "Wide")
    assert issubclass(cls, Model)
    assert cls.__module__ == "wide_plugin"
    assert "Wide" not in registry.available("task")


def test_an_installed_plugin_shows_on_the_command_line(install: Callable[[str, str, str], Path]) -> None:
    site = install("shown_plugin", PLUGIN, "Wide = shown_plugin:Wide")
    result = subprocess.run(
        [sys.executable, "-m", "qlab.cli", "list", "models"],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in result.stdout.splitlines() if "Wide" in line]
    assert line.split(maxsplit=1) == ["Wide", "Wider than an MLP."]


def test_a_plugin_cannot_take_the_name_of_another_class(install: Callable[[str, str, str], Path]) -> None:
    install("taking_plugin", PLUGIN, "MLP = taking_plugin:Wide")
    with pytest.raises(ConfigError, match=r'plugin "MLP" \(taking_plugin:Wide\) has the name of an existing model'):
        registry.find("model", "PennyLaneQNN")


def test_a_plugin_that_does_not_import_is_named(install: Callable[[str, str, str], Path]) -> None:
    install("broken_plugin", "import absent_library\n", "Broken = broken_plugin:Broken")
    with pytest.raises(
        ConfigError, match=r'plugin "Broken" \(broken_plugin:Broken\) cannot be imported.*absent_library'
    ):
        registry.available("model")
