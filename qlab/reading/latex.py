"""Any table for LaTeX with the package booktabs; those of means and deviations as qlab's own."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from qlab.reading.table_files import escaped, latex
from qlab.tracking.missing import is_missing
from qlab.tracking.params import shown

_DIGITS = 4
"""Significant digits of numbers that have no deviation to round to."""


def any_table(table: pd.DataFrame, title: str) -> str:
    """A table as LaTeX: special characters are escaped, columns of numbers stand to the right.

    Args:
        table: of means and deviations, see :func:`qlab.reading.table_files.latex`; or any other.
        title: what it is of.
    """
    if {"kept", "left_out"} <= set(table.columns) and ({"runs", "trials"} & set(table.columns)) and _has_means(table):
        return latex(table, title)
    columns = {str(name): _cells(table[name].tolist()) for name in table.columns}
    right = [_is_number(table[name].tolist()) for name in table.columns]
    head = " & ".join(escaped(name.replace("_", " ")) for name in columns)
    rows = [f"{' & '.join(cells)} \\\\" for cells in zip(*columns.values(), strict=True)]
    label = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()
    return "\n".join(
        [
            "% Made by qlab. Needs \\usepackage{booktabs}.",
            "\\begin{table}[tb]",
            "\\centering",
            f"\\caption{{{escaped(title)}}}",
            f"\\label{{tab:{label}}}",
            f"\\begin{{tabular}}{{{''.join('r' if own else 'l' for own in right)}}}",
            "\\toprule",
            f"{head} \\\\",
            "\\midrule",
            *rows,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def _has_means(table: pd.DataFrame) -> bool:
    return "mean" in table or any(str(name).endswith("_mean") for name in table.columns)


def _is_number(values: Sequence[Any]) -> bool:
    known = [value for value in values if not is_missing(value)]
    return bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)


def _cells(values: Sequence[Any]) -> list[str]:
    return [_cell(value) for value in values]


def _cell(value: Any) -> str:
    if is_missing(value):
        return "--"
    if isinstance(value, float) and not isinstance(value, bool):
        return _number(value)
    return escaped(shown(value))


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "$\\infty$" if value > 0 else "$-\\infty$"
    text = f"{value:.{_DIGITS}g}"
    mantissa, power, exponent = text.partition("e")
    if power:
        return f"${mantissa}\\times 10^{{{int(exponent)}}}$"
    return f"${text}$" if text.startswith("-") else text
