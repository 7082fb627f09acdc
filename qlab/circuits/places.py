"""Where in the user's own code something happened."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

_PACKAGE = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_PYTHON = tuple({f"{Path(sysconfig.get_path(name)).resolve()}{os.sep}" for name in ("stdlib", "platstdlib")})
_INSTALLED = ("site-packages", "dist-packages")
_LIBRARIES = {"pennylane", "torch", "numpy", "scipy", "autoray", "autograd", "networkx"}

_BRANCHES = tuple(str(Path("pennylane", part)) for part in ("ops/op_math/condition.py", "control_flow"))
"""Of PennyLane's, where a circuit's structure is made to depend on values."""


def is_own(file: str) -> bool:
    """Whether a file is the user's, or that of an installed class of circuits: no library's, and not Python's."""
    if file.startswith((_PACKAGE, "<frozen", "<__array_function__")):
        return False
    parts = Path(file).parts
    for installed in _INSTALLED:
        if installed in parts:
            return parts[parts.index(installed) + 1] not in _LIBRARIES
    return not file.startswith(_PYTHON)


def is_pennylanes(error: BaseException) -> bool:
    """Whether an error came up in PennyLane's code, and not where it branches on behalf of the user."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return place_of_error(error)[1] == "pennylane" and not any(part in file for file in files for part in _BRANCHES)


def place_of_error(error: BaseException) -> tuple[str, str]:
    """The user's line that led to an error, and the package whose code raised it ("" for the user's own line).

    Python without source, such as PyTorch's, raises in the line that calls it.
    """
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [number for number, (file, _) in enumerate(frames) if is_own(file)]
    ours = [number for number, (file, _) in enumerate(frames) if file.startswith(_PACKAGE)]
    beyond = frames[max([-1, *own, *ours]) + 1 :]
    return _named(*frames[own[-1]]) if own else "", _packages(file for file, _ in beyond)


def operation_of_error(error: BaseException) -> str:
    """The PennyLane operation in whose code an error came up; "" if there is none."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [number for number, frame in enumerate(frames) if is_own(frame.f_code.co_filename)]
    for frame in frames[own[-1] + 1 if own else 0 :]:
        for value in (frame.f_locals.get("self"), frame.f_locals.get("cls")):
            kind = value if isinstance(value, type) else type(value)
            bases = {base.__name__ for base in kind.__mro__ if base.__module__.startswith("pennylane")}
            if "Operator" in bases:
                return kind.__name__
    return ""


def place_of_caller() -> str:
    """The user's line that is being executed, the innermost of them; "" if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_own(frame.f_code.co_filename):
            return _named(frame.f_code.co_filename, frame.f_lineno)
        if frame.f_code.co_name == "queue_operations":  # whoever asked for the recording is not to blame
            return ""
        frame = frame.f_back
    return ""


def place_of_function(function: Any) -> str:
    """Where a function begins; "" for one that is not the user's."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return _named(code.co_filename, code.co_firstlineno) if code is not None and is_own(code.co_filename) else ""


def at(place: str) -> str:
    """A place as the beginning of a message."""
    return f"{place}: " if place else ""


def _named(file: str, line: int) -> str:
    path, here = Path(file), Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else file}, line {line}"


def _packages(files: Any) -> str:
    """The first of some packages that a reader would hold responsible."""
    found = [name for file in files for name in ("pennylane", "torch", "numpy") if name in Path(file).parts]
    return found[0] if found else ""
