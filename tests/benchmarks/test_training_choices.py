"""What other optimizers, losses and dropout cost, as ratios to Adam with cross-entropy within one run.

Target: at most 1.2 for every optimizer and loss, on 50 MLPs and on 50 circuits. Ratios of the least processor time of
interleaved rounds on one thread, which what else the machine does hardly touches.
"""

from __future__ import annotations

import time

import pytest
import torch

from qlab.corruptions import LabelFlip
from qlab.losses import ForwardCorrection, GeneralizedCrossEntropy, MeanAbsoluteError, SymmetricCrossEntropy
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.tasks import XXZ
from qlab.training import Member, Trainer

ROUNDS = 7

CHOICES = {
    "AdamW": {"optimizer": "AdamW", "weight_decay": 0.01},
    "Adam with L2": {"weight_decay": 0.01},
    "SGD": {"optimizer": "SGD"},
    "momentum": {"optimizer": "SGD", "momentum": 0.9},
    "momentum with L2": {"optimizer": "SGD", "momentum": 0.9, "weight_decay": 0.01},
    "cosine": {"schedule": "cosine"},
    "generalized": {"loss": GeneralizedCrossEntropy()},
    "symmetric": {"loss": SymmetricCrossEntropy()},
    "absolute": {"loss": MeanAbsoluteError()},
    "forward": {"loss": ForwardCorrection(flip_rates=(0.2, 0.2))},
}

MODELS = {"MLP": (MLP(), 3), "circuit": (PennyLaneQNN(depth=4), 2)}


@pytest.mark.parametrize("name", MODELS)
def test_choices(name, capsys):
    model, epochs = MODELS[name]
    task = XXZ(gauge="random-phase")
    data = task.load()
    members = [Member.of(task, data, LabelFlip(ratio=0.2), seed) for seed in range(50)]
    built = model.build(Features.of(data))
    trainers = {"Adam": Trainer(epochs=epochs)} | {
        label: Trainer(epochs=epochs, **choice) for label, choice in CHOICES.items()
    }
    runs = {label: (trainer, built) for label, trainer in trainers.items()}
    if name == "MLP":
        dropping = MLP(dropout=0.2).build(Features.of(data))
        runs["dropout"] = (trainers["Adam"], dropping)
        runs["early stopping"] = (Trainer(epochs=epochs, early_stopping=1000), built)
    torch.set_num_threads(1)
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for label, (trainer, model) in runs.items():
            start = time.process_time()
            trainer.fit(model, members, data.validation, evaluate_every=epochs)
            best[label] = min(best[label], time.process_time() - start)
    ratios = {label: seconds / best["Adam"] for label, seconds in best.items()}
    with capsys.disabled():
        print(f"\n{name}, Adam {best['Adam'] / epochs * 1e3:.0f} ms an epoch")
        print("  " + ", ".join(f"{label} {ratio:.2f}" for label, ratio in ratios.items()))
