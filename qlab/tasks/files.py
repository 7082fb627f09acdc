"""The files that decide a task's data: what is in them is part of a trial's identity."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from qlab.digests import file_digest
from qlab.errors import ConfigError, QlabError

_FOLDER = "__qlab_folder__"


T = TypeVar("T")


def placed(task: T, folder: Path) -> T:
    """A task whose relative paths start at a folder: that of its experiment file."""
    found = copy.copy(task)
    vars(found)[_FOLDER] = folder.absolute()
    return found


def folder_of(task: Any) -> Path:
    """Where relative paths of a task's fields start: see :func:`placed`; else the current folder."""
    found: Path = vars(task).get(_FOLDER) or Path.cwd()
    return found


def digest_of(task: Any) -> str | None:
    """First 16 digits of the SHA-256 of the names and contents of the files that a task says decide its data.

    None for tasks that name none. Where the folder of the class lies does not count.

    Raises:
        ConfigError: a file is not there or cannot be read, or ``files()`` fails or returns something else.
    """
    base = _folder(task)
    named = sorted(
        (path.name if base not in path.parents else path.relative_to(base).as_posix(), path)
        for path in _paths(task, base)
    )
    if not named:
        return None
    sha = hashlib.sha256()
    for name, path in named:
        try:
            for inner in _files(path):
                line = f"{name}/{inner.relative_to(path).as_posix()} {file_digest(inner)}\n"
                sha.update(line.encode("utf-8", "surrogateescape"))
        except OSError as error:
            way = f" Relative paths start at the folder of the class, {base}." if base in path.parents else ""
            raise ConfigError(
                f"{type(task).__name__}.files: {path} cannot be read: {error.strerror or error}.{way}"
            ) from None
    return sha.hexdigest()[:16]


def expanded(path: str | Path, what: str) -> Path:
    """A path with the home folder in place of ``~`` or ``~user``.

    Args:
        path: as it was given.
        what: names it in messages.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        who = Path(path).parts[0][1:]
        why = f"there is no user {who} on this machine" if who else "the home folder is not known"
        raise ConfigError(f'{what}: got "{path}", and {why}; give the whole path.') from None


def named_files(task: Any) -> list[Path]:
    """Where the files and folders are that a task says decide its data.

    Raises:
        ConfigError: see :func:`digest_of`.
    """
    return _paths(task, _folder(task))


def missing_beside(task: Any, error: BaseException | None) -> str:
    """What to say of a file that a task looked for in the current folder though it lies beside its class."""
    given = error.filename if isinstance(error, FileNotFoundError) else None
    if not isinstance(given, (str, Path)) or Path(given).is_absolute() or not (_home(task) / given).exists():
        return ""
    return (
        f". There is one beside the class, {_home(task) / given}, but relative paths start at the current folder: read "
        f"Path(__file__).parent / {str(given)!r}."
    )


def _files(path: Path) -> Iterator[Path]:
    """A file, or all files of a folder and below."""
    if not path.is_dir():
        yield path
        return
    yield from sorted(inner for inner in path.rglob("*") if inner.is_file())


def _paths(task: Any, base: Path) -> list[Path]:
    name = type(task).__name__
    try:
        given = task.files()
        items = [given] if isinstance(given, (str, bytes, Path)) else list(given)
    except QlabError:
        raise
    except Exception as error:  # a user's task may raise anything
        raise ConfigError(f"{name}.files fails: {type(error).__name__}: {error}") from error
    paths = []
    for item in items:
        if not isinstance(item, (str, Path)):
            raise ConfigError(f"{name}.files: got {item!r}, accepts paths: return [self.path].")
        path = expanded(item, f"{name}.files")
        if not path.is_absolute() and path.exists() and not _same(path, base / path):
            raise ConfigError(
                f"{name}.files: {item} is beside the class, {base / path}, and in the current folder, "
                f"{path.resolve()}: load() may read either. Name it as Path(__file__).parent / path in both."
            )
        paths.append(base / path)
    return paths


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _folder(task: Any) -> Path:
    """The folder of the file in which ``files`` is written; the current one for classes of a notebook."""
    return _written(type(task).files)


def _home(task: Any) -> Path:
    """The folder of the file in which ``load`` is written."""
    return _written(type(task).load)


def _written(function: Any) -> Path:
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = Path("" if code is None else code.co_filename).resolve()
    return file.parent if file.is_file() else Path.cwd()
