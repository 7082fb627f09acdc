"""Claims of experiments and the verdicts on them, out of the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from qlab.claims.table import VERDICT_NOTE, claim_table, short
from qlab.reading.table_files import FORMATS, escaped, suffix_of
from qlab.tracking.claim_record import current
from qlab.tracking.store import Store

_TEX = {"×": r"$\times$", "∞": r"$\infty$"}


def claims_of(store: Store, experiments: Mapping[str, str]) -> pd.DataFrame:
    """A row for each claim of some experiments, see :func:`qlab.claims.table.claim_table`.

    Args:
        store: where they are.
        experiments: ids by name.
    """
    found = [claim_table(current(store, number), name) for name, number in experiments.items()]
    filled = [table for table in found if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else claim_table([], "")


def write_claims(table: pd.DataFrame, path: Path, title: str) -> Path:
    """Writes claims and verdicts: all columns as CSV, those for people as Markdown or LaTeX (booktabs).

    Args:
        table: see :func:`claims_of`.
        path: the file; its suffix says of which kind.
        title: what the table is of.
    """
    suffix = suffix_of(path, FORMATS, "claims")
    text = table.to_csv(index=False) if suffix == "csv" else {"md": _markdown, "tex": _latex}[suffix](table, title)
    path.write_text(text, encoding="utf-8")
    return path


def _markdown(table: pd.DataFrame, title: str) -> str:
    shown = short(table)
    lines = [list(shown.columns), ["---"] * len(shown.columns), *shown.astype(str).to_numpy().tolist()]
    rows = [
        "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in line) + " |"
        for line in lines
    ]
    return "\n".join([*rows, "", f"{title}: claims. {VERDICT_NOTE}", ""])


def _latex(table: pd.DataFrame, title: str) -> str:
    shown = short(table)
    frame = shown.map(lambda cell: _tex(str(cell)))
    frame.columns = pd.Index([_tex(str(name)) for name in shown.columns])
    wide = {"claim": "p{0.4\\textwidth}", "note": "p{0.2\\textwidth}"}
    written = frame.style.hide(axis="index").to_latex(
        hrules=True,
        column_format="".join(wide.get(str(name), "l") for name in shown.columns),
        caption=_tex(f"{title}: claims. {VERDICT_NOTE}"),
        label=f"tab:{re.sub(r'[^A-Za-z0-9]+', '-', title).strip('-').lower()}-claims",
        position_float="centering",
        position="tb",
    )
    return f"% Made by qlab. Needs \\usepackage{{booktabs}}.\n{written}"


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, escaped(letter)) for letter in text)
