"""Errors of classes that qlab's users write: what they say, and where in the user's own files they come from."""

from __future__ import annotations

import importlib.metadata
import inspect
import linecache
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

from qlab.errors import ConfigError, QlabError

_T = TypeVar("_T")

PLUGIN_GROUP = "qlab.plugins"
"""The entry points by which installed plugins name their classes."""

LONGEST = 300
"""So many characters of what an error says stand before its place; the tag of a run is cut after 500."""

_UNDER_VMAP = (
    "models that train together are evaluated under torch.func.vmap: no random numbers, no item(), no branches or "
    "masks that depend on values; weight with torch.where instead"
)

_NO_MEMORY = re.compile(r"not enough memory|can't allocate memory|out of memory|alloc_cpu", re.IGNORECASE)

_PLACED = re.compile(r"\[in [^\]]+\]|\([^()]+, line \d+\)")
"""A message that says its place already."""

_CELL = re.compile(r"ipykernel_\d+|<ipython-input-|<stdin>")


def is_own(cls: type) -> bool:
    """Whether a class is a user's or a plugin's, and not one of qlab's."""
    return cls.__module__.partition(".")[0] != "qlab"


def method(cls: type, name: str) -> str:
    """A method in a message: "Column.forward (parts.py, line 24)", or without a place where it is qlab's own."""
    where = defined(cls, name)
    return f"{cls.__name__}.{name}" + (f" ({where})" if where else "")


def defined(cls: type, name: str) -> str:
    """Where a user's method is defined: "parts.py, line 24"; empty for qlab's own."""
    found = inspect.unwrap(getattr(cls, name, None) or cls)
    code: Any = getattr(found, "__code__", None)
    own = isinstance(code, CodeType) and _is_own(code.co_filename, getattr(found, "__module__", ""))
    return f"{_shown(code.co_filename)}, line {code.co_firstlineno}" if own else ""


def bracketed(cls: type, *names: str) -> str:
    """Where a user's methods are defined, to follow a message: " [parts.py, line 24]"; empty if all are qlab's own."""
    places = [place for name in names if (place := defined(cls, name))]
    return f" [{', '.join(places)}]" if places else ""


def described(error: BaseException) -> str:
    """An error as a message: its type, what it says, and where in a user's own code it was raised.

    Args:
        error: one that was caught; qlab's own errors are shown without their type.
    """
    text = _text(error)
    first, *more = text.split("\n")
    if "vmap" in first and not isinstance(error, QlabError):
        hint = f" ({_UNDER_VMAP})"
        if len(first) + len(hint) > LONGEST:  # what to do is said before the rest of what PyTorch says
            more = [first, *more]
            first = first[: LONGEST - len(hint) - 3] + "..."
        first, text = first + hint, ""
    where = place(error)
    if not where or isinstance(error, SyntaxError) or (isinstance(error, QlabError) and _PLACED.search(text)):
        return "\n".join([first, *more])
    # A place is said in the first line, which is all that lists of runs show; what is cut off it follows below.
    cut = first if len(first) <= LONGEST else first[: LONGEST - 3] + "..."
    rest = ["..." + first[LONGEST - 3 :]] if cut != first else []
    return "\n".join([f"{cut} [{where}]", *rest, *more])


def place(error: BaseException) -> str:
    """Where in a user's own code an error was raised: "in parts.py, line 24, in forward; layer net.2 (Linear)".

    The innermost frame in a user's file counts: beside an experiment file, of a plugin, a script or a notebook. Empty
    if there is none.
    """
    frames = list(_frames(error))
    own = [(frame, line) for frame, line in frames if _is_own_frame(frame)]
    layer = _layer([frame for frame, _ in frames])
    if not own:
        return layer and f"in {layer}"
    frame, line = own[-1]
    name = frame.f_code.co_name
    where = f"in {_shown(frame.f_code.co_filename)}, line {line}" + ("" if name == "<module>" else f", in {name}")
    return f"{where}; {layer}" if layer else where


def has_own_frame(error: BaseException) -> bool:
    """Whether an error passed through a user's own code."""
    return any(_is_own_frame(frame) for frame, _ in _frames(error))


def _text(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # a user's error class may be broken, too
        said = ""
    if isinstance(error, QlabError):
        return said
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"SystemExit: the code ends the program itself, with sys.exit({error.code!r}); raise an error instead"
    if isinstance(error, MemoryError):
        return f"MemoryError: {said or 'there is not enough memory'}"
    if not said.strip():
        said = _line(error)
    return f"{name}: {said}" if said else name


def _line(error: BaseException) -> str:
    """The line of code that an error without words was raised in."""
    own = [(frame, line) for frame, line in _frames(error) if _is_own_frame(frame)]
    return linecache.getline(own[-1][0].f_code.co_filename, own[-1][1]).strip() if own else ""


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """The frames an error passed through with their lines, the innermost last."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _is_own_frame(frame: FrameType) -> bool:
    return _is_own(frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")))


def _is_own(file: str, module: str) -> bool:
    root = module.partition(".")[0]
    if root == "qlab":
        return False
    if root in _plugins():
        return True
    if file.startswith("<"):
        return root == "__main__" or bool(_CELL.search(file))
    path = Path(file)
    return path.is_absolute() and not any(path.is_relative_to(folder) for folder in _libraries())


@cache
def _plugins() -> frozenset[str]:
    """The packages of installed plugins: their code is a user's, though it lies among the libraries."""
    entries = importlib.metadata.entry_points(group=PLUGIN_GROUP)
    return frozenset(entry.value.partition(":")[0].partition(".")[0] for entry in entries)


@cache
def _libraries() -> tuple[Path, ...]:
    """Folders of code that is nobody's here: Python's own, what is installed, programs, and qlab."""
    paths = sysconfig.get_paths()
    found = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    found |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(sys.executable).parent)}
    # Where Python itself was installed, in a virtual environment too.
    found.add(str(Path(linecache.__file__).parent))
    return (*map(Path, found), Path(__file__).parent)


def _shown(file: str) -> str:
    """A file's name for people, or that it is a cell of a notebook."""
    return "a notebook cell" if _CELL.search(file) else Path(file).name


def _layer(frames: list[FrameType]) -> str:
    """The innermost PyTorch layer that was being called: "layer net.2 (Linear 2 -> 1)"; empty if there is none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    nn = torch.nn
    called = [
        found
        for frame in frames
        if isinstance(found := frame.f_locals.get("self"), nn.Module) and not isinstance(found, type)
    ]
    if len(called) < 2 or called[-1] is called[0]:
        return ""
    root, layer = called[0], called[-1]
    name = next((name for name, part in root.named_modules() if part is layer), "")
    if not name:
        return ""
    return f"layer {name} ({layer_kind(layer)})"


def layer_kind(layer: Any) -> str:
    """A layer's class, and its widths where it says them: "Linear 2 -> 1"."""
    name = type(layer).__name__
    sizes = [getattr(layer, size, None) for size in ("in_features", "out_features")]
    return f"{name} {sizes[0]} -> {sizes[1]}" if all(isinstance(size, int) for size in sizes) else name


def calling(what: str, call: Callable[[], _T], kind: type[QlabError] = ConfigError, *, memory: bool = False) -> _T:
    """What a user's code returns; whatever it raises becomes one of qlab's errors that says where.

    Args:
        what: names what is called, in a message.
        call: calls it.
        kind: the error that others become; qlab's own keep their type.
        memory: whether a lack of memory is left as it is, to who knows what needs it.

    Raises:
        QlabError: it raised something.
    """
    try:
        return call()
    except QlabError as error:
        if not (where := place(error)) or _PLACED.search(str(error)):
            raise
        raise _again(error, f"{error} [{where}]") from error
    except (Exception, SystemExit) as error:
        if memory and is_out_of_memory(error):
            raise
        raise kind(f"{what}: {described(error)}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory, as Python or PyTorch says it."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))


def _again(error: QlabError, message: str) -> QlabError:
    """The same kind of error with another message, where its class is made of a message alone."""
    kind: type[QlabError] = next((base for base in type(error).__mro__ if base.__module__ == "qlab.errors"), QlabError)
    return kind(message)
