"""Files that come with qlab: experiments, and the explorer app."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from qlab.errors import ConfigError, nearest
from qlab.textfile import read_text

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder of that name that ships with qlab: inside the wheel, or at the top of a checkout."""
    shipped = _PACKAGE / "_shipped" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def experiment_file(given: str) -> Path:
    """The experiment file a user means: a path, or the name of one that ships with qlab.

    ``experiments/xxz_flip.toml`` and ``xxz_flip`` name the shipped file wherever there is no such path. ``~`` and
    ``file://`` addresses are understood, and the suffix ``.toml`` may be left out.

    Raises:
        ConfigError: there is no such file.
    """
    path = _path(given)
    if path.is_file():
        return path
    shipped = experiments()
    name = path.as_posix().removeprefix("experiments/").removesuffix(".toml")
    if name in shipped and not path.is_absolute():
        return shipped[name]
    suffixed = path.with_name(f"{path.name}.toml") if path.name else path
    if suffixed.is_file():
        return suffixed
    if path.is_dir():
        raise ConfigError(f"{given}: is a folder; name the files in it, for example {given.rstrip('/')}/*.toml.")
    if path.is_symlink():
        raise ConfigError(f"{given}: is a link to {path.readlink()}, and there is no such file.")
    if path.exists():
        read_text(path)  # says what it is
    raise ConfigError(
        f"{given}: there is no such file.{nearest(name, shipped)} Experiments that come with qlab: "
        f"{', '.join(sorted(shipped))}."
    )


def _path(given: str) -> Path:
    if given.startswith("file:"):
        return Path(url2pathname(urlsplit(given).path))
    path = Path(given)
    if given.startswith("~") and not path.exists():
        with contextlib.suppress(RuntimeError):  # there is no such user
            return path.expanduser()
    return path


def experiment_files() -> list[Path]:
    """The experiment files that ship with qlab."""
    return sorted(folder("experiments").rglob("*.toml"))


def experiments() -> dict[str, Path]:
    """The experiment files that ship with qlab, by the names that `qlab run` takes."""
    return {str(file.relative_to(folder("experiments")).with_suffix("")): file for file in experiment_files()}


def about(file: Path) -> str:
    """What an experiment that ships with qlab asks, in its own words.

    Read from the file alone: what it names is not made, and may need extras that are not installed.
    """
    return str(tomllib.loads(read_text(file)).get("about", ""))
