"""Modules beside an experiment file: imported from its folder by the code of that folder alone.

Each state of a folder is a package of its own in ``sys.modules``, whose modules see each other under their plain names.
So ``import helper`` in a file beside an experiment means the ``helper.py`` there, however qlab was started; nobody else
sees it, and neither a folder's twin nor an edited file is taken for another. ``sys.path`` stays as it is.
"""

from __future__ import annotations

import atexit
import builtins
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from qlab.source_code import Imported, imports_of

ROOT = "qlab_experiment_files"

_OWN = re.compile(rf"{ROOT}_[0-9a-f]+_\d+\.?")


class Shelf:
    """The modules of one folder, in one state.

    Args:
        folder: where they are.
        root: the package under which they are in ``sys.modules``.

    Attributes:
        sources: what was read of each file, and is run, whatever becomes of the file.
    """

    def __init__(self, folder: Path, root: str) -> None:
        self.folder = folder
        self.root = root
        self.sources: dict[Path, bytes] = {}
        self._needed: dict[str, Mapping[str, Path]] = {}
        self.builtins = {**vars(builtins), "__import__": self._import}
        package = ModuleType(self.root)
        package.__path__ = [str(folder)]
        sys.modules[self.root] = package

    def load(self, name: str) -> ModuleType:
        """The module of a dotted name.

        Raises:
            Exception: whatever it raises.
        """
        module = importlib.import_module(f"{self.root}.{name}")
        self._needed[name] = self.needed(name)
        return module

    def is_current(self, name: str) -> bool:
        """Whether no file has changed, and a module imports the same of them as when it was loaded."""
        try:
            same = all(file.read_bytes() == source for file, source in self.sources.items())
        except OSError:
            return False
        return same and self._needed.get(name, self.needed(name)) == self.needed(name)

    def source(self, file: Path) -> bytes:
        """What is in a file, as it was first read."""
        if file not in self.sources:
            self.sources[file] = file.read_bytes()
        return self.sources[file]

    def file_of(self, name: str) -> Path | None:
        """The file of a dotted name: a package's ``__init__.py``, or a module's; None if there is none."""
        return self.file_in(self.folder, name)

    @staticmethod
    def file_in(folder: Path, name: str) -> Path | None:
        """The file of a dotted name in a folder."""
        path = folder.joinpath(*name.split("."))
        return next((file for file in (path / "__init__.py", path.parent / f"{path.name}.py") if file.is_file()), None)

    def is_package(self, name: str) -> bool:
        """Whether a dotted name is a folder of modules, with an ``__init__.py`` or without."""
        file = self.file_of(name)
        return self.folder.joinpath(*name.split(".")).is_dir() and (file is None or file.name == "__init__.py")

    def located(self, name: str, package: str) -> str | None:
        """What ``import name`` means in a module of ``package`` (dotted, or empty): a name below the root, or None.

        A file of the folder comes before what is installed, as where Python runs a script; what lies beside an
        importing file in a folder below comes after it.
        """
        top = name.partition(".")[0]
        if top == "qlab":
            return None
        if self._has(top, installed=None):
            return name
        if package and not _is_installed(top) and self._has(f"{package}.{top}", installed=False):
            return f"{package}.{name}"
        return None

    def code(self, name: str) -> Mapping[str, bytes]:
        """The sources of all modules of the folder that one needs, itself among them, by dotted name."""
        files = self._needed.get(name) or self.needed(name)
        return {item: self.source(file) for item, file in files.items()}

    def needed(self, name: str) -> Mapping[str, Path]:
        """The files of all modules of the folder that one needs, itself among them, as its code says by now."""
        found: dict[str, Path] = {}
        left = [name]
        while left:
            item = left.pop()
            if item in found or not item:
                continue
            file = self.file_of(item)
            left.append(item.rpartition(".")[0])
            if file is None:
                continue
            found[item] = file
            package = item if file.name == "__init__.py" else item.rpartition(".")[0]
            for imported in imports_of(self.source(file)):
                left += self._meant(imported, package)
        return found

    def _meant(self, imported: Imported, package: str) -> list[str]:
        if imported.level:
            parts = package.split(".") if package else []
            if imported.level > len(parts) + 1:
                return []
            base: str | None = ".".join([*parts[: len(parts) + 1 - imported.level], *filter(None, [imported.module])])
        else:
            base = self.located(imported.module, package)
        if base is None:
            return []
        if "*" in imported.names:
            inside = self.folder.joinpath(*base.split(".")) if base else self.folder
            submodules = [file.stem for file in inside.glob("*.py")] if self.is_package(base) else []
        else:
            submodules = list(imported.names)
        return [base, *(".".join(filter(None, [base, item])) for item in submodules)]

    def _has(self, name: str, installed: bool | None) -> bool:
        if f"{self.root}.{name}" in sys.modules or self.file_of(name) is not None:
            return True
        path = self.folder.joinpath(*name.split("."))
        if not path.is_dir() or next(path.rglob("*.py"), None) is None:
            return False
        return not (_is_installed(name) if installed is None else installed)

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What import statements of the folder's code call."""
        found = None
        if level == 0:
            package = str((globals or {}).get("__package__") or "").partition(".")[2]
            found = self.located(name, package)
        try:
            if found is None:
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            if fromlist:
                return builtins.__import__(f"{self.root}.{found}", globals, locals, fromlist, 0)
            importlib.import_module(f"{self.root}.{found}")
            below = name.count(".")
            return sys.modules[".".join(f"{self.root}.{found}".split(".")[: -below or None])]
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith(ROOT):
                raise
            plain = plainly(error.name)
            raise ModuleNotFoundError(f"No module named {plain!r}", name=plain) from None


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of shelves, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        root, _, name = fullname.partition(".")
        shelf = _shelves.get(root)
        if shelf is None:
            return None
        file = shelf.file_of(name)
        package = shelf.is_package(name)
        if file is None and not package:
            return None
        loader = None if file is None else _Loader(shelf, file)
        spec = importlib.machinery.ModuleSpec(
            fullname, loader, origin=None if file is None else str(file.resolve()), is_package=package
        )
        spec.has_location = file is not None
        if package:
            spec.submodule_search_locations = [str(shelf.folder.joinpath(*name.split(".")))]
        return spec


class _Loader(importlib.abc.InspectLoader):
    """Runs a module of a shelf."""

    def __init__(self, shelf: Shelf, file: Path) -> None:
        self._shelf = shelf
        self._file = file

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._shelf.source(self._file))

    def get_code(self, fullname: str) -> CodeType:
        # Compiled from what was read: Python's own cache of compiled files tells edits by size and second only.
        source = self._shelf.source(self._file)
        code: CodeType = compile(source, str(self._file.resolve()), "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._shelf.builtins
        super().exec_module(module)


_shelves: dict[str, Shelf] = {}
_finder = _Finder()


def shelf_of(folder: Path, name: str) -> Shelf:
    """The modules of a folder as they are now, where ``name`` is one of them."""
    folder = folder.resolve()
    known = [shelf for shelf in _shelves.values() if shelf.folder == folder]
    for shelf in reversed(known):
        if shelf.is_current(name):
            return shelf
    place = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    return _add(Shelf(folder, f"{ROOT}_{place}_{len(known)}"))


def _add(shelf: Shelf) -> Shelf:
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _shelves[shelf.root] = shelf
    return shelf


def packed() -> dict[str, tuple[str, dict[str, bytes]]]:
    """Folder and sources of all modules that were imported so, by their package: another process has them then."""
    return {
        root: (
            str(shelf.folder),
            {file.relative_to(shelf.folder).as_posix(): source for file, source in shelf.sources.items()},
        )
        for root, shelf in _shelves.items()
    }


def unpack(sources: Mapping[str, tuple[str, Mapping[str, bytes]]]) -> None:
    """Makes the modules of another process importable here, under the same names; earlier ones of the names go.

    They are where they were if the folder is here too, so that files beside them are found; else in a folder of their
    own.
    """
    for root, (place, files) in sources.items():
        if root in _shelves and packed()[root][1] == files:
            continue
        for module in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
            del sys.modules[module]
        folder = Path(place)
        if not all(_holds(folder / path, source) for path, source in files.items()):
            folder = Path(tempfile.mkdtemp(prefix="qlab-")).resolve()
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            for path, source in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(source)
        shelf = _add(Shelf(folder, root))
        shelf.sources |= {folder / path: source for path, source in files.items()}


def _holds(file: Path, source: bytes) -> bool:
    try:
        return file.read_bytes() == source
    except OSError:
        return False


def origin(module: str) -> tuple[Shelf, str] | None:
    """Where a module of ``sys.modules`` comes from: a shelf, and its name there; None if not from a folder."""
    root, _, name = module.partition(".")
    return (_shelves[root], name) if root in _shelves and name else None


def plainly(text: str) -> str:
    """A text with the names of modules as their author knows them."""
    return _OWN.sub("", text)


def shadowing(text: str) -> str | None:
    """A module of a folder that a message names, and that has the name of one of Python's or of an installed one."""
    for name in re.findall(rf"{ROOT}_[0-9a-f]+_\d+\.(\w+)", text):
        if name in sys.stdlib_module_names or _is_installed(name):
            return str(name)
    return None


def _is_installed(top: str) -> bool:
    """Whether Python finds a module of this name without the folder, other than a mere folder."""
    if top in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return top in sys.modules
    return spec is not None and spec.origin is not None
