"""A figure as files; one that cannot be drawn keeps nothing else from being written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from qlab.attempts import Attempts

T = TypeVar("T")


def write_figure(draw: Callable[[], Any], folder: Path, name: str, title: str, figures: Attempts | None) -> list[Path]:
    """A figure as PNG and HTML; nothing if it cannot be drawn."""

    def save() -> list[Path]:
        from qlab.views.saving import save_html, save_png

        figure = draw()
        return [save_png(figure, folder / f"{name}.png"), save_html(figure, folder / f"{name}.html", title)]

    return tried(name, save, figures) or []


def tried(name: str, make: Callable[[], T], figures: Attempts | None) -> T | None:
    """What is made; None if it cannot be, which ``figures`` is told of. Without that it is an error."""
    return make() if figures is None else figures.made(name, make)
