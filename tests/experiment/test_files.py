"""Experiment files: where they are, where their classes are, and what their names may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.experiments import TASK

from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.resources import experiment_file

MODEL = '[model]\ntype = "own:Own"\n'
OWN = "from qlab import MLP\n\n\nclass Own(MLP):\n    '''A model.'''\n"
PLAIN = f'{TASK}[model]\ntype = "MLP"\n'


def test_a_file_with_a_byte_order_mark_loads(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "file.toml").write_text('name = "base"\n' + PLAIN, encoding=encoding)
        assert schema.load(tmp_path / "file.toml").name == "base"


def test_a_class_file_with_a_byte_order_mark_loads(tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text(TASK + MODEL)
    (tmp_path / "own.py").write_text(OWN.replace("A model", "Ein Modell für α"), encoding="utf-8-sig", newline="\r\n")
    assert schema.load(tmp_path / "file.toml").trials
    (tmp_path / "own.py").write_bytes(b"# coding: latin-1\n" + OWN.replace("A model", "Für x").encode("latin-1"))
    assert schema.load(tmp_path / "file.toml").trials


def linked(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A link to an experiment file, the folder that it is in, and that of the file."""
    real, here = tmp_path / "real", tmp_path / "here"
    real.mkdir()
    here.mkdir()
    (real / "file.toml").write_text(TASK + MODEL)
    (here / "link.toml").symlink_to(real / "file.toml")
    return here / "link.toml", here, real


def test_classes_of_a_linked_file_are_beside_the_file(tmp_path: Path) -> None:
    link, _, real = linked(tmp_path)
    (real / "own.py").write_text(OWN)
    found = schema.load(link)
    assert (found.name, found.folder) == ("link", real)


@pytest.mark.parametrize(
    ("place", "name"), [("lab/__init__.py", "lab"), ("lab/own.py", "lab.own"), ("lab/own.py", "lab/own")]
)
def test_classes_of_a_linked_file_are_in_packages_beside_the_file(tmp_path: Path, place: str, name: str) -> None:
    link, _, real = linked(tmp_path)
    (real / "lab").mkdir()
    (real / place).write_text(OWN)
    (real / "file.toml").write_text((TASK + MODEL).replace('"own:', f'"{name}:'))
    assert schema.load(link).folder == real


def test_classes_beside_the_link_come_first(tmp_path: Path) -> None:
    link, here, real = linked(tmp_path)
    (real / "own.py").write_text("raise RuntimeError")
    (here / "own.py").write_text(OWN)
    assert schema.load(link).folder == here


def test_a_class_that_is_nowhere_is_looked_for_beside_the_link(tmp_path: Path) -> None:
    link, here, _ = linked(tmp_path)
    with pytest.raises(ConfigError, match=f"no own.py in {here}"):
        schema.load(link)


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("my experiment", "letters, digits"),
        (" padded ", "letters, digits"),
        ("größe", "letters, digits"),
        ("😀", "letters, digits"),
        ("a+b", "letters, digits"),
        (".hidden", "begin with a dot"),
        ("Default", "MLflow's own"),
        ("a" * 201, "at most 200"),
    ],
)
def test_a_name_taken_from_the_files_name_is_checked_and_said_to_be(stem: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / f"{stem}.toml").write_text(PLAIN)
    with pytest.raises(ConfigError) as raised:
        schema.load(tmp_path / f"{stem}.toml")
    assert "name: got" in str(raised.value)
    assert "from the name of the file" in str(raised.value)
    assert reason in str(raised.value)
    (tmp_path / f"{stem}.toml").write_text('name = "good"\n' + PLAIN)
    assert schema.load(tmp_path / f"{stem}.toml").name == "good"
    with pytest.raises(ConfigError) as raised:
        schema.parse(f'name = "{stem}"\n' + PLAIN, source="given.toml")
    assert "from the name of the file" not in str(raised.value)


@pytest.mark.parametrize("stem", ["con", "x.v2", "UPPER", "1", "-", "a" * 200])
def test_other_names_of_files_are_taken(stem: str, tmp_path: Path) -> None:
    (tmp_path / f"{stem}.toml").write_text(PLAIN)
    assert schema.load(tmp_path / f"{stem}.toml").name == stem


@pytest.mark.parametrize(
    "given", ["file.toml", "./file.toml", "sub/../file.toml", "file", "~/file.toml", "~/file", "{uri}", "{folder}/file"]
)
def test_a_file_is_found_however_it_is_given(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with spaces"
    (folder / "sub").mkdir(parents=True)
    (folder / "file.toml").write_text(PLAIN)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    uri = (folder / "file.toml").as_uri()
    assert experiment_file(given.format(uri=uri, folder=folder)).samefile(folder / "file.toml")


def test_a_link_to_nowhere_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match=r"is a link to .*gone\.toml"):
        experiment_file(str(tmp_path / "link.toml"))
