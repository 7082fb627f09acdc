"""Tables as files: CSV for programs, Markdown for notes, LaTeX for papers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from qlab.errors import ConfigError
from qlab.views.kept import joined
from qlab.views.labels import numbers
from qlab.views.numerals import Numeral, rounded
from qlab.views.words import named

FORMATS: Final = ("tex", "csv", "md")
"""Suffixes of files that can be written."""

_DEVIATION = "mean and sample standard deviation (n - 1) over seeds"

_TEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"},
    **{"|": r"\textbar{}", '"': r"\textquotedbl{}", "…": r"\ldots{}", "±": r"\ensuremath{\pm}", "\n": " "},
}


def suffix_of(path: Path, formats: Sequence[str], option: str) -> str:
    """The kind of file that a path asks for.

    Raises:
        ConfigError: there is no such kind, or no such folder.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in formats:
        raise ConfigError(f'{option}: got "{path}", accepts a file that ends in .{", .".join(formats)}.')
    if not path.parent.is_dir():
        raise ConfigError(f"{option}: got {path}, and there is no folder {path.parent}.")
    return suffix


def write_table(table: pd.DataFrame, path: Path, title: str) -> Path:
    """Writes a table of means and deviations into a file of the kind that its suffix says.

    Args:
        table: see :func:`qlab.reading.summaries.summary` or :mod:`qlab.views`: labels, ``<metric>_mean`` and
            ``<metric>_std``, ``kept``, ``runs`` or ``trials``, ``left_out``.
        path: the file.
        title: what the table is of.
    """
    suffix = suffix_of(path, FORMATS, "table")
    text = table.to_csv(index=False) if suffix == "csv" else {"md": markdown, "tex": latex}[suffix](table, title)
    path.write_text(text, encoding="utf-8")
    return path


def caption(table: pd.DataFrame, title: str) -> str:
    """What a table shows: which deviation, how many runs are kept of how many, and why the others are not."""
    of = _count(table)
    reasons = joined(str(reason) for reason in table["left_out"])
    lost = f"; left out: {reasons}" if reasons else ""
    groups = table  # the metrics of a probe are rows of the same runs
    if "metric" in table:
        groups = table.drop_duplicates(
            [name for name in ("experiment", "model", "corruption", "ratio", "probe") if name in table]
        )
    return f"{title}: {_DEVIATION}; {int(groups['kept'].sum())} of {int(groups[of].sum())} runs kept{lost}."


def markdown(table: pd.DataFrame, title: str) -> str:
    """A table of pipes, numbers as ``0.952 ± 0.013``, and its caption."""
    texts, cells = _cells(table)
    columns = {**texts, **{name: [cell.plain for cell in own] for name, own in cells.items()}, **_kept(table)}
    lines = [list(columns), ["---" if name in texts else "---:" for name in columns]]
    lines += [list(row) for row in zip(*columns.values(), strict=True)]
    rows = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]
    return "\n".join([*rows, "", caption(table, title), ""])


def latex(table: pd.DataFrame, title: str) -> str:
    """A table for the packages booktabs and siunitx, deviations as ``0.952(13)`` in columns that align at the point."""
    texts, cells = _cells(table)
    kept = _kept(table)
    shown = {escaped(name): [escaped(text) for text in own] for name, own in texts.items()}
    shown |= {f"{{{escaped(name)}}}": [_in_column(cell) for cell in own] for name, own in cells.items()}
    shown |= {escaped(name): [escaped(text) for text in own] for name, own in kept.items()}
    formats = ["l"] * len(texts) + [_column(own) for own in cells.values()] + ["l"] * len(kept)
    frame = pd.DataFrame(dict(enumerate(shown.values())))
    frame.columns = pd.Index(list(shown))
    written = frame.style.hide(axis="index").to_latex(
        hrules=True,
        column_format="".join(formats),
        caption=escaped(caption(table, title)) + r" Deviations of the last digits are in parentheses.",
        label=f"tab:{re.sub(r'[^A-Za-z0-9]+', '-', title).strip('-').lower()}",
        position_float="centering",
        position="tb",
    )
    head = ["% Made by qlab. Needs \\usepackage{booktabs} and \\usepackage{siunitx}."]
    head += [f"% {line}" for line in caption(table, title).splitlines()]
    return "\n".join([*head, written])


def escaped(text: str) -> str:
    """Text that TeX prints as it is."""
    return "".join(_TEX.get(letter, letter) for letter in text)


def _count(table: pd.DataFrame) -> str:
    return "runs" if "runs" in table else "trials"


def _cells(table: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, list[Numeral]]]:
    """Labels as text and metrics as numbers, by heading."""
    pairs = {name.removesuffix("_mean"): name for name in table.columns if name.endswith("_mean")}
    means = {heading: (name, f"{heading}_std") for heading, name in pairs.items()}
    if "mean" in table:  # of probes, whose metrics are rows
        means["value"] = ("mean", "std")
    other = {"kept", "left_out", "low", "high", "n", "probe_type", _count(table)}
    used = {column for pair in means.values() for column in pair}
    labels = [name for name in table.columns if name not in other | used and not name.endswith("_n")]
    texts = {named(name): _texts(table[name]) for name in labels}
    cells = {
        named(heading).removesuffix(" (clean data)"): [
            rounded(float(row[mean]), float(row[std])) for row in table[[mean, std]].to_dict("records")
        ]
        for heading, (mean, std) in means.items()
    }
    return texts, cells


def _texts(column: pd.Series[Any]) -> list[str]:
    values = column.tolist()
    known = numbers(value for value in values if isinstance(value, float))
    return ["-" if pd.isna(value) else known[value] if isinstance(value, float) else str(value) for value in values]


def _kept(table: pd.DataFrame) -> dict[str, list[str]]:
    """How many runs stand behind each row, and why others do not."""
    found = {"kept": [f"{row['kept']} of {row[_count(table)]}" for row in table.to_dict("records")]}
    if any(table["left_out"]):
        found["left out"] = [str(reason) for reason in table["left_out"]]
    return found


def _in_column(cell: Numeral) -> str:
    """A number for a column of siunitx; what is none, or has a power of ten, stands in braces."""
    if not cell.mean:
        return "{--}"
    return f"{{\\num{{{cell.short}}}}}" if cell.power else cell.short


def _column(cells: Sequence[Numeral]) -> str:
    """A column that has room for the longest of its numbers."""
    plain = [cell for cell in cells if cell.mean and not cell.power]
    if not plain:
        return "c"
    sign = "-" if any(cell.mean.startswith("-") for cell in plain) else ""
    whole = max(len(cell.mean.lstrip("-").partition(".")[0]) for cell in plain)
    decimals = max(len(cell.mean.partition(".")[2]) for cell in plain)
    last = max(len(cell.short.partition("(")[2].rstrip(")")) for cell in plain)
    return f"S[table-format={sign}{whole}.{decimals}{f'({last})' if last else ''}]"
