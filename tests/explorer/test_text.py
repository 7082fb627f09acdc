"""Text from outside: shown letter by letter; addresses lead to the web or nowhere."""

from __future__ import annotations

import ast
import html
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bokeh.document import Document
from hypothesis import given, settings
from hypothesis import strategies as st

import qlab.explorer
from qlab.explorer.text import Link, Text, web_address


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.letters = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.letters += data


def sent(shown: Text | Link) -> Tags:
    """What the browser is sent, taken apart as it does: Panel escapes once more for the way."""
    return Tags(html.unescape(shown.__panel__().get_root(Document()).text))


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])))
@pytest.mark.parametrize("late", [False, True])
def test_any_text_is_text(late: bool, content: str) -> None:
    shown = Text("" if late else content)
    shown.object = content
    found = sent(shown)
    assert [tag for tag, _ in found.tags] == ["pre"]
    assert found.letters == content


def test_text_can_be_hidden_and_shown() -> None:
    shown = Text("here", visible=False)
    assert shown.__panel__().styles == {"display": "none"}
    shown.visible = True
    assert shown.__panel__().styles == {"display": "block"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_link_is_one_to_the_web_whatever_is_asked_for(tail: str) -> None:
    found = sent(Link("<b>open</b>", f"http://127.0.0.1:5000/{tail}"))
    assert [tag for tag, _ in found.tags] in (["a"], [])
    for _, attributes in found.tags:
        assert set(attributes) == {"href", "target", "rel"}
        assert str(attributes["href"]).startswith("http://127.0.0.1:5000/")
        assert found.letters == "<b>open</b>"


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        " JavaScript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "//x",
        "",
        "http:",
        "x",
    ],
)
def test_what_is_no_address_of_the_web_is_no_link(address: str) -> None:
    assert web_address(address) == ""
    assert sent(Link("open", address)).tags == []


def test_an_ordinary_address_stays_as_it_is() -> None:
    address = "https://host:5000/#/experiments/1/runs/abc?x=%20&y=1"
    assert web_address(address) == address


FOLDER = Path(qlab.explorer.__file__).parent

HARMLESS = {"Bokeh", "HoloViews", "PNG"}
"""Panel's panes that take no text."""


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.py")), ids=lambda file: file.name)
def test_no_page_shows_text_but_through_the_door(file: Path) -> None:
    if file.name == "text.py":
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("pn.pane", "panel.pane"):
            assert node.attr in HARMLESS, f"line {node.lineno}: use qlab.explorer.text"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pmui":
            assert node.attr not in ("Typography", "Alert", "Markdown", "Breadcrumbs", "Link", "Chip"), node.lineno
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pn.widgets":
            assert node.attr == "Tabulator", node.lineno
