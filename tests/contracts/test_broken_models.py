"""Models that break one clause of the contract each: what is said, with file and line, before anything is trained."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qlab import HessianProbe, Landscape, Model, Trainer
from qlab.errors import ConfigError
from qlab.models import Features
from qlab.models.probe import check_model
from qlab.tasks import Dataset, Split, Task


class Good(Model):
    """A network of one hidden layer.

    Args:
        dtype: precision.
    """

    def __init__(self, *, dtype: str = "float64") -> None:
        super().__init__(dtype=dtype)

    def setup(self, features: Features) -> None:
        self.net = self.layers(features.dimension)

    def layers(self, d: int) -> nn.Module:
        return nn.Sequential(nn.Linear(d, 3, dtype=self.dtype), nn.ReLU(), nn.Linear(3, 1, dtype=self.dtype))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        for value in self.parameters():
            value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64))

    def prepare(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)

    def forward(self, prepared: Tensor) -> Any:
        return self.net(prepared).squeeze(-1)


def with_forward(forward, **others):
    """A model whose forward is a function of the good one's logits, itself and what is prepared."""
    return type("Odd", (Good,), {"forward": forward, "__module__": __name__, **others})


def with_layer(make):
    return type(
        "Layered",
        (Good,),
        {
            "layers": lambda self, d: nn.Sequential(
                nn.Linear(d, 4, dtype=self.dtype), make(self), nn.Linear(4, 1, dtype=self.dtype)
            ),
            "__module__": __name__,
        },
    )


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) if self.training else x


def z(self, prepared):
    return Good.forward(self, prepared)


def counting(self, prepared):
    self.calls = getattr(self, "calls", 0) + 1
    return z(self, prepared) + self.calls


def doubling(self, prepared):
    prepared *= 2
    return z(self, prepared)


def centred(self, prepared):
    return z(self, prepared - prepared.mean(0))


def averaging(self, prepared):
    if self.training:
        self.mean += 1.0
    return z(self, prepared)


def branching(self, prepared):
    logits = z(self, prepared)
    return logits if logits.sum() > 0 else -logits


def boom(self, prepared):
    raise ValueError("no such luck")


def setup_with_buffer(self, features):
    Good.setup(self, features)
    self.register_buffer("mean", torch.zeros((), dtype=self.dtype))


def spoiling(self, generator):
    for value in self.parameters():
        nn.init.constant_(value, torch.nan)


def frozen(self, features):
    Good.setup(self, features)
    self.requires_grad_(False)


BROKEN = {
    "a column": (
        with_forward(lambda self, p: self.net(p)),
        r"shape \[4, 1\] for 4 rows, accepts \[4\]: z\.squeeze\(-1\)",
    ),
    "two outputs": (with_forward(lambda self, p: self.net(p).repeat(1, 2)), r"z\[:, 1\] - z\[:, 0\]"),
    "a scalar": (with_forward(lambda self, p: z(self, p).mean()), r"shape \[\] for 4 rows"),
    "squeezed too far": (
        with_forward(lambda self, p: self.net(p).squeeze()),
        r"single row, accepts \[1\]: z\.squeeze\(-1\)",
    ),
    "a tuple": (with_forward(lambda self, p: (z(self, p), None)), "got tuple, accepts a tensor of logits"),
    "complex logits": (with_forward(lambda self, p: z(self, p) + 0j), r"complex logits, accepts real ones: z\.real"),
    "single precision": (
        with_forward(lambda self, p: z(self, p).float()),
        "logits of torch.float32, accepts the model's",
    ),
    "not finite": (with_forward(lambda self, p: z(self, p) / 0.0), "NaN or infinite"),
    "detached": (with_forward(lambda self, p: z(self, p).detach()), r"do not depend on the parameters.*\.detach\(\)"),
    "torch's random numbers": (with_forward(lambda self, p: z(self, p) + torch.rand(len(p))), "two calls .* differ"),
    "Python's random numbers": (with_forward(lambda self, p: z(self, p) + random.random()), "two calls .* differ"),
    "dropout as a function": (
        with_forward(lambda self, p: z(self, nn.functional.dropout(p, 0.5))),
        "training=self.training",
    ),
    "a counter": (with_forward(counting), "keeps something from one call to the next"),
    "writes into its input": (with_forward(doubling), "in place.*x = x \\* 2"),
    "centres the batch": (with_forward(centred), "depends on the other rows of its batch in evaluation"),
    "a buffer that moves": (with_forward(averaging, setup=setup_with_buffer), "changes the buffer mean"),
    "branches on a value": (with_forward(branching), "torch.func.vmap.*\\n?.*supports_vmap = False"),
    "raises": (with_forward(boom), r"ValueError: no such luck \[in test_broken_models\.py, line \d+, in boom\]"),
    "dropout": (with_layer(lambda self: nn.Dropout(0.2)), r"net\.1 is Dropout with dropout 0\.2.*Leave it out"),
    "dropout of attention": (
        with_layer(lambda self: nn.TransformerEncoderLayer(4, 1, 4, dtype=self.dtype)),
        "with dropout 0.1",
    ),
    "batch norm": (
        with_layer(lambda self: nn.BatchNorm1d(4, dtype=self.dtype)),
        r"use nn\.LayerNorm\(4|Use nn\.LayerNorm\(4",
    ),
    "noise in training": (with_layer(lambda self: Noise()), r"differ in training, .*net\.1 \(Noise\)"),
    "layers of other precision": (
        with_layer(lambda self: nn.Linear(4, 4)),
        r"net\.1\.weight is of torch\.float32.*dtype=self\.dtype",
    ),
    "lazy layers": (with_layer(lambda self: nn.LazyLinear(4)), r"has no shape yet.*features\.dimension"),
    "no parameters": (
        type("Odd", (Good,), {"setup": lambda self, f: setattr(self, "net", [nn.Linear(4, 1)])}),
        "no parameters.*nn.ModuleList",
    ),
    "all frozen": (type("Odd", (Good,), {"setup": frozen}), "frozen.*nothing to train"),
    "widths that differ": (
        type("Odd", (Good,), {"layers": lambda self, d: nn.Sequential(nn.Linear(d + 1, 1, dtype=self.dtype))}),
        r"shapes cannot be multiplied.*layer net\.0 \(Linear 5 -> 1\)",
    ),
    "sets NaN": (
        type(
            "Odd",
            (Good,),
            {"reset_parameters": lambda self, g: [nn.init.constant_(p, torch.nan) for p in self.parameters()]},
        ),
        "holds NaN or infinity after it",
    ),
    "setup raises": (
        type("Odd", (Good,), {"setup": lambda self, f: f.nothing}),
        r"AttributeError: .*\[in test_broken_models",
    ),
    "prepares from the batch": (
        type("Odd", (Good,), {"prepare": lambda self, x: x - x.mean(0)}),
        "depends on the other rows of its batch",
    ),
    "prepares in other precision": (
        type("Odd", (Good,), {"prepare": lambda self, x: x.float()}),
        r"return x\.to\(self\.dtype\)",
    ),
    "prepares at random": (
        type("Odd", (Good,), {"prepare": lambda self, x: torch.randn_like(x)}),
        "must not draw random",
    ),
    "prepares with parameters": (
        type("Odd", (Good,), {"prepare": lambda self, x: x * next(self.parameters()).sum()}),
        "would not be trained there",
    ),
    "prepares in place": (type("Odd", (Good,), {"prepare": lambda self, x: x.mul_(2)}), "in place"),
    "ends the program": (with_forward(lambda self, p: exit(0)), "SystemExit.*raise an error instead"),
}


class Clouds(Task):
    """Two clouds of points."""

    def load(self) -> Dataset:
        x = torch.randn(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        y = torch.arange(12) % 2
        return Dataset(Split(x, y), Split(x[:6], y[:6]))

    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 4, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("cls", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_clause_is_named_before_anything_is_trained(cls, message):
    epochs = []
    with pytest.raises(ConfigError) as caught:
        Trainer(epochs=1).train(cls(), Clouds(), observer=lambda epoch, metrics: epochs.append(epoch))
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
    assert "test_broken_models.py, line " in str(caught.value)
    assert not epochs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_that_keeps_to_it_is_tried_once_and_left_as_it_was(dtype):
    data = Clouds().load()
    model = Good(dtype=dtype).build(Features.of(data))
    torch.manual_seed(0)
    before, state = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    check_model(model, data.train.x)
    assert model.checked
    assert not model.training
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value.nan_to_num(), model.state_dict()[name].nan_to_num()) for name, value in state.items())


def test_dropout_that_is_off_is_none():
    Trainer(epochs=1).train(with_layer(lambda self: nn.Dropout(0.0))(), Clouds())


def test_a_trained_model_is_in_evaluation_mode():
    trained = Trainer(epochs=1).train(Good(), Clouds())
    assert not trained.model_of(0).training
    assert not trained.model.training


def test_training_is_training_and_evaluation_is_evaluation():
    modes = []

    def forward(self, prepared):
        modes.append(self.training)
        return z(self, prepared)

    data = Clouds().load()
    cls = with_forward(forward)
    model = cls().build(Features.of(data))
    model.checked = True
    trained = Trainer(epochs=1, batch_size=32).train(cls(), Clouds())
    assert {True, False} <= set(modes)
    modes.clear()
    Landscape(trained.model_of(0), data.train).measure(HessianProbe())
    assert False in modes


def test_a_landscape_says_the_same_of_a_model_that_was_never_trained():
    data = Clouds().load()
    model = BROKEN["a column"][0]().build(Features.of(data))
    model.reset_parameters(torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match=r"z\.squeeze\(-1\)"):
        Landscape(model, data.train)
