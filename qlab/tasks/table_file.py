"""Tables in files, CSV, Parquet and NPZ: what is in a cell, and where it is."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qlab.deferred import Deferred
from qlab.errors import DataError
from qlab.fields import show
from qlab.tasks.array_files import read_npz, read_parquet
from qlab.tasks.columns import listed
from qlab.tasks.problems import Problems
from qlab.textfile import decoded

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Deferred("pandas")

_SEPARATORS = {".csv": ",", ".tsv": "\t"}

_LEADING_ZERO = re.compile(r"(?<![\d.])[+-]?0\d")

_FEW = 3
"""So many cells of a column that are no numbers are named one by one."""

_LEAVE_OUT = ", or leave out these rows."


@dataclasses.dataclass(frozen=True, eq=False)
class TableFile:
    """What is in a file.

    Args:
        name: of the file, for messages.
        frame: its rows; names of columns are text, each once.
        text: of a CSV file, else None.
        separator: between values of a CSV file.
    """

    name: str
    frame: pd.DataFrame
    text: str | None = None
    separator: str = ","

    @classmethod
    def read(cls, path: Path, name: str) -> TableFile:
        """Reads a file; its ending says what it is.

        Raises:
            DataError: it cannot be read, or is no table.
        """
        kind = path.suffix.lower()
        if kind not in (*_SEPARATORS, ".parquet", ".npz"):
            raise DataError(f"Table: path: got {show(name)}, accepts a file that ends in .csv, .tsv, .parquet or .npz.")
        try:
            if kind == ".parquet":
                found = cls(name, read_parquet(path, name))
            elif kind == ".npz":
                found = cls(name, read_npz(path, name))
            else:
                text = decoded(path.read_bytes(), f"Table: {name}")
                found = cls(name, _csv(text, name, _SEPARATORS[kind]), text, _SEPARATORS[kind])
        except OSError as error:
            raise DataError(f"Table: {name} cannot be read: {error.strerror or error}.") from None
        _check_names(found)
        return found

    def numbers(self, columns: Sequence[str], *, choosable: bool = True) -> NDArray[np.float64]:
        """Columns of finite numbers, ``[N, d]``.

        Args:
            columns: their names.
            choosable: whether others could be named instead, as messages then say.

        Raises:
            DataError: a cell is empty, or holds something else.
        """
        problems = Problems("Table")
        found = np.zeros((len(self.frame), len(columns)))
        for place, column in enumerate(columns):
            values = self.frame[column]
            if _is_numeric(values):
                found[:, place] = values.to_numpy(dtype=np.float64, na_value=np.nan)
                continue
            for problem in self._text_problems(column, values, choosable):
                problems.add(problem)
            found[:, place] = np.where(values.isna(), np.nan, 0.0)
        empty = np.isnan(found)
        if empty.any():
            row, place = np.argwhere(empty)[0]
            own = [column for column, count in zip(columns, empty.sum(axis=0).tolist(), strict=True) if count]
            rows = int(empty.any(axis=1).sum())
            problems.add(
                f"{self._place(row, columns[place])}: there is no value; {rows} of {len(found)} rows "
                f"{'is' if rows == 1 else 'are'} incomplete, in {listed(own)}. Fill them"
                + (", leave out these rows, or name the columns without: columns = [...]." if choosable else _LEAVE_OUT)
            )
        if (infinite := np.isinf(found)).any():
            row, place = np.argwhere(infinite)[0]
            count = int(infinite.sum())
            problems.add(
                f"{self._place(row, columns[place])}: the value is infinite"
                f"{f', as are {count - 1} more' if count > 1 else ''}. Write finite numbers, or leave out these rows."
            )
        problems.check()
        return found

    def constant(self, columns: Sequence[str]) -> list[str]:
        """Those of these columns that hold one number in all rows."""
        numeric = [column for column in columns if _is_numeric(self.frame[column])]
        return [
            name for name in numeric if self.frame[name].nunique(dropna=False) == 1 and self.frame[name].notna().all()
        ]

    def labels(self, column: str) -> list[Any]:
        """The values of a column, as text, numbers or true and false.

        Raises:
            DataError: one is missing, or the same number is written in two ways, as 01 and 1 are.
        """
        values = self._values(column)
        blank = [isinstance(value, str) and not value.strip() for value in values]
        missing = values.isna().to_numpy() | np.array(blank, dtype=bool)
        if missing.any():
            first = self._place(int(np.flatnonzero(missing)[0]), column)
            raise DataError(
                f"Table: {first}: there is no label; {int(missing.sum())} of {len(values)} rows "
                "are without. Leave them out."
            )
        if getattr(values.dtype, "kind", "O") in "iuf":
            self._check_spelling(column)
        found = [value.item() if isinstance(value, np.generic) else value for value in values]
        odd = next((value for value in found if not isinstance(value, (str, int, float, bool))), None)
        if odd is not None:
            raise DataError(
                f'Table: {self.name}: the label "{column}" holds {type(odd).__name__}, accepts text or numbers.'
            )
        return found

    def _values(self, column: str) -> pd.Series[Any]:
        """A column; words that pandas takes for missing values, such as None, are words where the others are."""
        values = self.frame[column]
        if self.text is None or _is_numeric(values) or not values.isna().any():
            return values
        return pd.Series([cell for _, cell in self._cells(column)], dtype=object)

    def _check_spelling(self, column: str) -> None:
        """Codes such as 01 are numbers to pandas: beside 1 they may have been meant as another label."""
        if self.text is None or not _LEADING_ZERO.search(self.text):
            return
        known: dict[float, tuple[int, str]] = {}
        for line, cell in self._cells(column):
            first, other = known.setdefault(float(cell), (line, cell))
            if other != cell and (_LEADING_ZERO.match(other) or _LEADING_ZERO.match(cell)):
                raise DataError(
                    f'Table: {self.name}: line {line}, column "{column}": "{cell}" here and "{other}" in line {first} '
                    "are the same number; write labels alike, or as text, such as c01, if they differ."
                )

    def _cells(self, column: str) -> Iterator[tuple[int, str]]:
        """The cells of a column of a CSV file as they are written, each with its line."""
        place = list(self.frame.columns).index(column)
        lines = _lines(self.text or "", self.separator)
        next(lines)
        for line, record in lines:
            yield line, record[place].strip() if place < len(record) else ""

    def _text_problems(self, column: str, values: pd.Series[Any], choosable: bool) -> list[str]:
        """What is wrong with the cells of a column that are no numbers: each if they are few, else the first."""
        instead = ", or name the columns that hold some: columns = [...]." if choosable else "."
        found = [(row, value, wanted) for row, value in enumerate(values) if (wanted := _wanted(value)) is not None]
        if not found:
            return [f'{self.name}: the column "{column}" holds {values.dtype}, accepts numbers; convert it{instead}']
        more = f" {len(found) - 1} more cells of this column are no numbers, either." if len(found) > _FEW else ""
        return [
            f"{self._place(row, column)}: got {show(value) if isinstance(value, str) else repr(value)}, accepts "
            f"{wanted} for it{instead}{more}"
            for row, value, wanted in (found[:1] if more else found)
        ]

    def _place(self, row: int, column: str) -> str:
        """Where a cell is: the line of a CSV file, the row of others, from 1."""
        if self.text is None:
            return f'{self.name}: row {row + 1}, column "{column}"'
        lines = _lines(self.text, self.separator)
        next(lines)
        number = next(line for index, line in enumerate(lines) if index == row)[0]
        return f'{self.name}: line {number}, column "{column}"'


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file that are not blank, with the number of the line where each ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    for record in reader:
        if any(cell.strip() for cell in record) or len(record) > 1:
            yield reader.line_num, record


def _csv(text: str, name: str, separator: str) -> pd.DataFrame:
    try:
        first = next(_lines(text, separator), None)
    except csv.Error as error:
        raise DataError(f"Table: {name}: it is not CSV: {error}.") from None
    if first is None:
        raise DataError(f"Table: {name} is empty.")
    header = [cell.strip() for cell in first[1]]
    other = next((mark for mark in (";", "\t", ",", "|") if mark != separator and mark in header[0]), None)
    if len(header) == 1 and other is not None:
        raise DataError(
            f"Table: {name}: its values are separated by {other!r}, accepts {separator!r}: save it so"
            + (" (and 1.5 for 1,5)." if other == ";" else ".")
        )
    if all(_is_number(cell) for cell in header):
        raise DataError(
            f"Table: {name}: its first line, {listed(header, 4)}, has no names of columns: add a line with them."
        )
    _check_header(header, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            found = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                header=0,
                names=range(len(header)),
                dtype=None,
                index_col=False,
                skipinitialspace=True,
                low_memory=False,
                na_values=["?", " "],
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        said = str(error).removeprefix("Error tokenizing data. C error: ").strip().rstrip(".")
        if isinstance(error, pd.errors.ParserWarning):
            said = f"its lines have more values than the {len(header)} names in the first"
        raise DataError(f"Table: {name}: it is not CSV: {said}.") from None
    found.columns = pd.Index(header)
    return found


def _check_header(header: Sequence[str], name: str) -> None:
    for column, label in enumerate(header, 1):
        if label in header[: column - 1]:
            raise DataError(
                f'Table: {name}: columns {header.index(label) + 1} and {column} are both called "{label}"; give each a '
                "name of its own."
            )


def _check_names(table: TableFile) -> None:
    names = [str(name) for name in table.frame.columns]
    for column, label in enumerate(names, 1):
        if not label:
            raise DataError(
                f"Table: {table.name}: column {column} has no name. If it only counts the rows (pandas writes such a "
                "column unless told index=False), take it out, else name it."
            )
    _check_header(names, table.name)


def _wanted(value: Any) -> str | None:
    """What a cell accepts that is no number as files hold them; None if it is one, or empty."""
    try:
        if pd.isna(value):
            return None
        float(value)
    except (TypeError, ValueError):
        return "a number. Write numbers"
    text = str(value).strip()
    if not text.isascii() or "_" in text:  # Python takes 1_000, files do not
        return "a number of digits alone. Write 1000, say,"
    if text.lstrip("+-").isdigit() and abs(int(text)) >= 2**63:
        return f"integers of 64 bits. Write {float(text):g}"
    return None


def _is_numeric(values: pd.Series[Any]) -> bool:
    return getattr(values.dtype, "kind", "O") in "biuf"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
