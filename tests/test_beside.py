"""Modules beside an experiment: imported however qlab is started, part of the identity, seen by nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qlab import registry
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.retry import Unfinished
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = """
name = "base"
[task]
type = "XXZ"
length = 4
[corruption]
type = "parts:Flip"
ratio = [0.0, 0.3]
[[model]]
type = "MLP"
hidden = [4]
training = { epochs = 2 }
[run]
seeds = 1
"""

PARTS = '''
from __future__ import annotations
import helper
from qlab import LabelFlip


class Flip(LabelFlip):
    """Uses a neighbour module."""

    strength: float = helper.SCALE
'''

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files into a folder, by path, and returns the folder."""

    def write(files: dict[str, str], folder: str = "project") -> Path:
        for name, text in files.items():
            file = tmp_path / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return tmp_path / folder

    return write


def strength(folder: Path, name: str = "parts:Flip") -> Any:
    return registry.find("corruption", name, folder)().strength


def digest(folder: Path, name: str = "parts:Flip") -> str:
    found = registry.code_digest(registry.find("corruption", name, folder), name)
    assert found is not None
    return found


def flip(value: str, above: str = "") -> str:
    """The code of a corruption whose strength is an expression."""
    lines = (above, "from qlab import LabelFlip\n", "class Flip(LabelFlip):", f"    strength: float = {value}", "")
    return "\n".join(lines)


def qlab(place: Path, *words: str, alone: bool = True) -> subprocess.CompletedProcess[str]:
    """The command in a folder; as the script, which leaves the folder off the path, or as a module."""
    return subprocess.run(
        [sys.executable, *(["-P"] if alone else []), "-m", "qlab", *words],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(Path(schema.__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_works_as_a_module_in_its_folder(write: Write) -> None:
    folder = write({"p.toml": FILE, "parts.py": PARTS, "helper.py": "SCALE = 1.0\n"})
    done = qlab(folder, "run", "p.toml", "--dry-run", alone=False)
    assert "2 trials: 0 done, 2 would run" in done.stdout, done.stderr


def test_it_works_as_the_script_from_elsewhere_with_workers(write: Write, tmp_path: Path) -> None:
    late = "\n    def apply(self, split, task, generator):\n        import inner\n"
    late += "        return super().apply(split, task, generator)\n"
    files = {"helper.py": "def value():\n    import inner\n    return inner.SCALE\n", "inner.py": "SCALE = 1.0\n"}
    folder = write({"p.toml": FILE, "parts.py": PARTS.replace("helper.SCALE", "helper.value()") + late, **files})
    ran = qlab(tmp_path, "run", "project/p.toml", "--jobs", "2")
    assert (ran.returncode, "given up" in ran.stdout + ran.stderr) == (0, False), ran.stdout + ran.stderr
    store = Store(f"sqlite:///{tmp_path}/mlruns/mlflow.db", create=False)
    assert Unfinished.of(store).experiments == ()
    (folder / "inner.py").write_text("SCALE = 1.0  # edited\n")
    assert Plan.of(schema.load(folder / "p.toml"), store).todo == []
    (folder / "inner.py").write_text("SCALE = 2.0\n")
    assert len(Plan.of(schema.load(folder / "p.toml"), store).todo) == 2


LAYOUTS: dict[str, tuple[str, dict[str, str], str]] = {
    "a module": ("parts:Flip", {"parts.py": flip("helper.SCALE", "import helper")}, "helper.py"),
    "under another name": ("parts:Flip", {"parts.py": flip("h.SCALE", "import helper as h")}, "helper.py"),
    "a name of it": ("parts:Flip", {"parts.py": flip("SCALE", "from helper import SCALE")}, "helper.py"),
    "everything of it": ("parts:Flip", {"parts.py": flip("SCALE", "from helper import *")}, "helper.py"),
    "through another": (
        "parts:Flip",
        {"parts.py": flip("middle.helper.SCALE", "import middle"), "middle.py": "import helper\n"},
        "helper.py",
    ),
    "a package": ("parts:Flip", {"parts.py": flip("tools.SCALE", "import tools")}, "tools/__init__.py"),
    "a module of a package": (
        "parts:Flip",
        {"parts.py": flip("tools.deep.scales.SCALE", "import tools.deep.scales"), "tools/__init__.py": ""},
        "tools/deep/scales.py",
    ),
    "a module from a package": (
        "parts:Flip",
        {"parts.py": flip("s.SCALE", "from tools import scales as s"), "tools/__init__.py": ""},
        "tools/scales.py",
    ),
    "a package without init": (
        "parts:Flip",
        {"parts.py": flip("tools.scales.SCALE", "import tools.scales")},
        "tools/scales.py",
    ),
    "a class in a package": (
        "mypkg.parts:Flip",
        {"mypkg/__init__.py": "", "mypkg/parts.py": flip("SCALE", "from .inner.scales import SCALE")},
        "mypkg/inner/scales.py",
    ),
    "one package up": (
        "mypkg.inner.parts:Flip",
        {"mypkg/__init__.py": "", "mypkg/inner/parts.py": flip("scales.SCALE", "from .. import scales")},
        "mypkg/scales.py",
    ),
    "a package by its full name": (
        "mypkg.parts:Flip",
        {"mypkg/__init__.py": "", "mypkg/parts.py": flip("SCALE", "from mypkg.scales import SCALE")},
        "mypkg/scales.py",
    ),
    "from a package, beside the experiment": (
        "mypkg.parts:Flip",
        {"mypkg/parts.py": flip("helper.SCALE", "import helper")},
        "helper.py",
    ),
    "from a package, beside the class": (
        "mypkg.parts:Flip",
        {"mypkg/parts.py": flip("helper.SCALE", "import helper")},
        "mypkg/helper.py",
    ),
    "a class in another folder": (
        "lib/parts:Flip",
        {"lib/parts.py": flip("helper.SCALE", "import helper")},
        "lib/helper.py",
    ),
    "what the package runs first": (
        "mypkg.parts:Flip",
        {"mypkg/parts.py": flip("float(__import__('mypkg').SCALE)")},
        "mypkg/__init__.py",
    ),
    "in a circle": (
        "parts:Flip",
        {"parts.py": flip("helper.SCALE", "import helper"), "other.py": "import parts\n"},
        "helper.py",
    ),
    "a base class": (
        "parts:Own",
        {
            "parts.py": "from base import Flip\n\nclass Own(Flip):\n    pass\n",
            "base.py": flip("helper.SCALE", "import helper"),
        },
        "helper.py",
    ),
    "made elsewhere": (
        "parts:Flip",
        {
            "parts.py": "from factory import make\nfrom helper import SCALE\nFlip = make(SCALE)\n",
            "factory.py": "from qlab import LabelFlip\ndef make(value):\n    class Made(LabelFlip):\n"
            "        strength: float = value\n    return Made\n",
        },
        "helper.py",
    ),
    "made by type": (
        "parts:Flip",
        {
            "parts.py": "from qlab import LabelFlip\nfrom helper import SCALE\n"
            "Flip = type('Flip', (LabelFlip,), {'__annotations__': {'strength': float}, 'strength': SCALE})\n"
        },
        "helper.py",
    ),
    "tried first": (
        "parts:Flip",
        {"parts.py": flip("SCALE", "try:\n    from helper import SCALE\nexcept ImportError:\n    SCALE = 0.0")},
        "helper.py",
    ),
}


@pytest.mark.parametrize(("name", "files", "neighbour"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_neighbours_are_imported_and_count(write: Write, name: str, files: dict[str, str], neighbour: str) -> None:
    paths, before = list(sys.path), set(sys.modules)
    circle = "import other\n" if "other.py" in files else ""
    folder = write(files | {neighbour: f"SCALE = 1.0\n{circle}", "unrelated.py": "X = 1\n"})
    assert strength(folder, name) == 1.0
    first = digest(folder, name)
    write({neighbour: f'"""About."""\n\nSCALE = (\n    1.0  # as it was\n)\n{circle}', "unrelated.py": "X = 2\n"})
    assert digest(folder, name) == first
    write({neighbour: f"SCALE = 2.0\n{circle}"})
    assert strength(folder, name) == 2.0
    assert digest(folder, name) != first
    write({neighbour: f"SCALE = 1.0\n{circle}"})
    assert (strength(folder, name), digest(folder, name)) == (1.0, first)
    assert sys.path == paths
    own = {Path(file).parts[0].removesuffix(".py") for file in (neighbour, *files)}
    assert not own & (set(sys.modules) - before)


def test_moved_folders_mean_the_same(write: Write) -> None:
    files = {"parts.py": PARTS, "helper.py": "SCALE = 1.0\n"}
    assert digest(write(files, "one")) == digest(write(files, "two"))


def test_neighbours_of_one_name_in_two_folders_do_not_meet(write: Write) -> None:
    late = "\n    def apply(self, split, task, generator):\n        import helper\n        return helper.SCALE\n"
    folders = [write({"parts.py": PARTS + late, "helper.py": f"SCALE = {n}.0\n"}, f"folder{n}") for n in (1, 2)]
    made = [registry.find("corruption", "parts:Flip", folder)() for folder in folders]
    assert [item.strength for item in made] == [1.0, 2.0]
    assert [item.apply(None, None, None) for item in made] == [1.0, 2.0]


def test_classes_from_before_an_edit_keep_their_neighbours(write: Write) -> None:
    late = "\n    def apply(self, split, task, generator):\n        import helper, lately\n"
    late += "        return helper.SCALE, lately.X\n"
    folder = write({"parts.py": PARTS + late, "helper.py": "SCALE = 1.0\n", "lately.py": "X = 1\n"})
    old = registry.find("corruption", "parts:Flip", folder)
    kept = registry.code_digest(old, "parts:Flip")
    write({"helper.py": "SCALE = 2.0\n", "lately.py": "X = 2\n"})
    new = registry.find("corruption", "parts:Flip", folder)
    assert (old().apply(None, None, None), new().apply(None, None, None)) == ((1.0, 1), (2.0, 2))
    assert (registry.code_digest(old, "parts:Flip"), old is new) == (kept, False)


def test_classes_of_one_folder_know_each_other(write: Write) -> None:
    files = {
        "tasks.py": flip("1.0"),
        "parts.py": "import tasks\nfrom qlab import LabelFlip\n\nclass Own(LabelFlip):\n    kin = tasks.Flip\n",
    }
    folder = write(files)
    own = registry.find("corruption", "parts:Own", folder)
    assert own.kin is registry.find("corruption", "tasks:Flip", folder)  # type: ignore[attr-defined]
    write({"tasks.py": flip("2.0")})
    edited = registry.find("corruption", "tasks:Flip", folder)
    assert registry.find("corruption", "parts:Own", folder).kin is edited  # type: ignore[attr-defined]
    assert edited().strength == 2.0


def test_an_experiment_tells_trials_apart_by_neighbours(write: Write) -> None:
    folder = write({"p.toml": FILE, "parts.py": PARTS, "helper.py": "SCALE = 1.0\nOTHER = 1\n"})
    keys = {trial.key for trial in schema.load(folder / "p.toml").trials}
    write({"helper.py": "SCALE = 1.0\nOTHER = 2\n"})
    assert not keys & {trial.key for trial in schema.load(folder / "p.toml").trials}


@pytest.mark.parametrize("name", ["random", "types", "numpy", "torch", "helper", "json"])
def test_a_neighbour_with_the_name_of_an_installed_module_is_the_folders_alone(write: Write, name: str) -> None:
    """It comes first there, as where Python runs a script, and nowhere else."""
    folder = write({"parts.py": flip(f"{name}.SCALE", f"import {name}"), f"{name}.py": "SCALE = 4.0\n"})
    installed = sys.modules.get(name)
    assert strength(folder) == 4.0
    assert sys.modules.get(name) is installed
    assert torch.ones(1).item() == 1.0


def test_a_neighbour_that_hides_a_module_by_mistake_is_named(write: Write) -> None:
    for code in ("import random\n\nX = random.gauss(0, 1)\n", "from random import gauss\n"):
        folder = write({"parts.py": code, "random.py": "print(1)\n"})
        with pytest.raises(ConfigError, match=r"random\.py in .* is found before the installed module random; rename"):
            strength(folder)


def test_qlab_itself_is_never_hidden(write: Write) -> None:
    folder = write({"parts.py": flip("1.0"), "qlab/__init__.py": "raise ValueError\n", "qlab.py": "raise ValueError\n"})
    assert strength(folder) == 1.0


def test_folders_of_data_hide_nothing(write: Write) -> None:
    folder = write(
        {"parts.py": flip("float(json.loads('3'))", "import json, numpy"), "json/a.csv": "", "numpy/b.py": ""}
    )
    assert strength(folder) == 3.0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"parts.py": "import helpr\n"}, r"parts.*cannot be imported: No module named 'helpr' \(.*parts\.py, line 1\)"),
        ({"parts.py": "\nimport helper\n", "helper.py": "\n\n1 / 0\n"}, r"ZeroDivisionError.*\(.*helper\.py, line 3\)"),
        ({"parts.py": "import helper\n", "helper.py": "x = (\n"}, r"SyntaxError.*\(helper\.py, line 1\)"),
        (
            {"parts.py": "from helper import no\n", "helper.py": ""},
            r"cannot import name 'no' from 'helper' \(.*helper\.py\)",
        ),
        ({"parts.py": "import tools.nothing\n", "tools/__init__.py": ""}, r"No module named 'tools\.nothing'"),
        ({"parts.py": "from .. import x\n"}, "beyond top-level package"),
        (
            {"parts.py": "from importlib import import_module\nimport_module('helper')\n", "helper.py": ""},
            r"No module named 'helper' \(.*parts\.py, line 2\) It is in .*: import it with an import statement",
        ),
        (
            {
                "parts.py": "from dataclasses import dataclass\nfrom qlab import LabelFlip\n\n@dataclass\n"
                + "class Flip(LabelFlip):\n    a: int = 1\n"
            },
            r"non-frozen.*\(.*parts\.py, line 4\).*frozen dataclasses by themselves.*@dataclass\(frozen=True, kw_only",
        ),
    ],
    ids=[
        "missing",
        "failing",
        "not Python",
        "no such name",
        "not in the package",
        "too far up",
        "by a function",
        "loose",
    ],
)
def test_what_does_not_import_is_named_with_file_and_line(write: Write, files: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        strength(write(files))
    assert "qlab_experiment_files" not in str(raised.value)


def test_a_model_that_is_a_dataclass_is_told_what_to_write(write: Write) -> None:
    code = (
        "from dataclasses import dataclass\nfrom qlab import MLP\n\n@dataclass\nclass Own(MLP):\n    depth: int = 1\n"
    )
    with pytest.raises(ConfigError, match=r"a model cannot be a dataclass.*def __init__\(self, \*, depth: int = 4"):
        registry.find("model", "parts:Own", write({"parts.py": code}))


def test_a_missing_neighbour_is_found_once_it_is_there(write: Write) -> None:
    folder = write({"parts.py": PARTS})
    with pytest.raises(ConfigError, match="helper"):
        strength(folder)
    write({"helper.py": "SCALE = 3.0\n"})
    assert strength(folder) == 3.0


def test_tracebacks_show_the_users_file_and_line(write: Write) -> None:
    late = "\n    def apply(self, split, task, generator):\n        return helper.fail()\n"
    folder = write(
        {"parts.py": PARTS + late, "helper.py": "SCALE = 1.0\n\ndef fail():\n    raise ValueError('here')\n"}
    )
    with pytest.raises(ValueError, match="here") as raised:
        registry.find("corruption", "parts:Flip", folder)().apply(None, None, None)
    frame = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (frame.filename, frame.lineno, frame.line) == (str(folder / "helper.py"), 4, "raise ValueError('here')")
