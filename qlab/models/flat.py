"""Where a model's parameters lie in its flat parameter vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FlatParameters(nn.Module):
    """A module whose trainable parameters, in the order of ``named_parameters()``, are one vector ``[P]``."""

    ordered_layers: bool = True
    """Whether :meth:`parameter_layers` lead one after the other from the input to the output."""

    def parameter_layers(self) -> dict[str, Tensor]:
        """Positions of each layer's parameters in the flat parameter vector, by name; one for each parameter tensor."""
        return dict(self._positions())

    def reached_parameters(self) -> Tensor | None:
        """Which parameters the logits of a built model depend on, a mask of the flat vector ``[P]``; None for all.

        The others have derivative zero wherever the model is. Derivatives need not be taken by them.
        """
        return None

    def parameter_filters(self) -> list[Tensor]:
        """Positions of each filter's weights in the flat parameter vector, for filter normalisation.

        A filter is what makes one output of a layer. By default a slice along the first axis of a tensor, as in
        PyTorch's layers. Tensors of one axis are biases and belong to none, unless there are no others.
        """
        positions = self._positions()
        slices = [part for place in positions.values() if place.ndim > 1 for part in place.flatten(1)]
        return slices or [place.reshape(-1) for place in positions.values()]

    def _positions(self) -> dict[str, Tensor]:
        """For each parameter the positions of its elements in the flat parameter vector, in the parameter's shape.

        Frozen ones (``requires_grad_(False)``) are no part of it.
        """
        found: dict[str, Tensor] = {}
        start = 0
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            found[name] = torch.arange(start, start + parameter.numel()).reshape(parameter.shape)
            start += parameter.numel()
        return found
