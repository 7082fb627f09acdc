"""Steps are those of torch.optim, bit by bit, and need nothing of its compiler."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.training.optimizers import SGD, Adam


@pytest.mark.parametrize(("ours", "theirs"), [(Adam, torch.optim.Adam), (SGD, torch.optim.SGD)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None)  # the first use of torch.optim takes more than a second
@given(seed=st.integers(0, 2**32), learning_rate=st.floats(1e-4, 1.0))
def test_steps_are_those_of_torch(ours, theirs, dtype, seed, learning_rate):
    generator = torch.Generator().manual_seed(seed)
    start = {name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in (("a", (3, 4)), ("b", 2))}
    gradients = [{name: torch.randn(v.shape, generator=generator, dtype=dtype) for name, v in start.items()}] * 2
    gradients.append({"b": torch.ones(2, dtype=dtype)})  # a parameter without a gradient stays
    found, expected = ({name: v.clone().requires_grad_() for name, v in start.items()} for _ in range(2))
    options = {"fused": True} if theirs is torch.optim.Adam else {}
    for optimizer, parameters in (
        (ours(found, learning_rate), found),
        (theirs(expected.values(), lr=learning_rate, **options), expected),
    ):
        for step in gradients:
            optimizer.zero_grad()
            for name, gradient in step.items():
                parameters[name].grad = gradient.clone()
            optimizer.step()
    for name in start:
        assert torch.equal(found[name], expected[name])


def test_adam_goes_on_from_its_moments():
    start = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    whole, first = ({name: v.clone().requires_grad_() for name, v in start.items()} for _ in range(2))

    def take(optimizer, parameters, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            sum((v**2).sum() for v in parameters.values()).backward()
            optimizer.step()

    take(Adam(whole, 0.1), whole, 5)
    begun = Adam(first, 0.1)
    take(begun, first, 3)
    second = {name: v.detach().clone().requires_grad_() for name, v in first.items()}
    kept = {name: v.clone() for name, v in begun.first_moments.items()}
    take(Adam(second, 0.1, begun.first_moments, begun.second_moments, 3), second, 2)
    for name in start:
        assert torch.equal(whole[name], second[name])
        assert torch.equal(kept[name], begun.first_moments[name])  # what it goes on from is copied


def test_training_and_unlearning_do_not_load_the_compiler():
    code = """
import sys
import torch
from qlab.corruptions import LabelFlip
from qlab.models import MLP, PennyLaneQNN
from qlab.tasks import XXZ
from qlab.training import Trainer
for model in (MLP(hidden=(4,)), PennyLaneQNN(depth=1)):
    Trainer(epochs=1).train(model, XXZ(length=4), LabelFlip(ratio=0.2))
print("torch._dynamo" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.strip() == "False"
