"""What a page of the explorer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import panel as pn

from qlab.errors import DataError
from qlab.explorer import design
from qlab.explorer.copying.menu import CopyMenu
from qlab.explorer.figure import Figure
from qlab.explorer.loaded import Loader
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.explorer.text import Text
from qlab.explorer.work import Meanwhile, Work

T = TypeVar("T")

_READING = "reading"


class Context:
    """What the pages of one visitor share.

    Args:
        state: what is chosen.
        reader: reads the store.
        loader: makes landscapes.
        work: does heavy work in the background.
    """

    def __init__(self, state: State, reader: Reader, loader: Loader, work: Work) -> None:
        self.state, self.reader, self.loader, self.work = state, reader, loader, work


class Page(ABC):
    """One page: controls, and figures that follow the state.

    A subclass makes its figures in :meth:`build`, which is called when the page is first opened, and puts what they are
    chosen by into ``controls``, which stand in the side bar. :meth:`update` is called whenever something that the page
    depends on has changed while it is open, :meth:`light` when only the selection has.
    """

    title: ClassVar[str]
    depends: ClassVar[tuple[str, ...]] = ("experiment", "where")
    """Fields of the state that change what the page shows."""
    lit_by: ClassVar[tuple[str, ...]] = ()
    """Fields of the state that change only what is highlighted in what the page shows, see :meth:`light`."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.state = context.state
        self.stale, self.unlit = True, False
        self.controls: list[Any] = []
        # Plain text: what it says may come from a store.
        self._notice = Text(visible=False, styles=design.NOTICE)
        self._seen = False
        self._said: dict[str, str] = {}
        self._view: pn.viewable.Viewable | None = None

    @property
    def view(self) -> pn.viewable.Viewable:
        """The page, built at the first time."""
        if self._view is None:
            self._view = pn.Column(self._notice, *self.build(), sizing_mode="stretch_width")
            for value in vars(self).values():
                if isinstance(value, Figure | CopyMenu):
                    (value.copies if isinstance(value, Figure) else value).attach(self.context)
        return self._view

    @abstractmethod
    def build(self) -> list[Any]:
        """The page's figures and tables, from top to bottom; sets ``controls``."""

    @abstractmethod
    def update(self) -> None:
        """Reads and draws anew."""

    def light(self) -> None:
        """Highlights what is selected; nothing is drawn anew."""
        return

    @property
    def selected(self) -> list[str]:
        """Ids of the runs and checkpoints that are selected, on whichever page."""
        return list(dict.fromkeys([*self.state.runs, *self.state.points]))

    def figures(self) -> list[Figure]:
        """The figures of the page, for export."""
        return [value for value in vars(self).values() if isinstance(value, Figure) and value.shown]

    def compute(self, compute: Callable[[], T], show: Callable[[T], None], part: str = "") -> None:
        """Does something in the background and shows the result, see :meth:`qlab.explorer.work.Work.submit`.

        Args:
            compute: runs in the background.
            show: gets the result.
            part: of the page; a newer request of the same part supersedes an older one.
        """

        self.context.work.submit(
            f"{self.title} {part}".strip(), compute, self._showing(show, part), self._failing(part)
        )

    def follow(self, compute: Callable[[Meanwhile[T]], T], show: Callable[[T], None], part: str = "") -> None:
        """As :meth:`compute`, for what is dragged: each result that is newer than the last is shown."""
        self.context.work.follow(
            f"{self.title} {part}".strip(), compute, self._showing(show, part), self._failing(part)
        )

    def _showing(self, show: Callable[[T], None], part: str) -> Callable[[T], None]:
        def shown(result: T) -> None:
            self._seen = True
            self._said.pop(_READING, None)
            self.say("", part)
            show(result)

        return shown

    def _failing(self, part: str) -> Callable[[str], None]:
        def failed(message: str) -> None:
            self._said.pop(_READING, None)
            self.say(message, part)

        return failed

    def nothing(self, what: str, hint: str) -> DataError:
        """An error that says that the experiment has none of something, and what would make some."""
        state = self.state
        return DataError(
            f'No {what} in "{state.experiment}"' + (" match the filter." if state.where else f" yet. {hint}")
        )

    def clear(self) -> None:
        """Says nothing any more, but that the page is being read as long as it has never shown anything."""
        self._said.clear()
        self.say("" if self._seen else "Reading the runs …", _READING)

    def say(self, message: str, part: str = "") -> None:
        """Says what a part of the page lacks, until the part has it; nothing if ``message`` is empty."""
        self._said[part] = message
        self._notice.object = "\n".join(dict.fromkeys(filter(None, self._said.values())))
        self._notice.visible = bool(self._notice.object)

    def says(self, part: str) -> bool:
        """Whether a part of the page is said to lack something."""
        return bool(self._said.get(part))
