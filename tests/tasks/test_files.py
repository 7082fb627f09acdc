"""Files that decide a task's data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from qlab.errors import ConfigError, DataError
from qlab.fields import fields_of
from qlab.registry import find
from qlab.tasks import MNIST, XXZ, Dataset, Task
from qlab.tasks.base import load_data
from qlab.tasks.files import digest_of


class Reading(Task):
    """Reads files.

    Args:
        place: the folder of the files.
    """

    place: str = "."
    given: str = "a.csv"

    def load(self) -> Dataset:
        raise NotImplementedError

    def random_features(self, n: int, generator: torch.Generator) -> torch.Tensor:
        raise NotImplementedError

    def files(self) -> Iterable[Path | str]:
        return [Path(self.place) / self.given]


def task(place: Path, given: Any = None, **fields: str) -> Reading:
    """A task whose files are those."""
    if given is None:
        return Reading(place=str(place), **fields)
    made = type("Giving", (Reading,), {"files": lambda self: given, "__doc__": "A task."})
    return made(place=str(place))  # type: ignore[no-any-return]


def test_qlabs_own_tasks_have_none() -> None:
    assert XXZ().files_digest is None
    assert MNIST().files_digest is None


def test_content_decides_and_the_place_does_not(tmp_path: Path) -> None:
    for name, text in (("one", "1,2"), ("two", "1,2"), ("three", "1,3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text(text)
    one, two, three = (task(tmp_path / name).files_digest for name in ("one", "two", "three"))
    assert one == two != three
    assert len(str(one)) == 16


def test_the_order_of_files_does_not_count_but_their_names_do(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    first = digest_of(task(tmp_path, [a, str(b)]))
    assert digest_of(task(tmp_path, iter((b, a)))) == first
    a.write_text("2")
    b.write_text("1")
    assert digest_of(task(tmp_path, [a, b])) != first


def test_folders_stand_for_all_files_in_them(tmp_path: Path) -> None:
    for name in ("cats/1", "dogs/2"):
        (tmp_path / "all" / name).parent.mkdir(parents=True)
        (tmp_path / "all" / name).write_text(name)
    first = digest_of(task(tmp_path, given=[tmp_path / "all"]))
    (tmp_path / "all/cats/1").rename(tmp_path / "all/dogs/1")
    moved = digest_of(task(tmp_path, given=[tmp_path / "all"]))
    (tmp_path / "all/dogs/3").write_text("")
    assert len({first, moved, digest_of(task(tmp_path, given=[tmp_path / "all"]))}) == 3


def test_relative_paths_start_where_the_method_is_written() -> None:
    name = Path(__file__).name
    assert digest_of(task(Path(), [name])) == digest_of(task(Path(), [Path(__file__)])) is not None


def test_a_digest_is_that_of_when_it_was_first_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    made = task(tmp_path)
    before = made.files_digest
    (tmp_path / "a.csv").write_text("2")
    assert made.files_digest == before != digest_of(made)
    assert made == task(tmp_path)
    assert list(made.config()) == ["place", "given"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["nothing.csv"],
            r"Giving\.files: .*nothing\.csv cannot be read: No such file.*start at the folder of the class",
        ),
        (None, r"Giving\.files fails: TypeError"),
        (3, r"Giving\.files fails: TypeError"),
        ([3], r"Giving\.files: got 3, accepts paths: return \[self\.path\]"),
        ([["a"]], r"got \['a'\], accepts paths"),
        (b"a", "got b'a', accepts paths"),
    ],
    ids=str,
)
def test_what_is_no_readable_file_is_refused_by_name(tmp_path: Path, given: Any, message: str) -> None:
    made = type("Giving", (Reading,), {"files": lambda self: given, "__doc__": "A task."})()
    with pytest.raises(ConfigError, match=message):
        digest_of(made)


def test_one_path_may_stand_for_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    path = tmp_path / "a.csv"
    assert digest_of(task(tmp_path, str(path))) == digest_of(task(tmp_path, path)) == digest_of(task(tmp_path, [path]))


def test_a_field_cannot_hide_a_method() -> None:
    hiding = type("Hiding", (Reading,), {"__annotations__": {"files": str}, "files": "a", "__doc__": "A task."})
    with pytest.raises(
        ConfigError, match=r"Hiding: a field cannot be called files, which hides Task\.files; rename it"
    ):
        fields_of(hiding)


RELATIVE = """
from pathlib import Path
from qlab import Dataset, Split, Task
import torch


class Rows(Task):
    path: str = "rows.txt"

    def files(self):
        return [self.path]

    def load(self):
        y = torch.tensor([int(word) for word in Path(self.path).read_text().split()])
        return Dataset(Split(torch.eye(4), y), Split(torch.eye(4), y))

    def random_features(self, n, generator):
        return torch.randn(n, 4, generator=generator)
"""


def test_a_relative_path_that_means_two_files_is_refused(tmp_path, monkeypatch):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "own_rows.py").write_text(RELATIVE)
    (tmp_path / "lab" / "rows.txt").write_text("0 1 0 1")
    task = find("task", "own_rows:Rows", tmp_path / "lab")()
    monkeypatch.chdir(tmp_path)
    assert task.files_digest
    with pytest.raises(DataError, match=r"There is one beside the class, .*rows.txt, .*Path\(__file__\).parent"):
        load_data(task)
    (tmp_path / "rows.txt").write_text("1 0 1 0")
    with pytest.raises(ConfigError, match=r"Rows.files: rows.txt is beside the class, .* load\(\) may read either"):
        find("task", "own_rows:Rows", tmp_path / "lab")().files_digest  # noqa: B018
    monkeypatch.chdir(tmp_path / "lab")
    assert len(load_data(task).train) == 4
