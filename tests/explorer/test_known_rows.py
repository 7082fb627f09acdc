"""The tab of methods by known fraction on the page of unlearning: without a browser, and without a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.experiments import TASK
from support.pages import LIBRARY_WARNINGS

from qlab.explorer.pages.unlearning import UnlearningPage

pytestmark = LIBRARY_WARNINGS

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


def page(opened: Callable[..., Any], **assignments: Any) -> Any:
    found = opened(UnlearningPage, EXPERIMENT, **assignments)
    found.state.unlearning_tab = "Known rows"
    found.update()
    return found


def test_a_sweep_has_a_line_for_each_method_beside_teacher_and_oracles(opened: Callable[..., Any]) -> None:
    found = page(opened)
    assert not found._notice.object
    assert set(found.known.table["method"]) == {"Finetune", "oracle", "reachable oracle", "teacher"}
    assert len(found.known.figure) == 2
    assert "hidden_accuracy_polluted" in found._metrics.widget.options.values()


def test_without_a_sweep_there_is_none(opened: Callable[..., Any]) -> None:
    found = page(opened, corruption__known=1.0)
    assert found.known.figure is None
    assert found._notice.object.startswith("All these runs know the same fraction")
    assert "hidden_accuracy_polluted" not in found._metrics.widget.options.values()
