"""Inputs of classical models, and steps of the linear model on them. Targets on 2 cores, 12 spins:

All strings on one and two sites of 396 states in 1 s; a step of 50 ``PauliLinear`` models on four sites, projection
included, takes no longer than one of 50 circuits of depth 4.
"""

from __future__ import annotations

import time

import pytest
import torch

from qlab import XXZ, Features, LabelFlip, Member, PauliLinear, PennyLaneQNN, Trainer
from qlab.inputs.pauli import pair_expectations

MEMBERS, ROWS, EPOCHS = 50, 32, 40


def test_strings_on_one_and_two_sites(capsys):
    data = XXZ().load()
    x = torch.cat([data.train.x, data.validation.x])
    start = time.perf_counter()
    found = pair_expectations(x, 12)
    with capsys.disabled():
        print(f"\n{found.shape[1]} strings of {len(x)} states: {time.perf_counter() - start:.2f} s")
    assert found.shape == (396, 631)


@pytest.mark.parametrize("bound", ["none", "operator"])
def test_a_step_against_that_of_the_circuit(bound, capsys):
    task = XXZ(gapless=(-0.9, 0.6, 0.1), gapped=(1.1, 2.6, 0.1))
    data = task.load()
    features = Features.of(data)
    members = [Member.of(task, data, LabelFlip(ratio=0.2), seed) for seed in range(MEMBERS)]
    seconds = {}
    for model in (PauliLinear(bound=bound), PennyLaneQNN(depth=4)):
        stamps = []
        Trainer(epochs=EPOCHS + 1, batch_size=ROWS, learning_rate=0.03).fit(
            model.build(features), members, data.validation, observer=lambda *_, s=stamps: s.append(time.perf_counter())
        )
        seconds[type(model)] = (stamps[-1] - stamps[0]) / EPOCHS
    ours, circuit = seconds[PauliLinear], seconds[PennyLaneQNN]
    with capsys.disabled():
        print(
            f"\nbound {bound}: step of {MEMBERS} (evaluation included) {1e3 * ours:.1f} ms, of the circuit "
            f"{1e3 * circuit:.1f} ms: {ours / circuit:.2f} of it"
        )
    assert ours < circuit
