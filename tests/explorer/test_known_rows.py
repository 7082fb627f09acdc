"""The tab of methods by known fraction on the page of unlearning: without a browser, and without a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.experiments import TASK
from support.runs import run_text

from qlab.explorer.loaded import Loader
from qlab.explorer.page import Context
from qlab.explorer.pages.unlearning import UnlearningPage
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Both 'variant' and 'button_style':PendingDeprecationWarning"),  # Panel's own
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),  # HoloViews' own
]

EXPERIMENT = f"""
name = "known"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
known = [0.5, 1.0]
[[model]]
type = "MLP"
hidden = [2]
training = {{ epochs = 1 }}
[[unlearner]]
type = "Finetune"
steps = 1
[run]
seeds = 1
oracles = 1
"""


class Now:
    """Work that is done at once."""

    def submit(
        self, name: str, compute: Callable[[], Any], show: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        show(compute())


def page(folder: Path, write_empty_store: Callable[[Path], str], **assignments: Any) -> UnlearningPage:
    uri = write_empty_store(folder / "mlruns" / "mlflow.db")
    run_text(Store(uri), folder, EXPERIMENT, **assignments)
    reader = Reader(uri)
    found = UnlearningPage(Context(State(experiment="known"), reader, Loader(reader), Now()))  # type: ignore[arg-type]
    assert found.view is not None
    found.update()
    return found


def test_a_sweep_has_a_line_for_each_method_beside_teacher_and_oracles(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    found = page(tmp_path, write_empty_store)
    assert set(found.known.table["method"]) == {"Finetune", "oracle", "reachable oracle", "teacher"}
    assert len(found.known.figure) == 2
    assert "hidden_accuracy_polluted" in found._metrics.widget.options


def test_without_a_sweep_there_is_none(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    found = page(tmp_path, write_empty_store, corruption__known=1.0)
    assert found.known.figure is None
    assert "hidden_accuracy_polluted" not in found._metrics.widget.options
