"""Writing a report: one HTML page that needs no network, and its figures and tables as PNG and CSV files."""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from qlab.attempts import Attempts
from qlab.claims.overview import blocks, cell
from qlab.claims.table import VERDICT_NOTE, short
from qlab.errors import DataError
from qlab.report.data import (
    Shown,
    corrupted_map,
    corruption_name,
    maps_in_a_row,
    sample_pictures,
    write_circuit,
)
from qlab.report.reference import CLOSE
from qlab.report.sections import Section
from qlab.tracking.store import Store
from qlab.version import __version__
from qlab.views.labels import ratio_text
from qlab.views.panels import row as row_of
from qlab.views.saving import policy, save_png

_Part = dict[str, Any]
"""What the template shows in one place: its kind and what it says, as text."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("qlab", "report"),
    autoescape=True,  # names and notes come from a store
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


@dataclasses.dataclass(frozen=True)
class Report:
    """Where a report is.

    Args:
        page: the HTML page.
        files: PNG and CSV files beside it.
        points: how many published points were compared.
        agreeing: how many of them agree.
        missing: what could not be drawn, by experiment and name, and why; the page says so in its place.
    """

    page: Path
    files: tuple[Path, ...]
    points: int
    agreeing: int
    missing: dict[str, str]


def write_report(
    store: Store, sections: Sequence[Section], folder: Path, progress: Callable[[str], None] = lambda line: None
) -> Report:
    """Writes a report of some experiments.

    Args:
        store: named on the page.
        sections: one for each experiment.
        folder: for the page ``index.html`` and the files; created if there is none.
        progress: told what is being drawn.

    Raises:
        DataError: the folder cannot be written.
    """
    files: list[Path] = []
    missing: dict[str, str] = {}
    shown = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            progress(section.name)
            attempts = Attempts()
            for what, why in section.missing.items():
                attempts.fail(what, why)
            parts = _parts(section, folder, files, attempts)
            shown.append({"name": section.name, "about": section.about, "parts": parts})
            missing |= {f"{section.name}: {what}": why for what, why in attempts.missing.items()}
        page = folder / "index.html"
        text = _TEMPLATES.get_template("page.html.jinja").render(
            policy=policy(),
            version=__version__,
            location=store.location,
            time=f"{pd.Timestamp.now(tz='UTC'):%Y-%m-%d %H:%M}",
            claims=_claims(sections),
            claims_note=VERDICT_NOTE,
            overview=_overview(sections),
            sections=shown,
        )
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"The report cannot be written to {folder}: {error.strerror}.") from error
    compared = [section.agreement for section in sections if section.agreement is not None]
    points = sum(map(len, compared))
    return Report(page, tuple(files), points, int(sum(table["agrees"].sum() for table in compared)), missing)


def _claims(sections: Sequence[Section]) -> list[_Part]:
    """What was claimed and the verdicts: a table for experiments that claim the same, with a column for each."""
    own = {section.name: section for section in sections}
    tables = [section.claims for section in sections if section.claims is not None]
    return [
        {
            "experiments": experiments,
            "rows": [
                {
                    "claim": line["claim"],
                    "cells": [_verdict(own[name], line["cells"].get(name)) for name in experiments],
                }
                for line in lines
            ],
        }
        for experiments, lines in blocks(tables)
    ]


def _verdict(section: Section, row: Mapping[Hashable, Any] | None) -> _Part:
    """A verdict in a table, and where the figure is that shows it."""
    if row is None:
        return {"word": "", "text": "not claimed", "states": "", "link": "", "figure": ""}
    figure = str(row["figure"]) if row["figure"] in section.figures else ""
    link = f"{section.name}.{figure}" if figure else section.name
    text = cell(row).removeprefix(str(row["verdict"]))
    return {"word": row["verdict"], "text": text, "states": row["states"], "link": link, "figure": figure or "section"}


def _overview(sections: Sequence[Section]) -> _Part:
    """How many published points agree, by experiment, model and metric."""
    rows = [
        {"experiment": section.name, "model": model, "metric": metric, "points": len(group)}
        | {
            "within two standard errors": int(group["within_two"].sum()),
            f"that, or within {CLOSE}": int(group["agrees"].sum()),
        }
        for section in sections
        if section.agreement is not None
        for (model, metric), group in section.agreement.groupby(["model", "metric"], sort=False)
    ]
    return _grid(pd.DataFrame(rows))


def _parts(section: Section, folder: Path, files: list[Path], attempts: Attempts) -> list[_Part]:
    """What stands below each other in a section, as the template takes it; files are written on the way."""
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in section.name)
    parts = [_missing(what, why) for what, why in section.missing.items()]

    def figure(what: str, save: Callable[[], Path], caption: str) -> _Part:
        """A figure, or in its place what is missing and why."""
        file = attempts.made(what, save)
        if file is None:
            return _missing(what, attempts.missing[what])
        files.append(file)
        place = f"{section.name}.{what.removeprefix('figure ')}"
        return {
            "kind": "figure",
            "place": place,
            "caption": caption,
            "png": base64.b64encode(file.read_bytes()).decode(),
        }

    for name, (caption, draw) in section.figures.items():
        parts.append(figure(f"figure {name}", _saver(draw, folder / f"{stem}.{name}.png", 110), caption))
    if section.shown is not None:
        parts += _data_parts(section.shown, folder / stem, figure, attempts)
    if section.claims is not None:
        file = folder / f"{stem}.claims.csv"
        section.claims.to_csv(file, index=False)
        files.append(file)
        said = [f"{row['claim']} ({row['states']})" for row in section.claims.to_dict("records")]
        shown = short(section.claims).assign(claim=said)
        parts.append(_table(f"Claims and verdicts. {VERDICT_NOTE} ({file.name})", shown, opened=True) | {"words": True})
    tables = dict(section.tables)
    if section.agreement is not None:
        tables["agreement"] = ("Agreement with published points, point by point.", section.agreement)
    for name, (caption, table) in tables.items():
        file = folder / f"{stem}.{name}.csv"
        table.to_csv(file, index=False)
        files.append(file)
        parts.append(_table(f"{caption} ({file.name})", table))
    settings = pd.DataFrame(list(section.settings.items()), columns=["setting", "values"])
    parts.append(_table("Settings", settings, opened=True))
    return parts


def _data_parts(
    shown: Shown, stem: Path, figure: Callable[[str, Callable[[], Path], str], _Part], attempts: Attempts
) -> list[_Part]:
    """The maps, samples and circuits of an experiment: what of them can be drawn."""
    parts: list[_Part] = []
    maps, pictures = [], []
    for config in shown.corruptions:
        what = f"data map of {corruption_name(shown, config)}"
        found = attempts.made(what, functools.partial(corrupted_map, shown, config))
        if found is None:
            parts.append(_missing(what, attempts.missing[what]))
            continue
        maps.append(found)
        what = f"samples of {corruption_name(shown, config)}"
        pictures += attempts.made(what, functools.partial(sample_pictures, shown, config)) or []
        if what in attempts.missing:
            parts.append(_missing(what, attempts.missing[what]))
    if maps:
        caption = "The training data in two principal components; crosses are corrupted rows."
        parts.append(figure("data maps", _saver(lambda: maps_in_a_row(maps), _with(stem, "data"), 90), caption))
    if pictures:
        caption = "Samples as they are, and as the models were given them."
        save = _saver(lambda: row_of(pictures, columns=4), _with(stem, "samples"), 60)
        parts.append(figure("samples", save, caption))
    for number, config in enumerate(shown.circuits, start=1):
        caption = f"{config['type']}: coloured gates are inside the light cone of the readout."
        save = functools.partial(write_circuit, shown, config, _with(stem, f"circuit{number}"))
        drawing = figure(f"circuit {number} ({config['type']})", save, caption)
        parts.append({"kind": "circuit", "number": number, "drawing": drawing})
    return parts


def _with(stem: Path, name: str) -> Path:
    return stem.with_name(f"{stem.name}.{name}.png")


def _saver(draw: Callable[[], Any], file: Path, dpi: int) -> Callable[[], Path]:
    return lambda: save_png(draw(), file, dpi=dpi)


def _missing(what: str, why: str) -> _Part:
    return {"kind": "missing", "what": what, "why": why}


def _table(caption: str, table: pd.DataFrame, opened: bool = False) -> _Part:
    return {"kind": "table", "caption": caption, "table": _grid(table), "open": opened, "words": False}


def _grid(table: pd.DataFrame) -> _Part:
    if "ratio" in table:
        table = table.assign(ratio=[ratio_text(ratio, table["ratio"]) for ratio in table["ratio"]])
    return {
        "columns": list(table.columns),
        "rows": [[_cell(value) for value in row] for row in table.itertuples(index=False)],
    }


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.4g}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value)
