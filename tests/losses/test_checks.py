"""A user's loss that does not keep to its contract is refused before anything is trained, with what to do."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from qlab.corruptions import LabelFlip
from qlab.errors import ConfigError
from qlab.landscape import Landscape
from qlab.losses import CrossEntropy, Loss
from qlab.losses.checks import check_loss
from qlab.models import MLP, Features
from qlab.training import Trainer


def made(call):
    return type("Mine", (Loss,), {"__call__": lambda self, logits, y: call(logits, y), "__doc__": "A loss."})()


BROKEN = [
    pytest.param(
        lambda z, y: F.binary_cross_entropy_with_logits(z, y),
        r"got losses of shape \[\] for 14 rows, accepts one for each row, \[14\]: leave out \.mean\(\)",
        id="a mean",
    ),
    pytest.param(lambda z, y: (z - y).square()[:-1], r"got losses of shape \[13\] for 14 rows", id="a row short"),
    pytest.param(lambda z, y: float(z.sum()), "got float, accepts a tensor with the loss of each row", id="a number"),
    pytest.param(
        lambda z, y: -torch.log(torch.where(y > 0.5, torch.sigmoid(z), 1 - torch.sigmoid(z))),
        r"got inf for the logit 60 and the label 0.*F\.logsigmoid\(z\) for log p",
        id="infinite where the model is sure",
    ),
    pytest.param(lambda z, y: z * float("nan"), r"got nan for the logit -60", id="NaN"),
    pytest.param(
        lambda z, y: (z - y).square().float(),
        r"got losses of torch\.float32, accepts the logits' torch\.float64",
        id="another dtype",
    ),
    pytest.param(lambda z, y: (z - z.mean() - y).square(), "depends on the other rows of its batch", id="batch"),
    pytest.param(lambda z, y: (z - y).square() + torch.rand_like(z), "two calls on the same rows differ", id="random"),
    pytest.param(lambda z, y: (z.detach() - y).square(), "do not depend on the logits", id="cut off"),
    pytest.param(lambda z, y: torch.sign(z) * (1 - 2 * y), "gradient of the losses .* zero everywhere", id="steps"),
    pytest.param(
        lambda z, y: torch.where(z == 0, 0 * z, torch.sqrt(z.abs())), "the gradient is nan at the logit 0", id="a root"
    ),
    pytest.param(lambda z, y: y.sub_(0.5) * z, "changes the logits or labels", id="in place"),
    pytest.param(lambda z, y: (z - y).square().reshape(-1), r"logits \[2, 7\] of two models", id="one axis only"),
    pytest.param(lambda z, y: z.nothing, "AttributeError.* 'nothing'", id="raises"),
]


@pytest.mark.parametrize(("call", "message"), BROKEN)
def test_a_broken_loss_is_refused(call, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_loss(made(call), torch.float64)
    assert "__call__ (test_checks.py, line " in str(caught.value)


def test_it_is_refused_before_training_and_in_landscapes(small_task, small_data):
    mean = made(lambda z, y: (z - y).square().mean())
    with pytest.raises(ConfigError, match="accepts one for each row"):
        Trainer(epochs=1, loss=mean).train(MLP(hidden=(3,)), small_task, LabelFlip(ratio=0.2))
    model = MLP(hidden=(3,)).build(Features.of(small_data))
    with pytest.raises(ConfigError, match="accepts one for each row"):
        Landscape(model, small_data.train, criterion=mean)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda z, y: (torch.sigmoid(z) - y).square(), id="Brier"),
        pytest.param(lambda z, y: F.softplus((1 - 2 * y) * z) + 1e-3 * z.abs(), id="with a kink"),
        pytest.param(lambda z, y: torch.relu(1 - (2 * y - 1) * z), id="hinge"),
    ],
)
def test_a_sound_loss_passes(call):
    for dtype in (torch.float32, torch.float64):
        check_loss(made(call), dtype)


@pytest.mark.parametrize(
    ("derivatives", "message"),
    [
        pytest.param(
            lambda loss, z, y: (z - y, torch.ones_like(z)), "got the first derivative -60 at the logit -60", id="first"
        ),
        pytest.param(
            lambda loss, z, y: (2 * (z - y), torch.ones_like(z)),
            "got the second derivative 1 at the logit -60 and the label 0, where that of __call__ is 2",
            id="second",
        ),
        pytest.param(lambda loss, z, y: z - y, "accepts two tensors of the shape of the logits", id="one"),
        pytest.param(lambda loss, z, y: (z.sum(), z.sum()), "accepts two tensors of the shape of the logits", id="sum"),
    ],
)
def test_derivatives_that_are_not_those_of_the_loss_are_refused(derivatives, message):
    body = {"__call__": lambda self, z, y: (z - y).square(), "derivatives": derivatives, "__doc__": "A loss."}
    with pytest.raises(ConfigError, match=message) as caught:
        check_loss(type("Mine", (Loss,), body)(), torch.float64)
    assert "Mine.derivatives (test_checks.py, line " in str(caught.value)


def test_derivatives_by_a_formula_that_is_right_pass():
    body = {
        "__call__": lambda self, z, y: (z - y).square(),
        "derivatives": lambda self, z, y: (2 * (z - y), torch.full_like(z, 2.0)),
        "__doc__": "A loss.",
    }
    for dtype in (torch.float32, torch.float64):
        check_loss(type("Mine", (Loss,), body)(), dtype)


@pytest.mark.parametrize("given", ["CrossEntropy", {"type": "CrossEntropy"}, CrossEntropy, 3])
def test_in_python_a_loss_is_an_object(given):
    with pytest.raises(ConfigError, match=r"Trainer: loss: got .*, accepts a loss: .*\(in Python an object\)"):
        Trainer(loss=given)
