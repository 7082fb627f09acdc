"""The public CI: every Python that the package claims, and the commands of ``.ci/run``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FILE = ROOT / ".github/workflows/tests.yml"

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="no workflow here")


def test_it_runs_on_every_python_that_the_package_claims() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    job = yaml.safe_load(FILE.read_text(encoding="utf-8"))["jobs"]["tests"]
    assert job["strategy"]["matrix"]["python"] == claimed
    assert project["requires-python"] == f">={claimed[0]}"


def test_its_commands_are_those_of_the_ci_script() -> None:
    if not (ROOT / ".ci/run").is_file():
        pytest.skip("no .ci/run here")
    script = (ROOT / ".ci/run").read_text(encoding="utf-8").replace("pip install --quiet", "python -m pip install")
    steps = yaml.safe_load(FILE.read_text(encoding="utf-8"))["jobs"]["tests"]["steps"]
    commands = " && ".join(step["run"] for step in steps if "run" in step)
    assert commands.endswith(script.strip().splitlines()[-1])
