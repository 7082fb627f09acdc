"""One training step of 50 QNNs on the light cone against 50 steps of one QNN on default.qubit.

Targets on 2 cores (12 qubits, depth 4, batch 32): chain at least 1,000 times faster, ring at least 60 times.
"""

from __future__ import annotations

import time

import pytest
import torch

from qlab import XXZ, Features, LabelFlip, Member, PennyLaneQNN, Trainer

MEMBERS, ROWS = 50, 32


def seconds_per_epoch(model, members, dataset, epochs):
    """Wall time of an epoch of one batch, the first left out; evaluation on two validation rows included."""
    validation = type(dataset.validation)(dataset.validation.x[:2], dataset.validation.y[:2])
    stamps = []
    Trainer(epochs=epochs + 1, batch_size=ROWS, learning_rate=0.03).fit(
        model, members, validation, observer=lambda epoch, metrics: stamps.append(time.perf_counter())
    )
    return (stamps[-1] - stamps[0]) / epochs


@pytest.mark.parametrize("entangler", ["chain", "ring"])
def test_step_of_fifty_against_default_qubit(entangler, capsys):
    task = XXZ(gapless=(-0.9, 0.6, 0.1), gapped=(1.1, 2.6, 0.1))
    dataset = task.load()
    assert len(dataset.train) == ROWS
    features = Features.of(dataset)
    members = [Member.of(task, dataset, LabelFlip(ratio=0.2), seed) for seed in range(MEMBERS)]
    fast = PennyLaneQNN(entangler=entangler).build(features)
    slow = PennyLaneQNN(entangler=entangler, device="default.qubit").build(features)
    ensemble = seconds_per_epoch(fast, members, dataset, 40)

    # A step of one QNode, nothing else: forward, backward.
    from qlab import seeding

    slow.reset_parameters(seeding.generator(0, "initialization"))
    prepared, y = slow.prepare(dataset.train.x), dataset.train.y.double()

    def step():
        loss = torch.nn.functional.binary_cross_entropy_with_logits(slow(prepared), y)
        loss.backward()

    step()
    start = time.perf_counter()
    for _ in range(5):
        step()
    single = (time.perf_counter() - start) / 5
    ratio = MEMBERS * single / ensemble
    with capsys.disabled():
        print(
            f"\n{entangler}: step of {MEMBERS} on the light cone (evaluation included) {1e3 * ensemble:.1f} ms, "
            f"one default.qubit step {1e3 * single:.0f} ms: {ratio:.0f} times faster"
        )
    assert ratio > 1
