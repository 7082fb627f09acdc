"""Finding classes by the names that experiment files use."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.metadata
import inspect
import sys
import traceback
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from qlab.beside import Shelf, origin, plainly, shadowing, shelf_of
from qlab.component import DECORATOR, Component, called
from qlab.errors import ConfigError, QlabError, unknown
from qlab.fields import Field, fields_of
from qlab.own_code import PLUGIN_GROUP as PLUGIN_GROUP
from qlab.source_code import code_form

KINDS = {
    "task": "qlab.tasks",
    "corruption": "qlab.corruptions",
    "model": "qlab.models",
    "loss": "qlab.losses",
    "channel": "qlab.noise",
    "unlearner": "qlab.unlearning",
    "probe": "qlab.landscape",
    "metric": "qlab.metrics",
}
"""The hierarchies an experiment file names classes of, and their packages."""

_BASES = {"probe": ("LandscapeProbe",), "model": ("Model", "Estimator")}
"""Base classes, where they are not one that is named like its kind."""

_ADAPTERS = {"model": "qlab.models.scikit_learn"}
"""Modules that make something of a kind of other libraries' classes: ``adapted(name, cls)``."""

_TRUSTED = {"model": ("sklearn.",)}
"""Beginnings of names that are imported even when they come from a store: of libraries that qlab depends on."""

_named: weakref.WeakKeyDictionary[type, dict[str, tuple[Shelf, str]]] = weakref.WeakKeyDictionary()
"""The modules beside an experiment in which classes were found, by the names that experiment files give them."""

_digests: weakref.WeakKeyDictionary[type, dict[str, str | None]] = weakref.WeakKeyDictionary()
"""Digests of classes, which keep the code that they were made of, by the same names."""


def base_classes(kind: str) -> tuple[type, ...]:
    """The base classes of a hierarchy: one, but models have gradients or not."""
    package = importlib.import_module(KINDS[kind])
    return tuple(getattr(package, name) for name in _BASES.get(kind, (kind.capitalize(),)))


def base_class(kind: str) -> type:
    """The base class of a hierarchy, of models that of those with gradients."""
    return base_classes(kind)[0]


def tag_of(kind: str) -> str:
    """The key by which tables of a kind name their class."""
    return str(getattr(base_class(kind), "tag", "type"))


def available(kind: str) -> dict[str, type]:
    """Classes of a hierarchy by short name: qlab's own, then those of installed plugins.

    Raises:
        ConfigError: a plugin cannot be imported, or has the name of another class.
    """
    base = base_classes(kind)
    package = importlib.import_module(KINDS[kind])
    found = {name: cls for name in package.__all__ if _is_concrete(cls := getattr(package, name), base)}
    for entry in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        try:
            cls = entry.load()
        except Exception as error:
            raise ConfigError(f'The plugin "{entry.name}" ({entry.value}) cannot be imported: {error}') from error
        if _is_concrete(cls, base):
            if entry.name in found:
                raise ConfigError(
                    f'The plugin "{entry.name}" ({entry.value}) has the name of an existing {kind}; rename it.'
                )
            found[entry.name] = cls
    return found


def find(kind: str, name: str, folder: Path | None = None, *, imports: bool = True) -> type:
    """The class that ``name`` means: a short name, or ``"module:Class"``.

    A module is looked for in ``folder`` (where the experiment file lies), as a file or in a package, then among
    installed ones.

    Args:
        kind: the hierarchy.
        name: of the class.
        folder: where files are looked for.
        imports: whether modules may be imported: not where the name comes from a store that others write to.

    Raises:
        ConfigError: nothing of that name, or not a class of this hierarchy.
    """
    if ":" in name and not imports and not name.startswith(_TRUSTED.get(kind, ())):
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
    base = base_classes(kind)
    cls: Any = getattr(module, class_name, None)
    if not _is_concrete(cls, base) and (other := _adapted(kind, name, cls)) is not None:
        cls = other
    if not _is_concrete(cls, base):
        choices = [item for item, value in vars(module).items() if _is_concrete(value, base)]
        choices += _adaptable(kind, module)
        if inspect.isclass(cls) and issubclass(cls, base):
            names = sorted(getattr(cls, "__abstractmethods__", ()))
            missing = ", ".join(f"{name}{_alternative(cls, name)}" for name in names)
            raise ConfigError(f'{kind} "{name}" cannot be used: it does not define {missing}.')
        what = f"{kind} in {module_name}"
        raise ConfigError(unknown(what, class_name, choices))
    found: type = cls
    if kind == "model" and issubclass(found, base[0]) and dataclasses.is_dataclass(found):
        raise ConfigError(
            f'model "{name}" cannot be used: a model cannot be a dataclass. Leave the decorator out and write the '
            "fields as keyword arguments: def __init__(self, *, depth: int = 4, **fields): super().__init__(**fields)."
        )
    if (here := origin(module.__name__)) is not None:
        _named.setdefault(found, {})[module_name] = here
    return found


def make(kind: str, config: Mapping[str, Any], folder: Path | None = None) -> Any:
    """An object as a store describes it: its type, its fields, perhaps digests.

    Args:
        kind: the hierarchy.
        config: from a store.
        folder: where classes beside the experiment file are; without it nothing is imported.

    Raises:
        ConfigError: no such class here, or not such fields.
    """
    tag = tag_of(kind)
    added = (tag, "code", "files") if kind == "task" else (tag, "code")
    fields = {key: value for key, value in config.items() if key not in added}
    cls = find(kind, str(config[tag]), folder, imports=folder is not None)
    return cls(**restored(cls, fields, folder))


def restored(cls: type, config: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """The values of a class's fields as a store describes them: components in place of their tables.

    Args:
        cls: the class.
        config: values by field.
        folder: where the files of classes are looked for; without it nothing is imported.

    Raises:
        ConfigError: a component's class is not here, or does not have such fields.
    """
    fields = fields_of(cls)
    return {name: _restored(fields[name], value, folder) if name in fields else value for name, value in config.items()}


def _restored(field: Field, value: Any, folder: Path | None) -> Any:
    if field.nested is None:
        return value
    if isinstance(value, list | tuple):
        return tuple(_restored(field, item, folder) for item in value)
    if not isinstance(value, Mapping):
        return value
    made: Component = make(field.nested.kind, value, folder)
    return called(made, str(value[field.nested.tag]))


def lies_in(folder: Path, name: str) -> bool:
    """Whether a folder has the file of a module, named as experiment files do: in a package or a folder below, too."""
    place, _, module = name.rpartition("/")
    return all(module.split(".")) and Shelf.file_in(folder / place, module) is not None


def find_of_any_kind(name: str, folder: Path | None = None) -> tuple[str, type]:
    """The hierarchy and the class that ``"module:Class"`` means, whichever hierarchy it is of.

    Raises:
        ConfigError: see :func:`find`.
    """
    module = vars(_import(name.partition(":")[0], folder))
    wanted = module.get(name.partition(":")[2])
    choices = []
    for kind in KINDS:
        base = base_classes(kind)
        if inspect.isclass(wanted) and (issubclass(wanted, base) or _adapted(kind, name, wanted) is not None):
            return kind, find(kind, name, folder)
        choices += [item for item, value in module.items() if _is_concrete(value, base)]
        choices += _adaptable(kind, sys.modules.get(name.partition(":")[0]))
    raise ConfigError(unknown(f"class in {name.partition(':')[0]}", name.partition(":")[2], choices))


def code_digest(cls: type, name: str = "") -> str | None:
    """First 12 digits of the SHA-256 of the code that a class from a file beside an experiment is made of.

    That is the file it was found in, those of its base classes, and everything that they import from the folder, as it
    was then. Comments, docstrings and layout do not count. None for classes of installed packages.

    Args:
        cls: the class.
        name: as an experiment file names it.
    """
    known = _digests.setdefault(cls, {})
    if name not in known:
        known[name] = _digest(cls, name.partition(":")[0])
    return known[name]


def _digest(cls: type, module_name: str) -> str | None:
    places = {here for base in cls.__mro__ if (here := origin(base.__module__)) is not None}
    if module_name in _named.get(cls, {}) and not _is_importable(cls):  # else an installed class under another name
        places.add(_named[cls][module_name])
    sources = {item: source for shelf, module in places for item, source in shelf.code(module).items()}
    if not sources:
        return None
    sha = hashlib.sha256()
    for item, source in sorted(sources.items()):
        sha.update(f"{item} {code_form(source)}\n".encode())
    return sha.hexdigest()[:12]


def _is_importable(cls: type) -> bool:
    """Whether a class is found under its own name among installed modules."""
    found: Any = None if origin(cls.__module__) else sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls


def _adapted(kind: str, name: str, cls: object) -> type | None:
    """What becomes of another library's class, see :data:`_ADAPTERS`; None if nothing does."""
    if kind not in _ADAPTERS or not inspect.isclass(cls) or "sklearn" not in sys.modules:
        return None  # who has no class of scikit-learn has not imported it
    found: type | None = importlib.import_module(_ADAPTERS[kind]).adapted(name, cls)
    return found


def _adaptable(kind: str, module: ModuleType | None) -> list[str]:
    """The names of other libraries' classes in a module that something of a kind is made of."""
    if kind not in _ADAPTERS or module is None or "sklearn" not in sys.modules:
        return []
    return [name for name, _ in importlib.import_module(_ADAPTERS[kind]).classifiers(module)]


def _alternative(cls: type, name: str) -> str:
    """What may be defined instead of an abstract method, in words."""
    other = getattr(getattr(cls, name), "alternative", "")
    return f" or {other}" if other else ""


def _is_concrete(cls: object, base: type | tuple[type, ...]) -> bool:
    return inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls)


def _import(name: str, folder: Path | None) -> ModuleType:
    try:
        if folder is not None and (found := _beside(name, folder)) is not None:
            shelf, module = found
            return shelf.load(module)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.split(".")[0] == error.name.split(".")[0]:
            file = name.replace(".", "/") + ".py"
            beside = f" (no {file} in {folder} either)" if folder is not None else ""
            raise ConfigError(f'There is no module "{name}"{beside}.') from None
        hint = ""
        if folder is not None and error.name is not None and Shelf.file_in(folder, error.name) is not None:
            hint = f" It is in {folder}: import it with an import statement, not with import_module."
        raise ConfigError(f'The module "{name}" cannot be imported: {error}{_place(error, folder)}{hint}') from error
    except (Exception, SystemExit) as error:
        said = str(error) if isinstance(error, QlabError) else f"{type(error).__name__}: {error}"
        message = (
            f'The module "{name}" cannot be imported: {plainly(said)}{_place(error, folder)}{_remedy(said, folder)}'
        )
        raise ConfigError(message) from error


def _beside(name: str, folder: Path) -> tuple[Shelf, str] | None:
    """Where a module lies in a folder, and its dotted name there; None if it does not."""
    if not lies_in(folder, name):
        return None
    place, _, name = name.rpartition("/")
    return shelf_of(folder / place, name), name


def _place(error: BaseException, folder: Path | None) -> str:
    """The last line of the folder's code that an error passed; syntax errors say it themselves."""
    if folder is None or isinstance(error, SyntaxError):
        return ""
    inside = folder.resolve()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if inside in Path(frame.filename).parents:
            return f" ({frame.filename}, line {frame.lineno})"
    return ""


def _remedy(said: str, folder: Path | None) -> str:
    """What to do about some errors."""
    if "non-frozen dataclass from a frozen" in said or "Cannot overwrite attribute" in said:
        return f" Components are frozen dataclasses by themselves: {DECORATOR}."
    if folder is not None and (name := shadowing(said)):
        return f" {name}.py in {folder} is found before the installed module {name}; rename it if you mean that one."
    return ""
