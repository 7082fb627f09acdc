"""The trainer with other optimizers and schedules: against a loop written with torch.optim, one model at a time."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab import seeding
from qlab.corruptions import LabelFlip
from qlab.errors import ConfigError
from qlab.fields import identity_of
from qlab.models import MLP, Features
from qlab.training import Member, Trainer

EPOCHS = 12

CHOICES = [
    pytest.param({"optimizer": "AdamW", "weight_decay": 0.1}, id="AdamW"),
    pytest.param({"optimizer": "Adam", "weight_decay": 0.1, "schedule": "cosine"}, id="Adam with L2, cosine"),
    pytest.param({"optimizer": "SGD", "momentum": 0.9, "weight_decay": 0.01}, id="momentum with L2"),
    pytest.param(
        {"optimizer": "SGD", "momentum": 0.5, "schedule": "step", "step_epochs": 5, "step_factor": 0.3}, id="steps"
    ),
]


def by_torch(trainer, model, member):
    """One model, trained as a user of PyTorch would write it."""
    model.reset_parameters(seeding.generator(member.seed, "initialization"))
    parameters = list(model.parameters())
    decay, lr = trainer.weight_decay, trainer.learning_rate
    optimizer = {
        "Adam": lambda: torch.optim.Adam(parameters, lr, weight_decay=decay),
        "AdamW": lambda: torch.optim.AdamW(parameters, lr, weight_decay=decay),
        "SGD": lambda: torch.optim.SGD(parameters, lr, momentum=trainer.momentum, weight_decay=decay),
    }[trainer.optimizer]()
    scheduler = {
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, trainer.epochs),
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, trainer.step_epochs, trainer.step_factor),
    }[trainer.schedule]()
    x, y = model.prepare(member.corrupted.split.x), member.corrupted.split.y.double()
    order = seeding.generator(member.seed, "batches")
    for _ in range(trainer.epochs):
        for rows in torch.randperm(len(y), generator=order).split(trainer.batch_size):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(model(x[rows]), y[rows]).backward()
            optimizer.step()
        scheduler.step()
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("choice", CHOICES)
def test_an_ensemble_goes_where_each_model_goes_with_torch(small_task, small_data, choice):
    trainer = Trainer(epochs=EPOCHS, batch_size=5, learning_rate=0.03, **choice)
    corruption = LabelFlip(ratio=0.3)
    members = [Member.of(small_task, small_data, corruption, seed) for seed in (4, 1)]
    model = MLP(hidden=(6, 3), dtype="float64").build(Features.of(small_data, corruption))
    trained = trainer.fit(model, members, small_data.validation)
    for index, member in enumerate(members):
        for name, expected in by_torch(trainer, model, member).items():
            torch.testing.assert_close(trained.parameters[name][index], expected, rtol=0, atol=1e-10)


def test_settings_that_are_not_used_are_no_part_of_a_trial():
    plain = Trainer(epochs=3)
    assert identity_of(Trainer, plain.config()) == {"epochs": 3, "batch_size": 32, "learning_rate": 0.01}
    other = dataclasses.replace(plain, optimizer="SGD", momentum=0.9)
    assert identity_of(Trainer, other.config()) == {
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.01,
        "optimizer": "SGD",
        "momentum": 0.9,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"momentum": 0.9}, r'momentum: got 0\.9 for optimizer = "Adam".*use optimizer = "SGD"'),
        ({"momentum": 0.9, "optimizer": "AdamW"}, r'momentum: got 0\.9 for optimizer = "AdamW"'),
        ({"momentum": 1.0, "optimizer": "SGD"}, r"momentum: got 1\.0, accepts a number in \[0, 1\)"),
        ({"optimizer": "adam"}, r'optimizer: got "adam", accepts one of .*Did you mean "Adam"\?'),
        ({"weight_decay": -0.1}, r"weight_decay: got -0\.1, accepts a number of at least 0"),
        ({"weight_decay": "strong"}, r'weight_decay: got "strong", accepts a number'),
        ({"schedule": "linear"}, r'schedule: got "linear", accepts one of "constant", "cosine", "step"'),
        ({"step_epochs": 10}, r'step_epochs: only for schedule = "step", not "constant"'),
        ({"step_factor": 0.5, "schedule": "cosine"}, r'step_factor: only for schedule = "step", not "cosine"'),
        ({"step_factor": 0.0, "schedule": "step"}, r"step_factor: got 0\.0, accepts a number in \(0, 1\]"),
        ({"step_epochs": 0, "schedule": "step"}, r"step_epochs: got 0, accepts an integer of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(**given)
