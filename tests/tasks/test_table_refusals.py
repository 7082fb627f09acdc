"""Files that are no table of numbers and labels: refused with the place and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qlab import Table
from qlab.errors import ConfigError, DataError, QlabError

GOOD = ["a,b,label", *(f"{row}.5,{row * row},{row % 2}" for row in range(20))]


def refused(folder: Path, content: str | bytes | list[str], ending: str = ".csv", **fields: Any) -> str:
    file = folder / f"t{ending}"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else "\n".join(content) + "\n", encoding="utf-8")
    with pytest.raises(QlabError) as caught:
        Table(path=str(file), **fields).load()
    message = str(caught.value)
    assert message.startswith("Table: ")
    assert message.endswith((".", "?"))
    return message


def with_line(number: int, line: str) -> list[str]:
    """The good file with one of its lines, from 1, replaced."""
    return [*GOOD[: number - 1], line, *GOOD[number:]]


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(GOOD))
    assert len(Table(path=str(tmp_path / "t.csv")).load().train) == 12


def test_codes_with_leading_zeros_are_numbers_where_all_are_written_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(re.sub(r",([01])(?=\n)", r",0\1", "\n".join([*GOOD, ""])))
    assert Table(path=str(tmp_path / "t.csv")).rows().classes == (0, 1)


CELLS = {
    "empty": (with_line(7, "5.5,,1"), 'line 7, column "b": there is no value; 1 of 20 rows is incomplete, in "b"'),
    "not available": (with_line(7, "NaN,3,1"), 'line 7, column "a": there is no value'),
    "question mark": (with_line(7, "?,3,1"), 'line 7, column "a": there is no value'),
    "too few": (with_line(7, "5.5"), 'line 7, column "label": there is no label'),
    "text": (with_line(9, "red,3,1"), 'line 9, column "a": got "red", accepts a number'),
    "decimal comma": (with_line(9, '"1,5",3,1'), 'line 9, column "a": got "1,5", accepts a number'),
    "underscores": (with_line(9, "1_000,3,1"), 'line 9, column "a": got "1_000", accepts a number of digits alone'),
    "too many digits": (
        with_line(2, "99999999999999999999999,3,1"),
        'line 2, column "a": got "99999999999999999999999", accepts integers of 64 bits. Write 1e+23 for it',
    ),
    "too many digits among integers": (
        with_line(9, f"7,{10**22},1"),
        'line 9, column "b": got 10000000000000000000000, accepts integers of 64 bits. Write 1e+22 for it',
    ),
    "digits of another script": (with_line(9, "\u0663,3,1"), 'line 9, column "a": got "\u0663", accepts a number of'),
    "infinite": (with_line(4, "-inf,3,1"), 'line 4, column "a": the value is infinite. Write'),
    "too large": (with_line(4, "1e999,3,1"), 'line 4, column "a": the value is infinite'),
    "no label": (with_line(5, "1,2,"), 'line 5, column "label": there is no label; 1 of 20 rows are without'),
    "after blank lines": (["a,b,label", "", "", *with_line(9, "red,3,1")[1:]], 'line 11, column "a": got "red"'),
    "after a line break": (
        ['"a","b\nc",label', *with_line(9, "red,3,1")[1:]],
        'line 10, column "a": got "red"',
    ),
}


@pytest.mark.parametrize(("lines", "said"), CELLS.values(), ids=CELLS)
def test_a_cell_is_named_by_its_line_and_column(tmp_path: Path, lines: list[str], said: str) -> None:
    assert said in refused(tmp_path, lines)


TABLES = {
    "nothing": ("", "is empty"),
    "blank": ("\n\n", "is empty"),
    "no rows": ("a,b,label\n", "has no rows"),
    "no names": ("\n".join(["1,2,0", *GOOD[1:]]), "its first line, .*, has no names of columns: add a line"),
    "twice the same name": ("\n".join(["a,a,label", *GOOD[1:]]), 'columns 1 and 2 are both called "a"'),
    "no name": ("\n".join([",b,label", *GOOD[1:]]), "column 1 has no name.*index=False"),
    "semicolons": ("\n".join(GOOD).replace(",", ";"), "separated by ';', accepts ',': save it so"),
    "tabs": ("\n".join(GOOD).replace(",", "\t"), r"separated by '\\t'"),
    "too many values": ("\n".join(with_line(6, "1,2,3,4")), "it is not CSV: Expected 3 fields in line 6, saw 4"),
    "always too many": ("\n".join([GOOD[0], *(f"{line},9" for line in GOOD[1:])]), "more values than the 3 names"),
    "open quotes": ("\n".join(with_line(6, '"1,2,3')), "it is not CSV"),
    "a label in two spellings": (
        "\n".join(with_line(6, "1,2,01")),
        r'line 6, column "label": "01" here and "1" in line 3 are the same number; write labels alike',
    ),
    "one class": (re.sub(",[01]\n", ",1\n", "\n".join([*GOOD, ""])), '"label" is 1 in all 20 rows'),
    "three classes": ("\n".join(with_line(6, "1,2,7")), '"label" has 3 values, 0, 1, 7, and a binary classifier takes'),
    "constant": ("\n".join(["a,b,label", *(f"{r},4,{r % 2}" for r in range(20))]), 'column "b" is 4 in all 20 rows'),
    "few rows": ("\n".join(GOOD[:5]), r"split: \[0.6, 0.2, 0.2\] of 4 rows, 2 of them of class 1 \(label = 1\)"),
    "few of a class": (
        "\n".join(["a,b,label", *(f"{r},{r * r},{int(r == 3)}" for r in range(20))]),
        "of 20 rows, 1 of them of class 1",
    ),
    "Latin-1": (b"a,b,label\n" + b"\xe9,2,1\n", "not UTF-8 text: line 2, column 1"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(range(256)), "not UTF-8 text"),
}


@pytest.mark.parametrize(("content", "said"), TABLES.values(), ids=TABLES)
def test_what_is_wrong_with_the_whole_is_said(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert re.search(said, refused(tmp_path, content))


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no such label": ({"label": "lable"}, 'label: .*t.csv has no column "lable". Did you mean "label"'),
    "no such class": (
        {"positive": "M"},
        'positive: got "M", which is not a value of "label" in .* accepts one of 0, 1',
    ),
    "no such column": ({"columns": ("a", "B")}, 'columns: .* has no column "B". Did you mean "b"'),
    "the label as a feature": ({"columns": ("a", "label")}, 'columns: got "label", which is the label'),
    "too many components": (
        {"reduce": 3},
        "reduce: got 3, accepts at most 2: there are 2 columns and 12 training",
    ),
}


@pytest.mark.parametrize(("fields", "said"), FIELDS.values(), ids=FIELDS)
def test_fields_that_do_not_fit_the_file_are_named(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    assert re.search(said, refused(tmp_path, GOOD, **fields))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"split": (0.6, 0.2, 0.1)}, r"split: got \[0.6, 0.2, 0.1\], which sum to 0.9"),
        ({"split": (1.0, 0.0, 0.0)}, "split: got"),
        ({"columns": ("a", "a")}, 'columns: got "a" twice'),
        ({"scale": "unit"}, 'scale: got "unit", accepts one of "standard", "minmax", "none"'),
        ({"seed": 2**32}, "seed: got 4294967296, accepts at most 4294967295"),
    ],
)
def test_fields_are_checked_without_a_file(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Table(**fields)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    assert "accepts a file that ends in .csv, .tsv, .parquet or .npz" in refused(tmp_path, "", ".xlsx")
    assert "not a Parquet file" in refused(tmp_path, b"PAR1 and no more", ".parquet")
    assert "not an NPZ file" in refused(tmp_path, b"no zip at all", ".npz")
    with pytest.raises(ConfigError, match="is not a file"):
        Table(path=str(tmp_path)).files()


def test_a_path_in_the_home_of_nobody_is_refused() -> None:
    task = Table(path="~nosuchuser/x.csv")
    for attempt in (lambda: task.files_digest, task.load):
        with pytest.raises(
            ConfigError, match=r'Table: path: got "~nosuchuser/x\.csv", and there is no user nosuchuser'
        ):
            attempt()


class Bad:
    """Unpickling it would leave a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "p.npz", x=np.array([Bad()], dtype=object), label=np.array([1]))
    assert "Object arrays cannot be loaded" in refused(tmp_path, (tmp_path / "p.npz").read_bytes(), ".npz")
    assert not (tmp_path / "touched").exists()


def test_arrays_that_form_no_table_are_refused(tmp_path: Path) -> None:
    def npz(**arrays: Any) -> bytes:
        np.savez(tmp_path / "p.npz", **arrays)
        return (tmp_path / "p.npz").read_bytes()

    y = np.arange(6) % 2
    assert "different lengths" in refused(tmp_path, npz(x=np.eye(5), label=y), ".npz")
    assert 'array "x" has the shape [6, 2, 2]' in refused(tmp_path, npz(x=np.zeros((6, 2, 2)), label=y), ".npz")
    message = refused(tmp_path, npz(x=np.eye(6)[:, :2], x0=np.arange(6.0), label=y), ".npz")
    assert 'two columns are both called "x0", of the arrays "x" and "x0"' in message
    message = refused(tmp_path, npz(x=np.zeros((6, 11)), x1=np.ones((6, 1)), label=y), ".npz")
    assert 'both called "x10", of the arrays "x" and "x1"' in message
    assert 'array "x" is complex' in refused(tmp_path, npz(x=np.zeros((6, 2), complex), label=y), ".npz")


def test_rows_of_files_without_lines_are_counted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) ** 2, "label": np.arange(20) % 2})
    frame.loc[3, "b"] = np.nan
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r't\.parquet: row 4, column "b": there is no value'):
        Table(path=str(tmp_path / "t.parquet")).load()
    frame.assign(b=pd.date_range("2024", periods=20)).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r'column "b": got .*2024.*, accepts a number'):
        Table(path=str(tmp_path / "t.parquet")).load()


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    lines = with_line(4, "red,,1")
    lines[8], lines[9] = "inf,3,1", "7,blue,1"
    lines = [f"{line},{'same' if line.startswith('a,') else 4}" for line in lines]
    message = refused(tmp_path, lines, positive="M", columns=("a", "b", "B", "same"))
    assert message.startswith("Table: 6 problems:\n- ")
    for part in (
        'positive: got "M", which is not a value of "label"',
        'has no column "B". Did you mean "b"?',
        'line 4, column "a": got "red", accepts a number',
        'line 10, column "b": got "blue", accepts a number',
        'line 4, column "b": there is no value; 1 of 20 rows is incomplete, in "b"',
        'the column "same" is 4 in all 20 rows, which tells nothing',
    ):
        assert message.count(part) == 1
    with pytest.raises(DataError, match=r'columns: .* has no column "c"(?s:.*)has no column "d"'):
        Table(path=str(tmp_path / "t.csv"), columns=("c", "d")).rows()


def test_problems_beyond_the_tenth_are_counted(tmp_path: Path) -> None:
    columns = [f"c{number}" for number in range(13)]
    lines = [f"{','.join(columns)},label", *(f"{'x,' * 2}{'1,' * 11}{row % 2}" for row in range(20))]
    message = refused(tmp_path, lines)
    assert message.startswith("Table: 3 problems:")
    assert 'column "c0": got "x"' in message
    assert message.count("19 more cells of this column are no numbers, either.") == 2
    assert refused(tmp_path, GOOD, columns=tuple(columns)).endswith("\nAnd 3 more.")


def test_a_missing_label_does_not_make_features_of_the_labels(tmp_path: Path) -> None:
    lines = ["a,b,kind", *(f"{row},{row * row},{'MB'[row % 2]}" for row in range(20))]
    message = refused(tmp_path, lines)
    assert message.startswith("Table: label: ")
    assert "problems" not in message
