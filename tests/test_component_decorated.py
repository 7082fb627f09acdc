"""``@dataclass`` above components of one's own, and what their ``__post_init__`` may do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch

from qlab.component import Component
from qlab.corruptions import Corrupted, Corruption
from qlab.errors import ConfigError
from qlab.fields import PositiveFloat, fields_of
from qlab.landscape import Landscape, LandscapeProbe, ProbeResult
from qlab.tasks import Dataset, Split, Task
from qlab.unlearning import Unlearner, UnlearningData


@dataclass(frozen=True, kw_only=True)
class OwnTask(Task):
    """Four rows.

    Args:
        width: of a row.
    """

    width: int = 2
    kinds: ClassVar[int] = 2

    def load(self) -> Dataset:
        split = Split(torch.ones(4, self.width, dtype=torch.float64), torch.arange(4) % 2)
        return Dataset(split, split)

    def random_features(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, self.width, generator=generator, dtype=torch.float64)


@dataclass(frozen=True)
class OwnCorruption(Corruption):
    """Nothing."""

    strength: PositiveFloat = 1.0

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        return Corrupted(split, self.choose_rows(split, generator), split.y)


@dataclass(frozen=True, kw_only=True, order=True, eq=True)
class OwnUnlearner(Unlearner):
    """Nothing."""

    weight: float = 1.0
    points: tuple[int, ...] = field(default_factory=lambda: (1, 2), repr=False, metadata={"unit": "m"})
    steps = 5

    def loss(self, student: Any, teacher: Any, data: UnlearningData) -> torch.Tensor:
        return self.weight * student(data.retain.x).sum()


@dataclass(frozen=True, kw_only=True)
class FinerUnlearner(OwnUnlearner):
    """Nothing, decorated from decorated."""

    weight = 3
    more: int = 1


class PlainUnlearner(FinerUnlearner):
    """Nothing, plain from decorated."""

    more = 2


@dataclass(frozen=True, kw_only=True)
class OwnProbe(LandscapeProbe):
    """Nothing."""

    factor: float = 1.0

    def compute(self, landscape: Landscape) -> ProbeResult:
        return ProbeResult({"height": self.factor})


EVERY = [OwnTask, OwnCorruption, OwnUnlearner, FinerUnlearner, PlainUnlearner, OwnProbe]


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_decorated_components_are_components(cls: type[Component]) -> None:
    made = cls()
    assert cls(**made.config()) == made
    assert hash(cls(**made.config())) == hash(made)
    assert list(made.config()) == list(fields_of(cls))
    assert {name: item.default for name, item in fields_of(cls).items()}.items() <= {
        name: getattr(made, name) for name in fields_of(cls)
    }.items()
    assert copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == dataclasses.replace(made) == made
    for name in (next(iter(fields_of(cls))), "anything"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, 3)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(made, name)
    with pytest.raises(TypeError):
        cls(1)  # type: ignore[call-arg]


def test_their_values_are_checked_and_their_defaults_inherited() -> None:
    assert OwnUnlearner(weight=2, points=[3]).config() | {} == OwnUnlearner(weight=2.0, points=(3,)).config()
    assert type(OwnUnlearner(weight=2).weight) is float
    with pytest.raises(ConfigError, match=r"OwnCorruption: strength: got -1, accepts a number above 0"):
        OwnCorruption(strength=-1)
    made = PlainUnlearner()
    assert (made.weight, made.points, made.steps, made.more) == (3.0, (1, 2), 5, 2)
    assert "kinds" not in fields_of(OwnTask)


def test_what_is_decorated_means_the_same_trials_as_what_is_not() -> None:
    def define(decorate: Any) -> Component:
        class Own(Unlearner):
            """The same."""

            weight: float = 2.0
            points: tuple[int, ...] = field(default_factory=lambda: (1, 2))

            def loss(self, student: Any, teacher: Any, data: UnlearningData) -> torch.Tensor:
                return student(data.retain.x).sum()

        return decorate(Own)()  # type: ignore[no-any-return]

    plain = define(lambda cls: cls)
    assert plain.config() == define(dataclass(frozen=True, kw_only=True)).config()
    assert plain.config() == define(dataclass(frozen=True)).config()


def test_slots_are_refused_with_the_reason() -> None:
    with pytest.raises(
        ConfigError, match=r"Slotted: components cannot be @dataclass\(slots=True\).*@dataclass\(frozen=True, kw_only"
    ):

        @dataclass(frozen=True, slots=True)
        class Slotted(Component):
            size: int = 1


def test_a_dataclass_that_is_not_frozen_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):

        @dataclass
        class Loose(OwnTask):
            size: int = 1


def test_defaults_that_can_be_changed_are_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"Listed: mutable default <class 'list'>.*write a tuple"):

        class Listed(Component):
            sizes: tuple[int, ...] = [1, 2]  # type: ignore[assignment]

    class Made(Component):
        sizes: list[int] = field(default_factory=list)

    with pytest.raises(ConfigError, match=r"Made: the field sizes is a list\[int\].*write tuple"):
        Made()


def test_a_default_that_is_drawn_anew_is_refused() -> None:
    numbers = iter(range(10))
    with pytest.raises(ConfigError, match=r"Drawn: the default of the field start differs each time .*0.*1"):

        class Drawn(Component):
            start: int = field(default_factory=lambda: next(numbers))


class Mixed:
    """Not a component."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", self.size)  # type: ignore[attr-defined]


class FromMixed(Mixed, Component):
    size: float = 1.0


class Silent(Component):
    """Does not call that of its base."""

    size: PositiveFloat = 1.0
    place: str = "x"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", self.size)
        if self.place == "wrong":
            object.__setattr__(self, "place", 3)


@dataclass(frozen=True, kw_only=True)
class Loud(Silent):
    """Does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "place", self.place.upper())


@pytest.mark.parametrize("cls", [FromMixed, Silent, Loud])
def test_fields_are_checked_whatever_a_post_init_calls(cls: type[Any]) -> None:
    made = cls(size=2)
    assert (type(made.size), type(made.seen)) == (float, float)
    with pytest.raises(ConfigError, match=rf'{cls.__name__}: size: got "2"'):
        cls(size="2")


def test_what_a_post_init_sets_is_checked_too() -> None:
    assert Loud().config()["place"] == "X"
    with pytest.raises(ConfigError, match="Silent: place: got 3, accepts a string"):
        Silent(place="wrong")
