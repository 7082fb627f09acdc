"""Gradients of a model's loss with respect to its input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from qlab.errors import DataError
from qlab.losses import Loss
from qlab.models import Model
from qlab.training import ensemble


def input_gradients(model: Model, parameters: ensemble.Parameters, x: Tensor, y: Tensor, loss: Loss) -> Tensor:
    """The gradient of each row's loss with respect to its features, of every member.

    Of complex features it is d/d(Re) + i d/d(Im).

    Args:
        model: a built model, on the CPU.
        parameters: first axis: member.
        x: features as the task has them, not prepared, ``[n, d]``.
        y: labels ``[n]``.
        loss: of rows.

    Returns:
        Shape ``[members, n, d]``. Costs a gradient for each member.

    Raises:
        DataError: the model's preparation of features, or its device, cannot be differentiated.
    """
    rows = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        prepared = model.prepare(rows)
        if not prepared.requires_grad:
            raise DataError(f"{type(model).__name__} has no gradient with respect to its features.")
        found = []
        for index in range(len(next(iter(parameters.values())))):
            one = {name: value[index].detach() for name, value in parameters.items()}
            z = functional_call(model, one, (prepared,))
            # Rows are evaluated one by one: the gradient of their sum holds that of each.
            total = loss(z, y.to(z.dtype)).sum()
            found.append(torch.autograd.grad(total, rows, retain_graph=True)[0])
    return torch.stack(found)
