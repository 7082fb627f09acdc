"""Files that come with qlab, found wherever the user is."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlab import resources
from qlab.errors import ConfigError


def test_the_folders_that_ship_are_there() -> None:
    assert (resources.folder("apps") / "explorer.py").is_file()
    assert (resources.folder("experiments") / "xxz_flip.toml").is_file()


def test_experiments_that_ship_are_listed() -> None:
    assert "xxz_flip" in [file.stem for file in resources.experiment_files()]


@pytest.mark.parametrize("given", ["xxz_flip", "xxz_flip.toml", "experiments/xxz_flip.toml", "experiments/xxz_flip"])
def test_a_shipped_experiment_is_found_by_name_from_anywhere(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resources.experiment_file(given) == resources.folder("experiments") / "xxz_flip.toml"


def test_a_file_of_the_users_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = Path("experiments/xxz_flip.toml")
    own.parent.mkdir()
    own.write_text("")
    assert resources.experiment_file("experiments/xxz_flip.toml") == own


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("xxz_flop.toml", ["xxz_flop.toml", "no such file", 'Did you mean "xxz_flip"?'], id="misspelt"),
        pytest.param("/nowhere/xxz_flip.toml", ["/nowhere/xxz_flip.toml", "no such file"], id="absolute"),
        pytest.param("../xxz_flip.toml", ["../xxz_flip.toml", "no such file"], id="elsewhere"),
        pytest.param(".", ["is a folder", "*.toml"], id="folder"),
    ],
)
def test_what_is_no_file_is_explained(
    given: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        resources.experiment_file(given)
    for part in expected:
        assert part in str(raised.value)
