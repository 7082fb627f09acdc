"""A table in a file of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qlab.errors import ConfigError, DataError, nearest
from qlab.fields import show
from qlab.tasks.columns import Columns, ColumnsTask, chosen, listed
from qlab.tasks.files import expanded, folder_of
from qlab.tasks.problems import Problems
from qlab.tasks.table_file import TableFile


class Table(ColumnsTask):
    """Rows of a file of your own: CSV, Parquet or NPZ.

    The first line of a CSV file names its columns; values are separated by commas (by tabs in .tsv). In an NPZ file,
    arrays with one axis are columns, and an array ``x`` with two axes is the columns x0, x1, ...; nothing is unpickled.
    All columns but the label must hold numbers, with none missing, and the label must have two values. The contents of
    the file are part of a trial's identity: if the file is edited, all trials are new, and those of the earlier file
    remain.

    Args:
        path: the file; relative paths start at the folder of the experiment file, or in a notebook at the current
            folder.
        label: the column that holds the label.
    """

    formula: ClassVar[str] = "x = (columns - shift) / scale, projected on principal components if reduce > 0"
    source: ClassVar[str] = "your file"

    path: str = "table.csv"
    label: str = "label"

    @property
    def file(self) -> Path:
        """Where the file is.

        Raises:
            ConfigError: it is in the home folder of nobody.
        """
        return folder_of(self) / expanded(self.path, "Table: path")

    def files(self) -> list[Path]:
        """The file.

        Raises:
            ConfigError: it is not there.
        """
        file = self.file
        if not file.is_file():
            raise ConfigError(self._absent(file))
        return [file]

    def rows(self) -> Columns:
        """The rows of the file, checked.

        Raises:
            DataError: something in it cannot be used; says which line and column.
        """
        table = TableFile.read(self.file, self.path)
        names = [str(name) for name in table.frame.columns]
        if len(table.frame) == 0:
            raise DataError(f"Table: {self.path} has no rows, only names of columns.")
        problems = Problems("Table")
        if self.label not in names:
            problems.add(
                f'label: {self.path} has no column "{self.label}".{nearest(self.label, names)} There are '
                f"{listed(names)}."
            )
        elif self.label in self.columns:
            problems.add(f'columns: got "{self.label}", which is the label: a model would only read it off.')
        else:
            with problems.collected():
                y, classes = self._labels(table)
        others = [name for name in names if name != self.label]
        if not others:
            problems.add(f'{self.path} has no column but the label "{self.label}"; features need others.')
        with problems.collected():
            chosen("Table", [name for name in self.columns if name != self.label], others, self.path)
        wanted = [name for name in self.columns if name in others] if self.columns else others
        if self.label in names or self.columns:  # else one of them was to be the label
            with problems.collected():
                x = table.numbers(wanted)
            with problems.collected():
                self._check_constant(table, wanted)
        problems.check()
        return Columns(tuple(wanted), x, y, classes, self.label)

    def _check_constant(self, table: TableFile, wanted: Sequence[str]) -> None:
        constant = table.constant(wanted)
        if not constant:
            return
        rest, many = [name for name in wanted if name not in constant], len(constant) > 1
        value = table.frame[constant[0]].iloc[0]
        raise DataError(
            f"Table: {self.path}: {'the columns' if many else 'the column'} {listed(constant)} "
            f"{'have the same value' if many else f'is {value:g}'} in all {len(table.frame)} rows, which tells "
            f"nothing; name the others: columns = {show(rest)}."
        )

    def _labels(self, table: TableFile) -> tuple[NDArray[np.bool_], tuple[Any, Any]]:
        """Which rows are of class 1, and the values of both classes."""
        values = table.labels(self.label)
        found = _sorted(set(values))
        if self.positive not in found:
            raise DataError(
                f'Table: positive: got {show(self.positive)}, which is not a value of "{self.label}" in {self.path}; '
                f"accepts one of {listed(found)}."
            )
        if len(found) == 1:
            raise DataError(
                f'Table: {self.path}: "{self.label}" is {show(found[0])} in all {len(values)} rows; a classifier needs '
                "rows of two classes."
            )
        if len(found) > 2:
            raise DataError(
                f'Table: {self.path}: "{self.label}" has {len(found)} values, {listed(found)}, and a binary classifier '
                f"takes two; keep the rows of two of them, or write a column that says whether it is "
                f"{show(self.positive)}."
            )
        negative = next(value for value in found if value != self.positive)
        return np.array([value == self.positive for value in values]), (negative, self.positive)

    def _absent(self, file: Path) -> str:
        """What to say of a file that is not there."""
        if file.exists():
            return f"Table: path: {file} is not a file."
        given = Path(self.path)
        if given.is_absolute() or self.path.startswith("~"):
            return f"Table: path: there is no file {file}."
        said = f'Table: path: there is no file "{self.path}" in {folder_of(self)}, where relative paths start'
        if given.exists():
            return f"{said}. There is one in the current folder: give its whole path, {given.resolve()}."
        beside = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
        return f"{said}.{nearest(given.name, beside)}"


def _sorted(values: set[Any]) -> Sequence[Any]:
    try:
        return sorted(values)
    except TypeError:  # of several types
        return sorted(values, key=repr)
