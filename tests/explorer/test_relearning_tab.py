"""The tab of relearning curves on the page of unlearning: without a browser, and without a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.experiments import TASK
from support.pages import LIBRARY_WARNINGS

from qlab.explorer.pages.unlearning import UnlearningPage

pytestmark = LIBRARY_WARNINGS

PLAIN = f"""
name = "relearned"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
known = 0.5
[[model]]
type = "MLP"
hidden = [2]
training = {{ epochs = 1 }}
[[unlearner]]
type = "Finetune"
steps = 1
[run]
seeds = 2
oracles = 1
"""

AUDITED = PLAIN + '[audit]\noracles = 2\nmetrics = ["relearning"]\nrelearn_steps = 3\n'


def page(opened: Callable[..., Any], text: str) -> Any:
    found = opened(UnlearningPage, text)
    found.state.unlearning_tab = "Relearning"
    found.update()
    return found


def test_an_audit_has_curves_of_known_and_hidden_rows(opened: Callable[..., Any]) -> None:
    found = page(opened, AUDITED)
    assert not found._notice.object
    table = found.relearning.table
    assert set(table["method"]) == {"Finetune", "trained model", "oracle"}
    assert set(table["metric"]) == {"relearning_known", "relearning_hidden"}
    assert set(table["step"]) == {0, 1, 2, 3}
    assert set(table["runs"]) == {2}
    assert len(found.relearning.figure) == 2


def test_without_one_there_are_none(opened: Callable[..., Any]) -> None:
    found = page(opened, PLAIN)
    assert found.relearning.figure is None
    assert found._notice.object.startswith("No run was audited with relearning")
