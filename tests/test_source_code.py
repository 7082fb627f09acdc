"""What of a file counts: what it computes."""

from __future__ import annotations

import pytest

from qlab.source_code import Imported, code_form, imports_of

CODE = '''
import math
X = {"a": [1, 2.5], **{}}


def f(x, *, y=None):
    """About f."""
    if x:
        return f"{x!r:>3}" + "tail"
    return None


class A:
    """About A."""

    z: int = 3
'''

SAME = {
    "a comment": CODE.replace("X =", "# about X\nX ="),
    "a docstring": CODE.replace("About f.", "All about f."),
    "no docstring": CODE.replace('    """About A."""\n', ""),
    "a docstring of the module": '"""What this is."""\n' + CODE,
    "quotes": CODE.replace('"a"', "'a'"),
    "layout": CODE.replace("[1, 2.5]", "[\n        1,\n        2.5,\n    ]"),
    "brackets": CODE.replace("return None", "return (None)"),
    "line ends": CODE.replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + CODE,
}

OTHER = {
    "a number": CODE.replace("2.5", "2.75"),
    "its type": CODE.replace("[1,", "[1.0,"),
    "a string": CODE.replace('"a"', '"b"'),
    "a name": CODE.replace("z:", "zz:"),
    "a type": CODE.replace("z: int", "z: float"),
    "a default": CODE.replace("y=None", "y=0"),
    "an operator": CODE.replace("+", "*"),
    "a condition": CODE.replace("if x", "if not x"),
    "an import": CODE.replace("math", "cmath"),
    "the order": CODE.replace("1, 2.5", "2.5, 1"),
    "a string that is no docstring": CODE.replace('"tail"', '"tails"'),
    "a format": CODE.replace("!r", "!s"),
    "true for one": CODE.replace("[1,", "[True,"),
    "bytes": CODE.replace('"a"', 'b"a"'),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME.keys())
def test_comments_docstrings_and_layout_do_not_count(text: str) -> None:
    assert code_form(text.encode()) == code_form(CODE.encode())


@pytest.mark.parametrize("text", OTHER.values(), ids=OTHER.keys())
def test_everything_else_counts(text: str) -> None:
    assert code_form(text.encode()) != code_form(CODE.encode())


def test_the_form_is_the_same_in_every_process() -> None:
    # Finished trials of own classes are found by it: were it to change, they would be trained again.
    assert code_form(CODE.encode())[:16] == "a11dd1f320c095fe"


@pytest.mark.parametrize("source", [b"x = (\n", b"\xff\xfe", b"x = 1\0", b"x = " + b"(" * 5000, b"x = " + b"9" * 5000])
def test_whatever_is_in_a_file_has_a_form(source: bytes) -> None:
    assert len(code_form(source)) == 64
    assert code_form(source) != code_form(source + b" ") or source.endswith(b"9")
    assert imports_of(source) == ()


def test_imports_are_found_wherever_they_are() -> None:
    source = b"""
import a, b.c as d
from e import f, g
from .h import *
from .. import i
try:
    import j
except ImportError:
    pass
def f():
    import k
    __import__("l")
    importlib.import_module(".m", __package__)
"""
    assert set(imports_of(source)) == {
        *(Imported(name) for name in ("a", "b.c", "j", "k", "l")),
        Imported("e", ("f", "g")),
        Imported("h", ("*",), 1),
        Imported("", ("i",), 2),
        Imported("m", level=1),
    }
