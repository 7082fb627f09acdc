"""What a probe is: something to measure of a landscape."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Final

import annotated_types as at

from qlab.component import Component
from qlab.fields import AbsentMeans, NonNegativeInt
from qlab.landscape.checks import checked
from qlab.landscape.landscape import TRAINED, Landscape
from qlab.landscape.result import ProbeResult
from qlab.landscape.samples import SampleSet
from qlab.models import Model

LAST: Final = -1
"""The step of an unlearner that stands for its last one."""

Step = Annotated[int, at.Ge(LAST)]


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a probe must find in a landscape.

    Args:
        points: names of points other than the trained one.
        trajectory: whether the points passed during training.
        reference: whether the landscape of the same model trained on clean data.
    """

    points: tuple[str, ...] = ()
    trajectory: bool = False
    reference: bool = False


class LandscapeProbe(Component):
    """Something to measure of a landscape.

    Override :meth:`compute`, declare fields, and :meth:`needs` if the landscape must have other points.

    Args:
        samples: what the loss is taken over: the training split as trained on, its clean rows, its corrupted rows with
            either label, or the validation split.
        n_samples: how many of them, drawn with the trial's seed; 0 takes all.
        at: the point to measure: "trained"; in experiment files also "initial", "clean" (the same seed trained on
            clean data), "oracle", or the name of an unlearner of the file.
        step: for at = an unlearner: the point after so many of its steps, 0 before the first; -1 after the last. A list
            of steps follows what is measured along unlearning. The method is applied once more to come there.
    """

    kind: ClassVar[str] = "probe"

    replaces: ClassVar[tuple[str, ...]] = ()
    """Fields of the model that :meth:`check_built` does not depend on, as the probe has values of its own."""

    samples: SampleSet = "train"
    n_samples: NonNegativeInt = 0
    at: str = TRAINED
    step: Annotated[Step, AbsentMeans(LAST)] = LAST

    def needs(self) -> Needs:
        """What the landscape must have."""
        return Needs()

    def unsuited(self, model: Model) -> str:
        """Why a model is not for this probe, in words; "" if it is. An experiment leaves out what is not.

        Args:
            model: not built.
        """
        return ""

    def check_built(self, model: Model) -> None:
        """Looks at a model before it is trained; by default there is nothing to look at.

        Args:
            model: built, its parameters not drawn.

        Raises:
            ConfigError: the probe could not be taken of it.
        """

    @property
    def label(self) -> str:
        """What tells this probe from others of its class, in a few words: for tables and figures."""
        return ""

    @property
    def needed_points(self) -> tuple[str, ...]:
        """Names of all points, other than the trained one, that the landscape must have."""
        return tuple(dict.fromkeys(name for name in (self.at, *self.needs().points) if name != TRAINED))

    @abstractmethod
    def compute(self, landscape: Landscape) -> ProbeResult:
        """What is measured; only scalars, arrays, view and what to say about them need to be filled in.

        Args:
            landscape: already on the probe's samples and centred on the probe's point.
        """

    def measure(self, landscape: Landscape) -> ProbeResult:
        """The result for a landscape, on the probe's samples and at its point, with its provenance.

        Raises:
            ConfigError: the landscape has no such point, or a scalar has a name that cannot be logged.
            DataError: it has no such samples, or the points make no sense.
        """
        landscape = landscape.on(self.samples, self.n_samples).at(self.at)
        found = self.compute(landscape)
        found = checked(type(self), found)
        about: dict[str, Any] = {**landscape.about, **found.about}
        return dataclasses.replace(found, about=about, probe=type(self).__name__, config=self.config())
