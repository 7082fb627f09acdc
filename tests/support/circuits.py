"""Small circuits with weights that are not zero, and states for them."""

from __future__ import annotations

from typing import TypeVar

import torch

from qlab.models import Features, Model

AnyModel = TypeVar("AnyModel", bound=Model)


def weighted(model: AnyModel) -> AnyModel:
    """A built model with normal weights: those of each parameter from a seed of its own, 0, 1, ..."""
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            generator = torch.Generator().manual_seed(number)
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def on_qubits(n: int, model: AnyModel) -> AnyModel:
    """A model for states of n qubits, :func:`weighted`."""
    return weighted(model.build(Features(2**n, True, torch.ones(2**n, dtype=torch.bool))))


def random_states(rows: int, n: int) -> torch.Tensor:
    """Normalised states of n qubits, ``[rows, 2^n]``, always the same."""
    x = torch.randn(rows, 2**n, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
