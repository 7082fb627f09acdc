"""The tutorials: notebooks that run from beginning to end, stored without outputs."""

from __future__ import annotations

import os
import subprocess  # noqa: F401  kernels are processes: this marks the module as such
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
Config = pytest.importorskip("traitlets.config").Config

ROOT = Path(__file__).parents[2]

PATIENT = {"timeout": 900, "startup_timeout": 300, "iopub_timeout": 60, "raise_on_iopub_timeout": True}
"""Seconds for a cell, for a kernel to start, and for what it has printed. On a busy machine nbclient's own 60 and 4 are
too few for the last two: a kernel is given up, or its outputs are dropped without a word."""

NOTEBOOKS = sorted((ROOT / "docs/tutorials").glob("*.ipynb"))


@pytest.fixture
def sockets() -> Iterator[Any]:
    """Where a kernel listens: in files, whose names must be short, in a folder of its own.

    TCP ports are chosen before the kernel starts, and by then another test may have taken one that was free.
    """
    with tempfile.TemporaryDirectory(prefix="k") as folder:
        files = {"transport": "ipc", "ip": f"{folder}/k"}
        yield Config({"ConnectionFileMixin": files if os.name == "posix" else {}})


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning")
def test_a_tutorial_runs(
    file: Path,
    tmp_path: Path,
    write_empty_store: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
    sockets: Any,
) -> None:
    """In a folder of its own, with an empty store, so that none waits for the store to be made."""
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")  # tqdm, without ipywidgets
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(file, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, resources=resources, config=sockets, **PATIENT).execute()
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
