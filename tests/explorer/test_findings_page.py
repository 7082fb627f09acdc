"""The page of findings: cards of all experiments, and one as a story; without a browser, and without a thread."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import pytest
from support.experiments import TASK
from support.pages import LIBRARY_WARNINGS

from qlab.explorer.pages.findings import FindingsPage
from qlab.tracking.store import Store

pytestmark = LIBRARY_WARNINGS

EXPERIMENT = f"""
name = "asked"
about = "Does <b>anything</b> change?"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]
[[model]]
type = "MLP"
hidden = [2]
training = {{ epochs = 1 }}
[run]
seeds = 3
[[claim]]
name = "loses"
text = "Half of the labels flipped cost <i>nearly</i> everything"
metric = "validation_accuracy"
of = {{ "corruption.ratio" = 0.5 }}
than = {{ "corruption.ratio" = 0.0 }}
statement = "below"
margin = 0.9
"""


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def page(opened: Callable[..., Any]) -> Any:
    found = opened(FindingsPage, EXPERIMENT)
    put(found, PIXEL)
    return found


def put(page: Any, content: bytes) -> None:
    """Gives the experiment a figure."""
    reader = page.context.reader
    [finding] = reader.findings()
    reader.store.log_content(finding.run, "summary/accuracy.png", content)


def texts(page: Any) -> list[str]:
    page.update()
    return [found.object for found in page._shown.select(lambda part: isinstance(part, pn.pane.HTML))]


def test_a_card_says_what_is_asked_and_what_was_found(page: Any) -> None:
    said = texts(page)
    assert not page._notice.object
    assert "<h2>asked</h2>" in said
    assert "<pre>Does &lt;b&gt;anything&lt;/b&gt; change?</pre>" in said
    assert any(text.startswith("<pre>1 claim: 1 ") for text in said)
    assert any(text.startswith("<pre>finished 2") and "UTC" in text for text in said)
    assert len(page._shown.select(pn.pane.PNG)) == 1


def test_a_card_opens_the_story_with_the_figure_of_each_claim(page: Any) -> None:
    page.update()
    page._open("asked")
    said = texts(page)
    assert "<pre>Half of the labels flipped cost &lt;i&gt;nearly&lt;/i&gt; everything</pre>" in said
    assert any(text.startswith(("<pre>contradicted", "<pre>undecided", "<pre>supported")) for text in said)
    assert any("Runs: 6 finished." in text for text in said)
    assert "<pre>Every run is in the table: none was left out.</pre>" in said
    assert [picture.alt_text for picture in page._shown.select(pn.pane.PNG)] == ["accuracy"]


def test_a_story_is_a_report_to_send(page: Any) -> None:
    text = page._report("asked").getvalue().decode()
    assert text.startswith("<!doctype html>")
    assert "Does &lt;b&gt;anything&lt;/b&gt; change?" in text


def test_a_picture_that_is_none_is_said_and_the_rest_goes_on(page: Any) -> None:
    put(page, b"<script>alert(1)</script>")
    page.state.story = True
    said = texts(page)
    assert any("is no PNG file" in text for text in said)
    assert "<h2>Claims</h2>" in said
    page.state.story = False
    assert "<h2>asked</h2>" in texts(page)


def test_an_experiment_of_somebody_else_has_no_story(page: Any) -> None:
    store: Store = page.context.reader.store
    store.experiment_id("theirs")
    page.context.reader.experiments()
    page.state.param.update(experiment="theirs", story=True)
    page.update()
    assert '"theirs" was not run by qlab' in page._notice.object
    assert len([text for text in texts(page) if "theirs" in text]) == 0


def test_an_empty_store_says_how_to_begin(page: Any, tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    page.context.reader.uri = write_empty_store(tmp_path / "empty" / "mlflow.db")
    page.context.reader._store = None
    page.update()
    assert "Run: qlab run xxz_flip" in page._notice.object
