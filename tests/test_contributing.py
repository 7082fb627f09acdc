"""What contributors are told to run is what is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.documents import ROOT, blocks

HOOKS = ROOT / ".pre-commit-config.yaml"


def test_the_checks_before_a_commit_are_those_of_ci() -> None:
    [repository] = yaml.safe_load(HOOKS.read_text("utf-8"))["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    checks = {hook["entry"].split(" --")[0] for hook in repository["hooks"]}
    assert checks == {"ruff check", "ruff format", "lint-imports", "mypy"}
    told = " ".join(blocks("sh", "CONTRIBUTING.md"))
    assert [check for check in checks if check not in told] == []


def test_there_are_three_blocks_of_commands() -> None:
    install, some, everything = blocks("sh", "CONTRIBUTING.md")
    assert 'pip install -e ".[test]"' in install
    assert "pytest tests/training" in some
    assert "sphinx-build -W docs site" in everything
    assert (ROOT / "tests/training").is_dir()


@pytest.mark.parametrize("form", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda form: form.name)
def test_forms_can_be_read(form: Path) -> None:
    assert yaml.safe_load(form.read_text("utf-8"))
