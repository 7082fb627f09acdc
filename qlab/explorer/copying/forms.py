"""The forms in which a figure can be taken away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, Literal

from qlab.errors import DataError
from qlab.explorer.copying.experiment_file import experiment_file
from qlab.explorer.copying.origin import Origin, Shown
from qlab.explorer.copying.python import python_of
from qlab.explorer.reader import Reader
from qlab.reading.latex import any_table
from qlab.views.paper import MILLIMETRES, Column, paper_bytes

MOST_ROWS: Final = 120
"""A table in a paper has no more rows."""


@dataclasses.dataclass(frozen=True)
class Taken:
    """What is taken away.

    Args:
        content: bytes of a file to save, or text to show.
        note: something to know about it.
    """

    content: bytes | str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Form:
    """One of the forms.

    Args:
        words: in the menu.
        suffix: of the file.
        make: makes it of what is shown, its name and the reader of the store, if there is one.
        picture: whether it is one, which a table has not.
    """

    words: str
    suffix: str
    make: Callable[[Shown, str, Reader | None], Taken]
    picture: bool = False


def _drawn(suffix: Literal["pdf", "svg", "png"], column: Column, words: str) -> Form:
    def make(shown: Shown, name: str, reader: Reader | None) -> Taken:
        return Taken(paper_bytes(shown.figure, suffix, column))

    return Form(f"{suffix.upper()}, {words} ({MILLIMETRES[column]:g} mm)", suffix, make, picture=True)


def _csv(shown: Shown, name: str, reader: Reader | None) -> Taken:
    return Taken(shown.table.to_csv(index=False).encode())


def _latex(shown: Shown, name: str, reader: Reader | None) -> Taken:
    origin = shown.origin
    table = shown.table if origin is None or origin.short is None else origin.short
    if len(table) > MOST_ROWS:
        raise DataError(
            f"The figure shows {len(table):,} rows of numbers; a table in a paper takes at most {MOST_ROWS}. They are "
            "all in the CSV file."
        )
    title = name.replace("_", " ") if origin is None else f"{origin.experiment}, {name.replace('_', ' ')}"
    return Taken(any_table(table, title))


def _known(shown: Shown, reader: Reader | None) -> tuple[Origin, Reader]:
    if shown.origin is None or reader is None:
        raise DataError("This figure does not say which runs it is of.")
    return shown.origin, reader


def _python(shown: Shown, name: str, reader: Reader | None) -> Taken:
    origin, known = _known(shown, reader)
    if origin.script is None:
        raise DataError("There is no Python that makes this figure without the page.")
    note = "It reads the store and writes the figure as a PDF file; table holds the numbers."
    return Taken(python_of(known.uri, origin, origin.script, name), " ".join(filter(None, (note, origin.note))))


def _experiment(shown: Shown, name: str, reader: Reader | None) -> Taken:
    origin, known = _known(shown, reader)
    found, note = experiment_file(known, origin)
    return Taken(found.text, note)


FORMS: Final = (
    *(_drawn(suffix, "single", "one column") for suffix in ("pdf", "svg", "png")),
    *(_drawn(suffix, "double", "two columns") for suffix in ("pdf", "svg", "png")),
    Form("CSV", "csv", _csv),
    Form("LaTeX table", "tex", _latex),
    Form("Python", "py", _python),
    Form("Experiment file (TOML)", "toml", _experiment),
)
"""In the order of the menu."""
