"""A model may first be called inside a torch.func transform: nothing made there is kept for those who follow."""

from __future__ import annotations

import functools
import gc
import importlib
import pkgutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

import qlab
from qlab import (
    CNOTQNN,
    MLP,
    XXZ,
    HessianProbe,
    Landscape,
    Member,
    NoCorruption,
    PennyLaneQNN,
    SliceProbe,
    Split,
    Trainer,
)
from qlab.models import Features
from qlab.tasks import Dataset

N_WIRES, ROWS = 3, 6
DIMENSION = 2**N_WIRES


class Computed(PennyLaneQNN):
    """Angles that are computed, gates that PennyLane makes one by one."""

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (4,)}

    def ansatz(self, **weights: torch.Tensor) -> None:
        w = torch.sin(weights["w"])
        for wire in range(self.n_wires):
            qml.RY(w[wire], wires=wire)
        qml.IsingXY(w[3], wires=[0, self.n_wires - 1])
        qml.ctrl(qml.Rot, control=0)(w[0], w[1], w[2], wires=self.n_wires - 1)
        qml.PauliRot(w[1], "XYZ", wires=range(3))


MODELS = {
    "chain": PennyLaneQNN(depth=2),
    "ring": PennyLaneQNN(depth=2, entangler="ring"),
    "deep": PennyLaneQNN(depth=4),
    "single": PennyLaneQNN(depth=2, dtype="float32"),
    "cnot": CNOTQNN(depth=2),
    "computed": Computed(),
    "mlp": MLP(hidden=[3], dtype="float64"),
}


@functools.cache
def every_module():
    names = [module.name for module in pkgutil.walk_packages(qlab.__path__, "qlab.") if "__main__" not in module.name]
    return [importlib.import_module(name) for name in names]


@functools.cache
def every_cache():
    """What functools.cache and lru_cache made of functions of the package."""
    every_module()
    found = [item for item in gc.get_objects() if type(item) is functools._lru_cache_wrapper]
    return [cache for cache in found if cache.__module__.startswith("qlab.")]


def empty_caches():
    """As in a fresh process."""
    for cache in every_cache():
        cache.cache_clear()


def split(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, DIMENSION, dtype=torch.float64, generator=generator)
    return Split(x / x.norm(dim=1, keepdim=True), torch.tensor([0, 1] * (ROWS // 2)))


def built(name):
    model = MODELS[name].build(Features(DIMENSION, False, torch.ones(DIMENSION, dtype=torch.bool)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def plain(model: Any) -> tuple[torch.Tensor, ...]:
    """Logits and gradients."""
    logits = model(model.prepare(split(0).x))
    gradients = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
    return (logits.detach(), *gradients)


def measured(landscape: Landscape) -> dict[str, float]:
    return {
        name: float(value)
        for samples in ("train", "validation")
        for probe in (HessianProbe(samples=samples), SliceProbe(samples=samples, resolution=3))
        for name, value in probe.measure(landscape).scalars.items()
    }


def loss_of(model):
    """A function of named parameters that prepares its own data."""
    x = split(0).x

    def loss(parameters):
        return functional_call(model, parameters, (model.prepare(x),)).square().sum()

    return loss, {name: value.detach() for name, value in model.named_parameters()}


def by_vmap(loss, point):
    return vmap(loss)({name: torch.stack([value, value + 0.1]) for name, value in point.items()})


FIRST = {
    "grad": lambda loss, point: grad(loss)(point),
    "vmap": by_vmap,
    "vmap of grad": lambda loss, point: by_vmap(lambda p: grad(loss)(p), point),
    "hessian": lambda loss, point: hessian(loss)(point),
    "jvp": lambda loss, point: jvp(loss, (point,), (point,)),
    "jacfwd": lambda loss, point: jacfwd(loss)(point),
    "jacrev of jacrev": lambda loss, point: jacrev(jacrev(loss))(point),
    "inference mode": lambda loss, point: torch.inference_mode()(loss)(point),
    "no grad": lambda loss, point: torch.no_grad()(loss)(point),
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's forward mode
def test_a_model_first_called_inside_a_transform_is_as_good_as_new(name, first):
    empty_caches()
    expected = plain(built(name))
    empty_caches()
    model = built(name)
    FIRST[first](*loss_of(model))
    torch.testing.assert_close(plain(model), expected, atol=0, rtol=0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(plain, [model] * 4):
            torch.testing.assert_close(found, expected, atol=0, rtol=0)
    torch.testing.assert_close(plain(built(name)), expected, atol=0, rtol=0)  # others share the caches


def landscape_of(name):
    return Landscape(built(name), split(0), split(1))


@pytest.mark.parametrize("first", [first for first in FIRST if "vmap" not in first])
@pytest.mark.parametrize("name", ["chain", "computed", "mlp"])
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_a_landscape_first_looked_at_inside_a_transform_is_as_good_as_new(name, first):
    """Features of the validation split are prepared by whoever needs them first."""
    empty_caches()
    expected = measured(landscape_of(name))
    empty_caches()
    landscape = landscape_of(name)
    FIRST[first](lambda point: landscape.on("validation").loss(point["theta"]), {"theta": landscape.theta})
    assert measured(landscape) == expected


@pytest.mark.parametrize("first", ["grad", "hessian", "inference mode"])
@pytest.mark.parametrize("name", ["chain", "deep", "computed", "mlp"])
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_training_after_a_transform_gives_the_same_losses(name, first):
    data = Dataset(split(0), split(1))

    def trained():
        members = [Member.of(XXZ(length=4), data, NoCorruption(), seed) for seed in range(2)]
        model = MODELS[name].build(Features.of(data))
        return Trainer(epochs=2, batch_size=4, learning_rate=0.1).fit(model, members, data.validation).history

    empty_caches()
    expected = trained()
    empty_caches()
    FIRST[first](*loss_of(built(name)))
    np.testing.assert_equal(trained(), expected)


def test_no_module_and_no_cache_keeps_tensors():
    """Modules may be imported, and caches filled, inside a transform: they hold NumPy arrays or numbers."""
    modules = every_module()
    for name in ("chain", "deep", "computed"):
        plain(built(name))
    in_modules = [
        f"{module.__name__}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, torch.Tensor)
    ]
    assert not in_modules
    for cache in every_cache():
        entries = [entry for part in gc.get_referents(cache) if isinstance(part, dict) for entry in part.values()]
        values = [value for entry in entries for value in (entry, *gc.get_referents(entry))]
        assert not any(isinstance(value, torch.Tensor) for value in values), cache
