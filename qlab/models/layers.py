"""PyTorch's layers that a model must not have, and which of its layers is a random one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from qlab import own_code
from qlab.errors import ConfigError


def check_layers(model: nn.Module) -> None:
    """Looks for layers that are random in training, or that mix the rows of a batch.

    Raises:
        ConfigError: there is one; the message names it and what works.
    """
    where = own_code.method(type(model), "setup")
    for name, layer in model.named_modules():
        kind = type(layer).__name__
        if (rate := _drop_rate(layer)) > 0.0:
            raise ConfigError(
                f"{where}: the layer {name} is {kind} with dropout {rate:g}. PyTorch's dropout is not supported: it "
                "draws random numbers that do not come from a trial's seed, so that the same seed would give other "
                "results in an ensemble of another size. Leave it out or set it to 0, and write in forward "
                f"x = self.drop_out(x, {rate:g}), whose numbers do."
            )
        if isinstance(layer, _BatchNorm):
            size = layer.num_features
            raise ConfigError(
                f"{where}: the layer {name} is {kind}. Batch statistics are not supported: a row's logit would depend "
                "on the other rows of its batch, and members of an ensemble share the running averages. Use "
                f"nn.LayerNorm({size}, dtype=self.dtype), which works on each row by itself."
            )
        if isinstance(layer, _InstanceNorm) and layer.track_running_stats:
            raise ConfigError(
                f"{where}: the layer {name} is {kind} with running statistics, which members of an ensemble would "
                "share; set track_running_stats=False, or use nn.LayerNorm."
            )


def _drop_rate(layer: nn.Module) -> float:
    if isinstance(layer, _DropoutNd):
        return float(layer.p)
    if isinstance(layer, nn.MultiheadAttention | nn.RNNBase):
        return float(layer.dropout)
    return 0.0


def random_layer(model: nn.Module, call: Callable[[], Any]) -> str:
    """The first layer that gives different outputs for the same inputs in two calls: "net.2 (GaussianNoise)".

    Args:
        model: has the layers.
        call: calls it, always with the same input.

    Returns:
        Empty if no layer does: the difference arises in ``forward`` itself.
    """
    seen: list[dict[str, tuple[list[Tensor], Tensor]]] = []
    for _ in range(2):
        outputs: dict[str, tuple[list[Tensor], Tensor]] = {}

        def keep(name: str, given: Any, made: Any, outputs: dict[str, tuple[list[Tensor], Tensor]] = outputs) -> None:
            if isinstance(made, Tensor):
                inputs = [part.detach().clone() for part in given if isinstance(part, Tensor)]
                outputs.setdefault(name, (inputs, made.detach().clone()))

        hooks = [
            layer.register_forward_hook(lambda layer, given, made, name=name: keep(name, given, made))
            for name, layer in model.named_modules()
            if name and not any(True for _ in layer.children())
        ]
        try:
            call()
        finally:
            for hook in hooks:
                hook.remove()
        seen.append(outputs)
    first, second = seen
    for name, (inputs, output) in first.items():
        if name not in second or len(second[name][0]) != len(inputs):
            continue
        same = all(torch.equal(one, other) for one, other in zip(inputs, second[name][0], strict=True))
        if same and not torch.equal(output, second[name][1]):
            return f"{name} ({own_code.layer_kind(model.get_submodule(name))})"
    return ""
