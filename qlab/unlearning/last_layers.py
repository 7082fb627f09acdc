"""Forgetting in the last layers, or rows of a circuit, only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qlab.errors import ConfigError
from qlab.fields import PositiveInt
from qlab.models import Model
from qlab.unlearning.finetune import Finetune
from qlab.words import counted


class CFk(Finetune):
    """Fine-tunes the last k layers on the retain set; all others stay as they are.

    The layers are those of the model; for a circuit, its rows, of which the last is nearest to the readout.

    Args:
        k: the number of layers that are changed.
    """

    formula: ClassVar[str] = "L = CE(retain), in the last k layers"
    source: ClassVar[str] = "CF-k of Goel et al., arXiv:2201.06640"

    k: PositiveInt = 1

    def changed_layers(self, layers: Sequence[str]) -> Sequence[str]:
        """The last k."""
        return layers[-self.k :]

    def check_model(self, model: Model) -> None:
        """There must be other layers, which stay.

        Raises:
            ConfigError: there are not.
        """
        name, layers = type(model).__name__, list(model.parameter_layers())
        if not model.ordered_layers:
            raise ConfigError(
                f"{name} has no layers one after the other: all that is trained meets the data "
                "at once. Use a method for the whole model, such as Finetune or Retrain."
            )
        if len(layers) <= self.k:
            raise ConfigError(
                f"k: got {self.k}, and {name} has {counted(len(layers), 'layer')} ({', '.join(layers)}): "
                "none would stay as it is; give fewer, or use Finetune or Retrain."
            )


class EUk(CFk):
    """Reinitialises the last k layers and trains them on the retain set; all others stay as they are.

    Args:
        start_fresh: newly drawn parameters, in the last k layers only.
    """

    formula: ClassVar[str] = "L = CE(retain), in the last k layers, from new parameters there"
    source: ClassVar[str] = "EU-k of Goel et al., arXiv:2201.06640"

    start_fresh: bool = True
