"""Writing a report: one HTML page that needs no network, and its figures and tables as PNG and CSV files."""

from __future__ import annotations

import base64
import dataclasses
import functools
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qlab.attempts import Attempts
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

_STYLE = """
:root { color-scheme: light dark; --line: #bbb; --soft: #666; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #aaa; } img { background: #fff; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption, .soft { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; }
th, td { text-align: left; padding: 0.2rem 0.7rem 0.2rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
.missing { border-left: 4px solid #c60; padding: 0.3rem 0.8rem; }
details { margin: 0.7rem 0; } summary { cursor: pointer; }
"""


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
    body = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            progress(section.name)
            attempts = Attempts()
            for what, why in section.missing.items():
                attempts.fail(what, why)
            body.append(_section(section, folder, files, attempts))
            missing |= {f"{section.name}: {what}": why for what, why in attempts.missing.items()}
        page = folder / "index.html"
        page.write_text(_page(store, sections, "\n".join(body)), encoding="utf-8")
    except OSError as error:
        raise DataError(f"The report cannot be written to {folder}: {error.strerror}.") from error
    compared = [section.agreement for section in sections if section.agreement is not None]
    points = sum(map(len, compared))
    return Report(page, tuple(files), points, int(sum(table["agrees"].sum() for table in compared)), missing)


def _page(store: Store, sections: Sequence[Section], body: str) -> str:
    links = "".join(f'<li><a href="#{_e(s.name)}">{_e(s.name)}</a>: {_e(s.about)}</li>' for s in sections)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{policy()}<title>qlab report</title>'
        f'<style>{_STYLE}</style><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<h1>Report</h1><p class=soft>qlab {_e(__version__)}, from {_e(store.location)}, "
        f"{pd.Timestamp.now(tz='UTC'):%Y-%m-%d %H:%M} UTC.</p><ul>{links}</ul>{_overview(sections)}{body}</html>"
    )


def _overview(sections: Sequence[Section]) -> str:
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
    if not rows:
        return ""
    return f"<h2>Agreement with published points</h2>{_table(pd.DataFrame(rows))}"


def _section(section: Section, folder: Path, files: list[Path], attempts: Attempts) -> str:
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in section.name)
    parts = [f'<h2 id="{_e(section.name)}">{_e(section.name)}</h2><p>{_e(section.about)}</p>']
    parts += [_missing(what, why) for what, why in section.missing.items()]

    def add(what: str, save: Callable[[], Path], caption: str) -> None:
        """A figure, or in its place what is missing and why."""
        file = attempts.made(what, save)
        if file is None:
            parts.append(_missing(what, attempts.missing[what]))
        else:
            files.append(file)
            parts.append(_figure(file, caption))

    for name, (caption, draw) in section.figures.items():
        add(f"figure {name}", _saver(draw, folder / f"{stem}.{name}.png", 110), caption)
    if section.shown is not None:
        _add_data(section.shown, folder / stem, add, parts, attempts)
    tables = dict(section.tables)
    if section.agreement is not None:
        tables["agreement"] = ("Agreement with published points, point by point.", section.agreement)
    for name, (caption, table) in tables.items():
        file = folder / f"{stem}.{name}.csv"
        table.to_csv(file, index=False)
        files.append(file)
        parts.append(f"<details><summary>{_e(caption)} ({_e(file.name)})</summary>{_table(table)}</details>")
    settings = pd.DataFrame(list(section.settings.items()), columns=["setting", "values"])
    parts.append(f"<details open><summary>Settings</summary>{_table(settings)}</details>")
    return "\n".join(parts)


def _add_data(
    shown: Shown,
    stem: Path,
    add: Callable[[str, Callable[[], Path], str], None],
    parts: list[str],
    attempts: Attempts,
) -> None:
    """The maps, samples and circuits of an experiment: what of them can be drawn."""
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
        add("data maps", _saver(lambda: maps_in_a_row(maps), _with(stem, "data"), 90), caption)
    if pictures:
        caption = "Samples as they are, and as the models were given them."
        add("samples", _saver(lambda: row_of(pictures, columns=4), _with(stem, "samples"), 60), caption)
    for number, config in enumerate(shown.circuits, start=1):
        caption = f"{config['type']}: coloured gates are inside the light cone of the readout."
        parts.append(f"<details><summary>Circuit {number}</summary>")
        place = _with(stem, f"circuit{number}")
        add(f"circuit {number} ({config['type']})", functools.partial(write_circuit, shown, config, place), caption)
        parts.append("</details>")


def _with(stem: Path, name: str) -> Path:
    return stem.with_name(f"{stem.name}.{name}.png")


def _saver(draw: Callable[[], Any], file: Path, dpi: int) -> Callable[[], Path]:
    return lambda: save_png(draw(), file, dpi=dpi)


def _missing(what: str, why: str) -> str:
    return f"<p class=missing><strong>Not drawn: {_e(what)}.</strong> {_e(why)}</p>"


def _figure(file: Path, caption: str) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    return (
        f'<figure><img alt="{_e(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_e(caption)}</figcaption></figure>"
    )


def _table(table: pd.DataFrame) -> str:
    if "ratio" in table:
        table = table.assign(ratio=[ratio_text(ratio, table["ratio"]) for ratio in table["ratio"]])
    head = "".join(f"<th>{_e(column)}</th>" for column in table.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_e(_cell(value))}</td>' for value in row)}</tr>" for row in table.itertuples(index=False)
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.4g}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value)


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
