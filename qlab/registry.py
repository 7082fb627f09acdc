"""Finding classes by the names that experiment files use."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from qlab.errors import ConfigError, unknown

KINDS = {
    "task": "qlab.tasks",
    "corruption": "qlab.corruptions",
    "model": "qlab.models",
    "unlearner": "qlab.unlearning",
    "probe": "qlab.landscape",
}
"""The hierarchies an experiment file names classes of, and their packages."""

_BASES = {"probe": "LandscapeProbe"}
"""Base classes that are not named like their kind."""

PLUGIN_GROUP = "qlab.plugins"

_FILE_MODULES = "qlab_experiment_files"
_DIGEST = "__qlab_digest__"


def base_class(kind: str) -> type:
    """The base class of a hierarchy."""
    found: type = getattr(importlib.import_module(KINDS[kind]), _BASES.get(kind, kind.capitalize()))
    return found


def available(kind: str) -> dict[str, type]:
    """Classes of a hierarchy by short name: qlab's own, then those of installed plugins.

    Raises:
        ConfigError: a plugin does not import, or takes the name of another class.
    """
    base = base_class(kind)
    package = importlib.import_module(KINDS[kind])
    found = {name: cls for name in package.__all__ if _is_concrete(cls := getattr(package, name), base)}
    for entry in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        try:
            cls = entry.load()
        except Exception as error:
            raise ConfigError(f'The plugin "{entry.name}" ({entry.value}) does not import: {error}') from error
        if _is_concrete(cls, base):
            if entry.name in found:
                raise ConfigError(
                    f'The plugin "{entry.name}" ({entry.value}) takes the name of a {kind} that exists; rename it.'
                )
            found[entry.name] = cls
    return found


def find(kind: str, name: str, folder: Path | None = None, *, imports: bool = True) -> type:
    """The class that ``name`` means: a short name, or ``"module:Class"``.

    A module is looked for as a file in ``folder`` (where the experiment file lies), then among installed packages.

    Args:
        kind: the hierarchy.
        name: of the class.
        folder: where files are looked for.
        imports: whether modules may be imported: not where the name comes from a store that others write to.

    Raises:
        ConfigError: nothing of that name, or not a class of this hierarchy.
    """
    if ":" in name and not imports:
        raise ConfigError(
            f'{kind} "{name}": names from a store are not imported. Classes of installed plugins (entry points in the '
            f'group "{PLUGIN_GROUP}") are found by their short name.'
        )
    if ":" not in name:
        classes = available(kind)
        if name not in classes:
            raise ConfigError(unknown(kind, name, classes) + ' Or give your own as "module:Class".')
        return classes[name]
    module_name, _, class_name = name.partition(":")
    module = _import(module_name, folder)
    base = base_class(kind)
    cls: Any = getattr(module, class_name, None)
    if not _is_concrete(cls, base):
        choices = [item for item, value in vars(module).items() if _is_concrete(value, base)]
        if inspect.isclass(cls) and issubclass(cls, base):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise ConfigError(f'{kind} "{name}" cannot be used: it does not define {missing}.')
        what = f"{kind} in {module_name}"
        raise ConfigError(unknown(what, class_name, choices))
    found: type = cls
    return found


def make(kind: str, config: Mapping[str, Any]) -> Any:
    """An object as a store describes it: its type, its fields, perhaps a code digest. Nothing is imported for it.

    Raises:
        ConfigError: no such class here, or not such fields.
    """
    fields = {key: value for key, value in config.items() if key not in ("type", "code")}
    return find(kind, str(config["type"]), imports=False)(**fields)


def find_of_any_kind(name: str, folder: Path | None = None) -> tuple[str, type]:
    """The hierarchy and the class that ``"module:Class"`` means, whichever hierarchy it is of.

    Raises:
        ConfigError: see :func:`find`.
    """
    module = vars(_import(name.partition(":")[0], folder))
    wanted = module.get(name.partition(":")[2])
    choices = []
    for kind in KINDS:
        base = base_class(kind)
        if inspect.isclass(wanted) and issubclass(wanted, base):
            return kind, find(kind, name, folder)
        choices += [item for item, value in module.items() if _is_concrete(value, base)]
    raise ConfigError(unknown(f"class in {name.partition(':')[0]}", name.partition(":")[2], choices))


def code_digest(cls: type) -> str | None:
    """First 12 digits of the SHA-256 of the file beside an experiment that a class came from, as it was then.

    None for classes of installed packages.
    """
    if not cls.__module__.startswith(_FILE_MODULES):
        return None
    digest: str = vars(sys.modules[cls.__module__])[_DIGEST]
    return digest


def _is_concrete(cls: object, base: type) -> bool:
    return inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls)


def _import(name: str, folder: Path | None) -> ModuleType:
    path = folder / f"{name}.py" if folder is not None else None
    try:
        if path is not None and path.is_file():
            return _import_file(path.resolve())
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.split(".")[0] == error.name.split(".")[0]:
            beside = f" (no {path.name} in {path.parent} either)" if path is not None else ""
            raise ConfigError(f'There is no module "{name}"{beside}.') from None
        raise ConfigError(f'The module "{name}" does not import: {error}') from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f'The module "{name}" does not import: {type(error).__name__}: {error}') from error


def _import_file(path: Path) -> ModuleType:
    """The module in a file beside an experiment. An edited file is another module, with classes of its own."""
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()[:12]
    place = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"{_FILE_MODULES}_{path.stem}_{place}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    vars(module)[_DIGEST] = digest
    sys.modules[name] = module  # dataclasses and type hints look a class's module up there
    try:
        # Compiled from what was read: Python's own cache of compiled files tells edits by size and second only.
        exec(compile(source, str(path), "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
