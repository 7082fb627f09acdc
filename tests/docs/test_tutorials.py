"""The tutorials: notebooks that run from beginning to end, stored without outputs."""

from __future__ import annotations

import os
import subprocess  # noqa: F401  kernels are processes: this marks the module as such
from collections.abc import Callable
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/tutorials").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning")
def test_a_tutorial_runs(
    file: Path, tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of its own, with an empty store, so that none waits for the store to be made."""
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")  # tqdm, without ipywidgets
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(file, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any(output["output_type"] in ("display_data", "execute_result") for output in printed)
    loud = [output["text"] for output in printed if output.get("name") == "stderr"]
    assert not [text for text in loud if "Warning" in text or "not drawn" in text]


def test_there_is_one_for_each_part() -> None:
    parts = ["cluster", "controls", "landscape", "noise", "own-ansatz", "own-data", "own-unlearner"]
    assert [file.stem for file in NOTEBOOKS] == parts


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_tutorial_is_stored_without_outputs(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
