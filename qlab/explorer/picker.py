"""A picker for thousands of runs: type model, corruption, ratio, seed or method, and choose among those that match."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import panel as pn
import panel_material_ui as pmui

from qlab.explorer import design
from qlab.explorer.text import Text

MOST: Final = 8
"""So many matches are shown at once."""

_WORDS: Final = re.compile(r"[^\s,;()]+")
_NUMBER: Final = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
_SETTING: Final = re.compile(r"\b(seed|oracle)[\s=]+(\d+)\b")


def matches(texts: Mapping[str, str], query: str) -> list[str]:
    """The keys of the texts that have all words of a query, in any order and in upper or lower case.

    A word is the beginning of one in the text, or, after "=" or in the middle, a part of it; numbers are whole:
    "0.2" is not in "0.25". "seed 3" is one word.

    Args:
        texts: by key.
        query: what was typed.
    """
    asked = _words(query)
    found = []
    for key, text in texts.items():
        known = _words(f"{text} {key}")
        if all(_is_in(word, known) for word in asked):
            found.append(key)
    return found


def _words(text: str) -> list[str]:
    joined = _SETTING.sub(r"\1=\2", text.lower())
    return [word.rstrip(":") for word in _WORDS.findall(joined)]


def _is_in(word: str, known: list[str]) -> bool:
    if _NUMBER.fullmatch(word):
        number = float(word)
        return any(_NUMBER.fullmatch(part) and float(part) == number for own in known for part in own.split("="))
    if _SETTING.fullmatch(word.replace("=", " ")):
        return word in known
    return any(word in own for own in known)


class Picker:
    """A field to type in, and below it what matches.

    Args:
        label: of the field.
        chosen: gets the key of what is chosen.
    """

    def __init__(self, label: str, chosen: Callable[[str], None]) -> None:
        self._chosen = chosen
        self._texts: Mapping[str, str] = {}
        self._found: list[str] = []
        self._field = pmui.TextInput(label=label, placeholder="MLP 0.2 seed 3 Scrub", **design.FIELD)
        self._field.param.watch(lambda _: self._search(), "value_input")
        self._said = Text(visible=False, styles={"--size": design.SMALL}, margin=(0, 10))
        self._list = pn.Column(width=design.CONTROL)
        self.view = pn.Column(self._field, self._said, self._list, width=design.SIDEBAR)

    def offer(self, texts: Mapping[str, str]) -> None:
        """Sets what can be chosen, by key, in the order in which it is shown."""
        if dict(texts) != dict(self._texts):
            self._texts = dict(texts)
            self._search()

    def _search(self) -> None:
        query = str(self._field.value_input or "").strip()
        found = matches(self._texts, query) if query else []
        shown = found[:MOST]
        more = "" if len(found) <= MOST else f", the first {MOST} shown: type more"
        counts = f"{len(found):,} match" if len(found) != 1 else "1 matches"
        self._said.object = f"{counts}{more}" if found else "Nothing matches."
        self._said.visible = bool(query)
        if shown != self._found:
            self._found = shown
            self._list.objects = [self._button(key) for key in shown]

    def _button(self, key: str) -> Any:
        button = pmui.Button(
            label=_plain(self._texts[key]), size="small", variant="text", width=design.CONTROL, margin=(0, 0), sx=_LEFT
        )
        button.on_click(lambda _: self._take(key))
        return button

    def _take(self, key: str) -> None:
        self._field.param.update(value="", value_input="")
        self._search()
        self._chosen(key)


_LEFT: Final = {"justifyContent": "flex-start", "textAlign": "left", "textTransform": "none", "lineHeight": 1.3}


def _plain(text: str) -> str:
    """A text without what buttons take for pictures: ":name:"."""
    return text.replace(":", "\u2060:\u2060") if re.search(r":\w+:", text) else text
