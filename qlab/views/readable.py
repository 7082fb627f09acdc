"""Tables for people: numbers as they write them, with deviation and count, and columns in words."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from qlab.tracking.missing import is_missing
from qlab.tracking.params import shown
from qlab.views.labels import numbers
from qlab.views.numerals import rounded
from qlab.views.words import heading, is_count

NONE: Final = "–"
"""What stands where there is no value."""

_RAISED: Final = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_DIGITS: Final = 4
"""Significant digits of a number by itself."""

_SMALL, _WHOLE, _LARGE = 1e-3, 1e3, 1e6
"""Below and from the outer two numbers have a power of ten; from the middle one on they have no decimals."""

_PAIRS: Final = {"mean": ("std", "n"), "difference": ("difference_std", "pairs")}
"""Columns with what stands beside them, in tables of which each row has its own metric, and of cells of a map."""

_COUNTED: Final = ("runs", "trials")


class Written(str):
    """A number as people write it; tables sort and filter it by its value.

    Args:
        text: what is shown.
        value: of it; NaN if there is none.
    """

    value: float

    def __new__(cls, text: str, value: float = math.nan) -> Written:
        """The text with its value."""
        found = super().__new__(cls, text)
        found.value = value
        return found


def number(value: Any, *, count: bool = False) -> Written:
    """A number by itself, with four significant digits.

    Args:
        value: the number; a dash stands for one that is missing.
        count: whether it counts something: no decimals then, if it has none.
    """
    if isinstance(value, bool) or is_missing(value):
        return Written(NONE if is_missing(value) else str(value))
    known = float(value)
    if not math.isfinite(known):
        return Written("infinite" if math.isinf(known) else "not a number", known)
    if known == int(known) and abs(known) < _LARGE and (count or isinstance(value, int)):
        return Written(_signed(f"{known:.0f}"), known)
    if known and not _SMALL <= abs(known) < _LARGE:
        mantissa, _, power = f"{known:.{_DIGITS - 1}e}".partition("e")
        return Written(f"{_signed(mantissa.rstrip('0').rstrip('.'))}{_power(int(power))}", known)
    return Written(_signed(f"{known:.0f}" if abs(known) >= _WHOLE else f"{known:.{_DIGITS}g}"), known)


def spread_text(mean: float, deviation: float, n: Any = None, *, count: bool = False) -> Written:
    """A mean with its sample standard deviation and of how many it is: "0.956 ± 0.031, n = 5".

    Args:
        mean: a dash stands for one that is missing.
        deviation: digits are rounded to it; NaN if there is none.
        n: of how many, if that is said.
        count: whether it is one of counts, such as steps.
    """
    if not math.isfinite(mean):
        return Written(NONE)
    if count and mean == int(mean) and not deviation > 0.0:
        text = f"{mean:.0f}" if math.isnan(deviation) else f"{mean:.0f} ± 0"
    else:
        found = rounded(mean, deviation, fine=True)
        text = f"{found.mean} ± {found.deviation}" if found.deviation else found.mean
        if found.power:
            text = f"({text}){_power(found.power)}" if found.deviation else f"{text}{_power(found.power)}"
    return Written(_signed(text) + ("" if is_missing(n) else f", n = {int(n)}"), float(mean))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table for people, row by row the same.

    Means with their deviations and counts are one column, and so are how many runs are kept of how many; columns are
    called by words, and those without any value are left out. Numbers are :class:`Written`.

    Args:
        table: as :mod:`qlab.views` and :mod:`qlab.reading.summaries` make them: ``<metric>_mean``, ``<metric>_std``
            and perhaps ``<metric>_n``, or ``mean`` and ``std`` beside ``metric``; labels; ``kept``, ``runs`` or
            ``trials``, ``left_out``.
    """
    parts: dict[str, pd.Series[Any]] = {}
    taken, rows = _beside(table), table.to_dict("records")
    for name in map(str, table.columns):
        if name in taken:
            continue
        cells, called = _cells(table, rows, name)
        if called == "":
            continue
        title = called if called not in parts else f"{called} ({name})"
        parts[title] = pd.Series(cells, index=table.index, dtype=object)
    return pd.DataFrame(parts, index=table.index)


def _beside(table: pd.DataFrame) -> set[str]:
    """Columns that are said in the cells of others."""
    names = set(map(str, table.columns))
    found = {f"{name.removesuffix('_mean')}{end}" for name in names if name.endswith("_mean") for end in ("_std", "_n")}
    for mean, beside in _PAIRS.items():
        if mean in names and beside[0] in names:
            found |= set(beside)
    return (found | set(_COUNTED if "kept" in names else ())) & names


def _cells(table: pd.DataFrame, rows: Sequence[Mapping[Hashable, Any]], name: str) -> tuple[list[Any], str]:
    """The cells of a column, and what it is called; nothing if it has nothing to say."""
    if name.endswith("_mean") and f"{name.removesuffix('_mean')}_std" in table:
        metric = name.removesuffix("_mean")
        n = f"{metric}_n" if f"{metric}_n" in table else "kept"
        cells = [_mean(row, name, f"{metric}_std", n, metric) for row in rows]
        return cells, heading(metric) if any(cell != NONE for cell in cells) else ""
    if name in _PAIRS and _PAIRS[name][0] in table:
        deviation, n = _PAIRS[name]
        n = n if n in table else "kept"
        return [_mean(row, name, deviation, n, str(row.get("metric", ""))) for row in rows], heading(name)
    if name == "kept":
        of = next((own for own in _COUNTED if own in table), "kept")
        return [Written(f"{row['kept']} of {row[of]}", float(row["kept"])) for row in rows], "runs kept"
    cells = _texts(table[name], name)
    empty = all(cell in (NONE, "") for cell in cells) and (name in ("left_out", "chosen", "note") or len(cells) > 0)
    return cells, "" if empty else heading(name)


def _mean(row: Mapping[Hashable, Any], mean: str, deviation: str, n: str, metric: str) -> Written:
    return spread_text(float(row[mean]), float(row[deviation]), row.get(n), count=is_count(metric))


def _texts(column: pd.Series[Any], name: str) -> list[Any]:
    """Other values: names as they are, numbers so that they are told apart."""
    values = column.tolist()
    known = numbers(value for value in values if isinstance(value, float) and math.isfinite(value))
    found: list[Any] = []
    for value in values:
        if is_missing(value):
            found.append(Written(NONE))
        elif isinstance(value, bool | str):
            found.append(str(value))
        elif isinstance(value, int):
            found.append(Written(str(value), float(value)))
        elif isinstance(value, float):
            found.append(Written(known[value], value) if value in known else number(value, count=is_count(name)))
        else:
            found.append(shown(value))
    return found


def _signed(text: str) -> str:
    """Digits with a minus that is one."""
    return text.replace("-", "−")


def _power(power: int) -> str:
    return f" × 10{_signed(str(power)).translate(_RAISED)}"
