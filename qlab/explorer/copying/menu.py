"""The menu "Copy as" below a figure or a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import panel as pn
import panel_material_ui as pmui

from qlab.explorer.copying import forms
from qlab.explorer.copying.forms import Form, Taken
from qlab.explorer.copying.handed import Handed
from qlab.explorer.copying.origin import Shown
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.explorer.work import Work


class Visit(Protocol):
    """What a page shares with others, see :class:`qlab.explorer.page.Context`."""

    @property
    def state(self) -> State:
        """What is chosen."""

    @property
    def reader(self) -> Reader:
        """Reads the store."""

    @property
    def work(self) -> Work:
        """Does heavy work in the background."""


class CopyMenu:
    """A button with a list of forms; files are saved by the browser, texts stand in a box below.

    What is asked for is made when it is, in the background.

    Args:
        name: of files, without suffix.
        shown: what is on the page now; None if nothing is.
        pictures: whether there is a figure to draw.
    """

    def __init__(self, name: str, shown: Callable[[], Shown | None], *, pictures: bool = True) -> None:
        self.name = name
        self._shown = shown
        self._visit: Visit | None = None
        self._forms = [form for form in forms.FORMS if pictures or not form.picture]
        self._handed: Handed | None = None
        items = [{"label": form.words} for form in self._forms]
        self._menu = pmui.MenuButton(
            label="Copy as", icon="content_copy", items=items, size="small", variant="text", margin=(2, 10), align="end"
        )
        self._menu.on_click(self._chosen)
        self._below = pn.Column(sizing_mode="stretch_width", margin=0)
        self.view = pn.Column(self._menu, self._below, visible=False, sizing_mode="stretch_width", margin=0)

    def attach(self, visit: Visit) -> None:
        """Gives the menu what it asks the store with: without it there are no Python and no experiment file."""
        self._visit = visit

    def take(self, form: Form) -> Taken:
        """What is on the page in one of the forms, made here and now.

        Raises:
            QlabError: it has no such form; says why.
        """
        shown = self._shown()
        assert shown is not None
        return form.make(shown, self.name, None if self._visit is None else self._visit.reader)

    def show(self, visible: bool) -> None:
        """Whether there is something to copy; what was asked for of another picture goes away."""
        self.view.visible = visible
        if not visible:
            self._close()

    def _chosen(self, item: Any) -> None:
        words = item.get("label") if isinstance(item, dict) else str(item)
        form = next((form for form in self._forms if form.words == words), None)
        shown = self._shown()
        if form is None or shown is None:
            return
        visit = self._visit
        if visit is None:
            self._give(form, self.take(form))
            return
        reader = visit.reader
        visit.work.submit(
            f"copy {self.name}",
            lambda: form.make(shown, self.name, reader),
            lambda taken: self._give(form, taken),
            lambda message: self._box().text(form.words, "", self.name, message),
        )

    def _give(self, form: Form, taken: Taken) -> None:
        name = f"{self.name}.{form.suffix}"
        if isinstance(taken.content, bytes):
            self._box().file(taken.content, name)
        else:
            self._box().text(form.words, taken.content, name, taken.note)

    def _box(self) -> Handed:
        """Below the menu, made when it is first needed."""
        if self._handed is None:
            self._handed = Handed(self._close, sizing_mode="stretch_width")
        if self._below.objects != [self._handed]:
            self._below.objects = [self._handed]
        return self._handed

    def _close(self) -> None:
        self._below.objects = []
        self._handed = None
