"""The page of a report: what a store says is text on it, wherever it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from qlab.claims import Claim, ClaimTable, judge
from qlab.claims.effects import Effect
from qlab.claims.history import written
from qlab.claims.table import claim_table
from qlab.claims.verdict import Observed
from qlab.report.page import write_report
from qlab.report.sections import Section
from qlab.tracking.store import Store

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% include 'page.html.jinja' %} {# no comment #}",
    "</style></details>&amp;<!--",
]


class Seen(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [f"{name}={value}" for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def section(text: str) -> Section:
    def fail() -> object:
        raise ValueError(text)

    return Section(
        name=text,
        about=text,
        settings={text: text},
        figures={"curve": (text, lambda: hv.Curve([1, 2])), "broken": (text, fail)},
        tables={"table": (text, pd.DataFrame({text: [text, 0.5, None, True], "ratio": [0.1, 0.2, 0.3, 0.4]}))},
        agreement=pd.DataFrame({"model": [text], "metric": [text], "within_two": [True], "agrees": [True]}),
        missing={text: text},
    )


def claims(experiment: str, text: str, p: float) -> pd.DataFrame:
    table = ClaimTable(text=text, metric="validation_accuracy", statement="above", name="plateau")
    claim = Claim(table, {"model.type": text}, 0.5)
    effect = Effect(np.array([0.9, 0.91, 0.93]) - p, 0.5)
    (verdict,) = judge([Observed(claim, effect, 3, 3)])
    return claim_table([{**written(claim, None, 0, "now"), "verdict": verdict.as_json()}], experiment)


def test_the_page_opens_with_the_verdicts_of_all_experiments_side_by_side(
    tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    sections = [
        dataclasses.replace(section(name), claims=claims(name, "It <b>keeps</b> it", shift))
        for name, shift in (("paper", 0.0), ("controls", 0.8))
    ]
    written_ = write_report(Store(write_empty_store(tmp_path / "mlflow.db")), sections, tmp_path / "out")
    page = written_.page.read_text(encoding="utf-8")
    first = page[page.index("<h2>Claims</h2>") : page.index("<h2>Agreement")]
    assert first.count("<tr>") == 2
    assert '<th><a href="#paper">paper</a></th><th><a href="#controls">controls</a></th>' in first
    assert "<strong>supported</strong>: +0.413 [+0.388, +0.439], n = 3 of 3" in first
    assert "<strong>contradicted</strong>: -0.387" in first
    assert "It &lt;b&gt;keeps&lt;/b&gt; it" in first
    assert page.index("<h2>Claims</h2>") < page.index("<figure")
    assert {file.name for file in written_.files} >= {"paper.claims.csv", "controls.claims.csv"}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_store_says_is_text_wherever_it_stands(
    tmp_path: Path, write_empty_store: Callable[[Path], str], text: str
) -> None:
    store = Store(write_empty_store(tmp_path / "mlflow.db"))
    pages = []
    for name in (text, "plain"):
        written = write_report(store, [section(name)], tmp_path / f"out{len(pages)}")
        assert set(written.missing) == {f"{name}: {name}", f"{name}: figure broken"}
        pages.append(Seen(written.page.read_text(encoding="utf-8")))
    hostile, plain = pages
    assert hostile.tags == plain.tags
    # Headings, notes, captions, table heads and cells, settings, what is missing: as often as any other name, except
    # for the two names of files, which are plain.
    assert hostile.text.count(text) == plain.text.count("plain") - 2 >= 12
    for attribute in (f"id={text}", f"href=#{text}", f"alt={text}"):
        assert attribute in hostile.attributes
