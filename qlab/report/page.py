"""Writing a report: one HTML page that needs no network, and its figures and tables as PNG and CSV files."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from qlab import __version__
from qlab.errors import DataError
from qlab.report.data import corrupted_maps, sample_pictures, write_circuit
from qlab.report.reference import CLOSE
from qlab.report.sections import Section
from qlab.tracking.store import Store
from qlab.views.saving import save_png

_STYLE = """
:root { color-scheme: light dark; --line: #bbb; --soft: #666; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #aaa; } img { background: #fff; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption, .soft { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; }
th, td { text-align: left; padding: 0.2rem 0.7rem 0.2rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
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
    """

    page: Path
    files: tuple[Path, ...]
    points: int
    agreeing: int


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
    body = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            progress(section.name)
            body.append(_section(section, folder, files))
        page = folder / "index.html"
        page.write_text(_page(store, sections, "\n".join(body)), encoding="utf-8")
    except OSError as error:
        raise DataError(f"The report cannot be written to {folder}: {error.strerror}.") from error
    compared = [section.agreement for section in sections if section.agreement is not None]
    points = sum(map(len, compared))
    return Report(page, tuple(files), points, int(sum(table["agrees"].sum() for table in compared)))


def _page(store: Store, sections: Sequence[Section], body: str) -> str:
    links = "".join(f'<li><a href="#{_e(s.name)}">{_e(s.name)}</a>: {_e(s.about)}</li>' for s in sections)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>qlab report</title><style>{_STYLE}</style>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
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


def _section(section: Section, folder: Path, files: list[Path]) -> str:
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in section.name)
    parts = [f'<h2 id="{_e(section.name)}">{_e(section.name)}</h2><p>{_e(section.about)}</p>']
    for name, (caption, draw) in section.figures.items():
        files.append(save_png(draw(), folder / f"{stem}.{name}.png", dpi=110))
        parts.append(_figure(files[-1], caption))
    if section.shown is not None:
        files.append(save_png(corrupted_maps(section.shown), folder / f"{stem}.data.png", dpi=90))
        parts.append(_figure(files[-1], "The training data in two principal components; crosses are corrupted rows."))
        pictures = sample_pictures(section.shown)
        if pictures is not None:
            files.append(save_png(pictures, folder / f"{stem}.samples.png", dpi=60))
            parts.append(_figure(files[-1], "Samples as they are, and as the models were given them."))
        for number, config in enumerate(section.shown.circuits, start=1):
            files.append(write_circuit(section.shown, config, folder / f"{stem}.circuit{number}.png"))
            caption = f"{config['type']}: coloured gates are inside the light cone of the readout."
            parts.append(f"<details><summary>Circuit {number}</summary>{_figure(files[-1], caption)}</details>")
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


def _figure(file: Path, caption: str) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    return (
        f'<figure><img alt="{_e(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_e(caption)}</figcaption></figure>"
    )


def _table(table: pd.DataFrame) -> str:
    table = table.dropna(axis=1, how="all")
    head = "".join(f"<th>{_e(column)}</th>" for column in table.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_e(_cell(value))}</td>' for value in row)}</tr>" for row in table.itertuples(index=False)
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value)


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
