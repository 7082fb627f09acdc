"""A trained circuit under other noise than it was trained with."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch

from qlab import seeding
from qlab.errors import ConfigError
from qlab.fields import Shots
from qlab.landscape.base import LandscapeProbe
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.landscape.samples import SampleSet
from qlab.models import Model
from qlab.models.chance import Seeded
from qlab.noise import Channel
from qlab.training import metrics


class UnderNoise(LandscapeProbe):
    """Loss and accuracy of the trained weights in the same circuit with other noise.

    What was trained under noise is evaluated without (``noise = []``), what was trained without under noise, or
    either under other channels or strengths. The noise given replaces all that the model was trained with, its readout
    errors included. Nothing is trained again. Models without circuits, such as MLP, are left out.

    Args:
        samples: what loss and accuracy are taken over, by default the validation split.
        noise: the channels, as a model's field ``noise`` says them; ``[]`` is none. A list of strengths is swept.
        shots: each expectation value is the mean of so many outcomes, drawn with the trial's seed; "exact" draws
            nothing.
    """

    formula: ClassVar[str] = "L'(theta) = mean l(z'(theta), y), z' the logit of the circuit with this noise"
    source: ClassVar[str] = "the usual comparison of training with and without noise"

    replaces: ClassVar[tuple[str, ...]] = ("noise", "shots", "gradient")

    samples: SampleSet = "validation"
    noise: tuple[Channel, ...] = ()
    shots: Shots | Literal["exact"] = "exact"

    @property
    def label(self) -> str:
        """The channels with their strengths, and shots if there are any."""
        said = [channel.in_short for channel in self.noise] or ["without noise"]
        return ", ".join(said + ([] if self.shots == "exact" else [f"{self.shots} shots"]))

    def unsuited(self, model: Model) -> str:
        """Models without the field ``noise``."""
        if "noise" in model.field_values():
            return ""
        return f"{type(model).__name__} has no noise to replace: it takes a model with the field noise, as PennyLaneQNN"

    def check_built(self, model: Model) -> None:
        """See the base class: the circuit must have the gates and wires that the channels name."""
        model.with_fields(**self._fields(model))

    def compute(self, landscape: Landscape) -> ProbeResult:
        """Scalars ``landscape_loss`` and ``landscape_accuracy`` under this noise; ``loss_change`` and
        ``accuracy_change``, by how much they are above those of the circuit as it was trained, without shots; and
        ``noise_attenuation``, see :meth:`qlab.models.noisy.NoisyModel.parameter_metrics`, if there is noise.

        Raises:
            ConfigError: the model is not for this probe, or its circuit cannot have the noise.
        """
        moved = landscape.with_fields(**self._fields(landscape.model))
        own_loss, own_accuracy = _measured(landscape)
        loss, accuracy = _measured(moved, sampled=self.shots != "exact")
        scalars = {
            "landscape_loss": loss,
            "landscape_accuracy": accuracy,
            "loss_change": loss - own_loss,
            "accuracy_change": accuracy - own_accuracy,
        }
        weights = {name: part[None] for name, part in moved.named(moved.theta).items()}
        weights |= {name: part.detach()[None] for name, part in moved.model.named_parameters() if name not in weights}
        scalars |= {name: float(value) for name, value in moved.model.parameter_metrics(weights).items()}
        return ProbeResult(scalars)

    def _fields(self, model: Model) -> dict[str, Any]:
        """What changes in a model.

        Raises:
            ConfigError: it has no noise that could.
        """
        if why := self.unsuited(model):
            raise ConfigError(f"UnderNoise: {why}.")
        return {"noise": self.noise, "shots": self.shots, "gradient": "exact"}


@torch.no_grad()
def _measured(landscape: Landscape, *, sampled: bool = False) -> tuple[float, float]:
    """Loss and accuracy at the centre, exact or from the shots of the landscape's model."""
    model = landscape.model
    model.train(sampled)  # models draw outcomes only there
    try:
        with model.drawing_from(Seeded(seeding.generator(landscape.seed, "under noise"))):
            z = landscape.logits(landscape.theta)
    finally:
        model.eval()
    return float(metrics.mean_loss(landscape.criterion, z, landscape.y)), float(metrics.accuracy(z, landscape.y))
