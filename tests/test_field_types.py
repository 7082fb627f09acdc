"""Types of fields: what a TOML file and the store hold is taken, the rest is refused with what to write instead."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NewType, Optional, TypedDict, TypeVar, Union

import annotated_types as at
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typing_extensions import TypeAliasType

from qlab.component import Component
from qlab.errors import ConfigError
from qlab.field_types import unheld
from qlab.fields import Ratio, fields_of
from qlab.models import MLP, Model
from qlab.tasks.xxz import Grid

Sizes = TypeAliasType("Sizes", tuple[Annotated[int, at.Gt(0)], ...])  # type Sizes = ... from Python 3.12 on
Item = TypeVar("Item")
Named = TypeAliasType("Named", dict[str, Item], type_params=(Item,))


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Options(TypedDict):
    depth: int


class Settings:
    """Of anything."""


@pytest.mark.parametrize(
    "hint",
    [
        *(int, float, bool, str, Ratio, Grid, None),
        *(int | None, Optional[float], Union[int, str], Literal["a", "b"], Literal[1, True]),  # noqa: UP007, UP045
        *(tuple[int, ...], tuple[int, str], tuple[tuple[float, ...], ...], tuple[()], tuple[int, ...] | str),
        *(Annotated[tuple[float, ...], at.MinLen(1)], Final[float], NewType("Metres", float)),
    ],
    ids=str,
)
def test_what_files_and_the_store_hold_is_taken(hint: Any) -> None:
    assert unheld(hint) is None


def test_a_name_for_a_type_is_that_type() -> None:
    class Aliased(Component):
        """Sizes under a name."""

        sizes: Sizes = (1, 2)

    found = fields_of(Aliased)["sizes"]
    assert found.accepts == "a list, each value an integer above 0"
    assert found.check([3, 4]) == (3, 4)
    with pytest.raises(ConfigError, match=r"sizes: got \[0\], accepts a list"):
        found.check([0])


@pytest.mark.parametrize(
    ("hint", "instead"),
    [
        (list[float], "a list[float], which could be changed after it was checked; for a list write tuple[float, ...]"),
        (dict[str, float], "write a field for each of its keys"),
        (Mapping[str, int], "write a field for each of its keys"),
        (Options, "write a field for each of its keys"),
        (set, "write tuple[float, ...]"),
        (frozenset[int], "write tuple[float, ...]"),
        (Sequence[float], "write tuple[float, ...]"),
        (tuple, "write what is in it: tuple[float, ...]"),
        (tuple[Any, ...], "write int, float, bool, str"),
        (Any, "write int, float, bool, str"),
        (object, "write int, float, bool, str"),
        (torch.Tensor, "write tuple[float, ...], or the path of a file"),
        (np.ndarray, "write tuple[float, ...], or the path of a file"),
        (Named[float], "write a field for each of its keys"),
        (NDArray[np.float64], "write tuple[float, ...], or the path of a file"),
        (np.float64, "write float"),
        (np.int32, "write int"),
        (torch.dtype, 'write its name, Literal["float32", "float64"]'),
        (torch.Generator, "write tuple[float, ...], or the path"),
        (Callable[[float], float], 'name the choices, Literal["sum", "mean"]'),
        (Settings, "write a field for each of its settings"),
        (type[Settings], "write a field for each of its settings"),
        (complex, "write two numbers: tuple[float, float]"),
        (bytes, "write a str"),
        (Path, "write a str, and turn it into a Path where it is used"),
        (datetime.date, "write a str"),
        (datetime.timedelta, "write a number of seconds: float"),
        (decimal.Decimal, "write a field for each of its settings"),
        (Colour, 'write Literal["red", "blue"]'),
        (Level, 'write Literal["LOW", "HIGH"]'),
        (Literal[Colour.RED], "write strings in Literal"),
        (int | list[int], "write tuple[float, ...]"),
        (tuple[complex, ...], "write two numbers"),
        (Annotated[Path, "of a file"], "write a str"),
    ],
    ids=str,
)
def test_what_they_do_not_hold_is_refused_with_what_to_write(hint: Any, instead: str) -> None:
    owner = type("Owner", (Component,), {"__annotations__": {"given": hint}, "__doc__": "A component."})
    for use in (lambda: fields_of(owner), lambda: owner(given=1)):
        with pytest.raises(ConfigError) as raised:
            use()
        assert str(raised.value).startswith("Owner: the field given is a")
        assert instead in str(raised.value)


def module_of(tmp_path: Path, code: str) -> Any:
    """A module from a file."""
    import sys

    file = tmp_path / "own_types.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("own_types", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_types"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules.pop("own_types")
    sys.modules["own_types"] = module
    return module


HEADER = "from __future__ import annotations\nimport torch\nfrom qlab import LabelFlip, MLP\n\n\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            'class Own(LabelFlip):\n    """One."""\n\n    size: int = 1\n    weights: torch.Tensor = None\n',
            r"Own: the field weights is a Tensor, which neither .* \(.*own_types\.py, line 10\)\.",
        ),
        (
            "class Own(LabelFlip):\n    good: int = 1\n    size: Nothing = 1\n",
            r"Own: the type of the field size cannot be read: Nothing: name 'Nothing' is not defined: import it .*"
            r"\(.*own_types\.py, line 8\)\.",
        ),
        (
            "class Own(MLP):\n    def __init__(self, *, a: int = 1,\n        size: torch.Nothing = 1, **fields):\n"
            "        super().__init__(**fields)\n",
            r"Own: the type of the field size cannot be read: torch\.Nothing: .*\(.*own_types\.py, line 8\)\.",
        ),
        (
            "class Own(MLP):\n    def __init__(self, *, table: dict = None, **fields):\n"
            "        super().__init__(**fields)\n",
            r"Own: the field table is a dict, .*\(.*own_types\.py, line 7\)\.",
        ),
    ],
    ids=["a tensor", "not importable", "not there, of a model", "a dict, of a model"],
)
def test_the_message_says_where_the_field_is_written(tmp_path: Path, code: str, message: str) -> None:
    own = module_of(tmp_path, HEADER + code).Own
    with pytest.raises(ConfigError, match=message):
        fields_of(own)


def test_a_type_that_cannot_be_read_but_is_no_fields_does_not_matter(tmp_path: Path) -> None:
    code = "class Own(MLP):\n    def __init__(self, *, a: int = 1, **fields: Nothing) -> Nowhere:\n        pass\n"
    assert fields_of(module_of(tmp_path, HEADER + code).Own)["a"].annotation is int


class Untyped(MLP):
    """Keyword arguments without annotations."""

    def __init__(self, *, width=8, rate=0.5, name="x", flag=True, **fields):
        super().__init__(**fields)


def test_keyword_arguments_without_annotation_are_of_the_type_of_their_default() -> None:
    made = Untyped(width=3, rate=1, name="y", flag=False).config()
    assert {name: made[name] for name in ("width", "rate", "name", "flag")} == {
        "width": 3,
        "rate": 1.0,
        "name": "y",
        "flag": False,
    }
    assert type(Untyped(width=3).config()["width"]) is int
    assert Untyped(width=0.5).config()["width"] == 0.5
    with pytest.raises(ConfigError, match=r'width: got "wide", accepts an integer or a number'):
        Untyped(width="wide")


@pytest.mark.parametrize(
    ("default", "said"), [(None, "the default None"), ((), r"the default \(\)"), ({}, r"the default \{\}"), (..., "no")]
)
def test_defaults_that_say_no_type_are_refused_with_what_to_write(default: Any, said: str) -> None:
    if default is ...:

        class Own(MLP):
            def __init__(self, *, size, **fields):
                super().__init__(**fields)
    else:

        class Own(MLP):  # type: ignore[no-redef]
            def __init__(self, *, size=default, **fields):
                super().__init__(**fields)

    with pytest.raises(ConfigError, match=rf"Own: the field size has no type and {said}.*write .*size: float = 1\.0"):
        fields_of(Own)


def test_values_that_no_trial_would_remember_are_refused() -> None:
    class Passing(Component):
        start: InitVar[int] = 0

    class Computed(Component):
        twice: int = field(init=False, default=2)

    for cls, message in ((Passing, "start is an InitVar"), (Computed, "twice cannot be set.*write a property")):
        with pytest.raises(ConfigError, match=message):
            fields_of(cls)
        with pytest.raises(ConfigError, match=message):
            cls()


def test_every_class_of_qlab_passes() -> None:
    from qlab.registry import KINDS, available

    for kind in KINDS:
        for cls in available(kind).values():
            assert all(unheld(item.annotation) is None for item in fields_of(cls).values())
            assert not (issubclass(cls, Model) and dataclasses.is_dataclass(cls))
