"""Random numbers in ``forward``: each member's own, the same in any company, and none in evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qlab import seeding
from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import ConfigError
from qlab.landscape import Landscape
from qlab.models import MLP, Features, Model
from qlab.models.rows import prepare_features
from qlab.training import Member, Trainer, ensemble, tiles
from qlab.training.data import prepare
from qlab.unlearning import Finetune, Scrub
from qlab.unlearning.engine import unlearn

SHORT = Trainer(epochs=4, batch_size=5, learning_rate=0.05)


class Noisy(Model):
    """A user's: noise on the inputs, then dropout between two layers."""

    def __init__(self, *, rate: float = 0.4, noise: float = 0.1, **fields: Any) -> None:
        super().__init__(**fields)
        self.rate, self.noise = rate, noise

    def setup(self, features: Features) -> None:
        self.first = nn.Linear(features.dimension, 7, dtype=self.dtype)
        self.last = nn.Linear(7, 1, dtype=self.dtype)

    def reset_parameters(self, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)

    def prepare(self, x: Tensor) -> Tensor:
        return x.abs().to(self.dtype)

    def forward(self, prepared: Tensor) -> Tensor:
        if self.training:
            prepared = prepared + self.noise * (self.rand_like(prepared) - 0.5)
        return self.last(self.drop_out(torch.tanh(self.first(prepared)), self.rate)).squeeze(-1)


class OneByOne(Noisy):
    supports_vmap = False


MODELS = [
    pytest.param(MLP(hidden=(6, 3), dropout=0.4, dtype="float64"), id="MLP"),
    pytest.param(Noisy(), id="own"),
    pytest.param(OneByOne(), id="own without vmap"),
]

CORRUPTIONS = [
    pytest.param(LabelFlip(ratio=0.5), id="flips"),
    pytest.param(FeatureRandomization(ratio=0.5), id="features of their own"),
]


def fit(task, data, model, seeds=(0, 1, 2), corruption=None, trainer=SHORT):
    corruption = corruption or LabelFlip(ratio=0.5)
    members = [Member.of(task, data, corruption, seed) for seed in seeds]
    return trainer.fit(model.build(Features.of(data, corruption)), members, data.validation)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_seed_gives_the_same_in_any_company(small_task, small_data, monkeypatch, model, corruption):
    together = fit(small_task, small_data, model, corruption=corruption)
    torch.manual_seed(1)  # the global generator plays no part
    alone = fit(small_task, small_data, model, (2,), corruption)
    monkeypatch.setattr(tiles, "TILE_BYTES", 1)
    apart = fit(small_task, small_data, model, (2, 0), corruption)
    for other in (alone, apart):
        for name, values in other.history.items():
            np.testing.assert_allclose(values[0], together.history[name][2], atol=1e-10, rtol=0, err_msg=name)
    assert not np.allclose(together.history["train_loss"][0], together.history["train_loss"][1])


def test_the_numbers_are_those_of_the_seed(small_task, small_data):
    """One step of one model, with the masks written out."""
    trainer = Trainer(epochs=1, batch_size=1000, learning_rate=0.1, optimizer="SGD")
    model = MLP(hidden=(4, 3), dropout=0.5, dtype="float64")
    trained = fit(small_task, small_data, model, (3,), trainer=trainer)
    member = Member.of(small_task, small_data, LabelFlip(ratio=0.5), 3)
    single = trained.model
    single.reset_parameters(seeding.generator(3, "initialization"))
    x, y = single.prepare(member.corrupted.split.x), member.corrupted.split.y.double()
    order = torch.randperm(len(y), generator=seeding.generator(3, "batches"))
    numbers = torch.rand(len(y), 7, generator=seeding.generator(3, "noise"))
    masks = [(part >= 0.5).double() * 2.0 for part in numbers.split([4, 3], dim=1)]
    hidden = x[order]
    for kernel, bias, mask in zip(single.kernels, single.biases, masks, strict=False):
        hidden = torch.relu(hidden @ kernel + bias) * mask
    z = (hidden @ single.kernels[-1] + single.biases[-1])[:, 0]
    nn.functional.binary_cross_entropy_with_logits(z, y[order]).backward()
    for name, parameter in single.named_parameters():
        expected = parameter.detach() - 0.1 * parameter.grad
        torch.testing.assert_close(trained.parameters[name][0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("model", MODELS)
def test_evaluation_and_landscapes_are_without_chance(small_task, small_data, model):
    trained = fit(small_task, small_data, model)
    single = trained.model_of(1)
    assert not single.training
    x = prepare_features(single, small_data.validation.x)
    with torch.no_grad():
        z = single(x)
        assert torch.equal(z, single(x))
    torch.testing.assert_close(trained.logits[1, -len(z) :], z.double(), atol=1e-10, rtol=0)
    landscape = Landscape(single, small_data.train)
    values, _ = landscape.evaluate_points(landscape.theta[None].repeat(2, 1))
    assert float(values[0]) == float(values[1])


def test_whoever_trains_a_model_by_hand_gets_pytorchs_numbers(small_task, small_data):
    single = fit(small_task, small_data, Noisy()).model_of(0)
    x = prepare_features(single, small_data.validation.x)
    single.train()
    torch.manual_seed(0)
    first = single(x)
    assert not torch.equal(first, single(x))
    torch.manual_seed(0)
    assert torch.equal(first, single(x))


def test_dropped_units_are_a_share_and_the_mean_stays():
    model = MLP(dropout=0.3)
    x = torch.ones(200, 300)
    assert torch.equal(model.eval().drop_out(x, 0.3), x)
    model.train()
    torch.manual_seed(0)
    found = model.drop_out(x, 0.3)
    assert sorted(set(found.flatten().tolist())) == pytest.approx([0.0, 1.0 / 0.7])
    assert float((found == 0).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(model.drop_out(x, 0.0), x)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", [Finetune(steps=2), Scrub(steps=2)], ids=["Finetune", "Scrub"])
def test_unlearning_steps_are_without_chance(small_task, small_data, model, method):
    corruption = LabelFlip(ratio=0.5)
    members = [Member.of(small_task, small_data, corruption, seed) for seed in (0, 1)]
    built = model.build(Features.of(small_data, corruption))
    teachers = ensemble.initial_parameters(built, (0, 1))
    data = prepare(built, members, small_data.validation, torch.device("cpu"))
    first = unlearn(method, built, teachers, data, (0, 1))
    torch.manual_seed(5)
    again = unlearn(method, built, teachers, data, (0, 1))
    assert all(torch.equal(first.parameters[name], again.parameters[name]) for name in teachers)


def with_forward(forward):
    return type("Broken", (Noisy,), {"forward": forward})()


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            lambda self, p: self.last(torch.tanh(self.first(p)) * (self.rand_like(p[:, :1]) > 0.5)).squeeze(-1),
            "rand_like is for training only; write `if self.training:`",
        ),
        (
            lambda self, p: self.last(nn.functional.dropout(torch.tanh(self.first(p)), 0.5, self.training)).squeeze(-1),
            r"two calls on the same rows differ in training.*self\.drop_out\(x, rate\)",
        ),
        (
            lambda self, p: self.last(self.drop_out(torch.tanh(self.first(p)), 0.5)).squeeze(-1) + torch.rand(len(p)),
            "two calls on the same rows differ in evaluation",
        ),
    ],
)
def test_chance_that_is_not_the_seeds_is_refused(small_task, small_data, forward, message):
    with pytest.raises(ConfigError, match=message):
        fit(small_task, small_data, with_forward(forward))


def test_asking_for_other_numbers_than_in_the_first_call_is_refused(small_task, small_data):
    def forward(self, prepared):
        hidden = torch.tanh(self.first(prepared))
        wide = self.drop_out(hidden, 0.5) if len(prepared) > 4 else hidden
        return self.last(self.drop_out(wide, 0.5)).squeeze(-1)

    with pytest.raises(ConfigError, match=r"forward asks for random numbers of shape \[5, 7\].*no more of them"):
        fit(small_task, small_data, with_forward(forward))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dropout": 1.0}, r"dropout: got 1\.0, accepts a number in \[0, 1\)"),
        ({"dropout": "some"}, r'dropout: got "some", accepts a number'),
        (
            {"activation": "Relu"},
            r'activation: got "Relu", accepts one of "relu", "tanh", "gelu"\. Did you mean "relu"',
        ),
    ],
)
def test_fields_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        MLP(**fields)
