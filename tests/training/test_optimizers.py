"""Steps are those of torch.optim, bit by bit, and need nothing of its compiler."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.training.optimizers import SGD, Adam, Rule


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
    kept = {name: v.clone() for name, v in begun.moments[0].items()}
    take(Adam(second, 0.1, moments=begun.moments, steps=3), second, 2)
    for name in start:
        assert torch.equal(whole[name], second[name])
        assert torch.equal(kept[name], begun.moments[0][name])  # what it goes on from is copied


RULES = [
    pytest.param(Rule("Adam", weight_decay=0.02), lambda p: torch.optim.Adam(p, 0.03, weight_decay=0.02), id="Adam L2"),
    pytest.param(Rule("AdamW"), lambda p: torch.optim.AdamW(p, 0.03, weight_decay=0.0), id="AdamW without decay"),
    pytest.param(Rule("AdamW", weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.03, weight_decay=0.1), id="AdamW"),
    pytest.param(Rule("SGD"), lambda p: torch.optim.SGD(p, 0.03), id="SGD"),
    pytest.param(Rule("SGD", weight_decay=0.1), lambda p: torch.optim.SGD(p, 0.03, weight_decay=0.1), id="SGD L2"),
    pytest.param(Rule("SGD", momentum=0.9), lambda p: torch.optim.SGD(p, 0.03, momentum=0.9), id="momentum"),
    pytest.param(
        Rule("SGD", momentum=0.5, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.03, momentum=0.5, weight_decay=0.1),
        id="momentum L2",
    ),
]


def bowl(parameters, target):
    """A loss that is not quadratic, so that every step has a gradient of its own."""
    return sum(((value - target[name]).cosh() - 1.0).sum() for name, value in parameters.items())


@pytest.mark.parametrize(("rule", "reference"), RULES)
def test_rules_go_where_torch_goes_over_many_steps(rule, reference):
    generator = torch.Generator().manual_seed(0)
    target = {name: torch.randn(size, generator=generator).double() for name, size in (("a", (3, 4)), ("b", 5))}
    start = {name: torch.randn(value.shape, generator=generator).double() for name, value in target.items()}
    found, expected = ({name: v.clone().requires_grad_() for name, v in start.items()} for _ in range(2))
    ours, theirs = rule.make(found, 0.03), reference(list(expected.values()))
    for step in range(300):
        if step == 150:  # taken up again by another optimizer
            found = {name: v.detach().clone().requires_grad_() for name, v in found.items()}
            ours = rule.make(found, 0.03, ours.moments, step)
        for optimizer, parameters in ((ours, found), (theirs, expected)):
            optimizer.zero_grad()
            bowl(parameters, target).backward()
            optimizer.step()
    assert len(ours.moments) == rule.moments
    for name in start:
        assert not torch.allclose(found[name], start[name], atol=0.1)
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-12)


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
