"""The figures of the concepts: each is drawn by the script beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/concepts/figures"
SCRIPTS = [file for file in sorted(FOLDER.glob("*.py")) if file.stem != "style"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_draws_its_figure(script: Path, tmp_path: Path) -> None:
    surroundings = os.environ | {"FIGURES": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=surroundings, check=True, timeout=300)
    drawn, kept = (folder.joinpath(f"{script.stem}.svg").read_text("utf-8") for folder in (tmp_path, FOLDER))
    assert abs(len(drawn) - len(kept)) < 0.1 * len(kept)  # fonts and versions of Matplotlib may differ a little


def test_each_concept_has_a_figure_and_shows_its_script() -> None:
    pages = [page for page in sorted((ROOT / "docs/concepts").glob("*.md")) if page.stem != "index"]
    assert len(pages) == len(SCRIPTS) == 6
    for page in pages:
        name = page.stem.replace("-", "_")
        text = page.read_text("utf-8")
        assert f"(figures/{name}.svg)" in text
        assert f"{{literalinclude}} figures/{name}.py" in text
