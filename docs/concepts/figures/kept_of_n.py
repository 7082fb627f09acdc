"""Draws kept_of_n.svg: training losses of a healthy, an unconverged, a collapsed and a diverged model."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from style import COLOURS, save

from qlab import MLP, XXZ, LabelFlip, Trainer

SETTINGS = {
    "healthy": {"learning_rate": 0.01},
    "unconverged": {"learning_rate": 0.002},
    "collapsed": {"learning_rate": 30.0, "optimizer": "SGD", "momentum": 0.9},
    "diverged": {"learning_rate": 0.01, "optimizer": "SGD", "weight_decay": 200.5},
}

figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.6), layout="constrained")
for axis, (health, settings), colour in zip(axes, SETTINGS.items(), COLOURS, strict=True):
    trainer = Trainer(epochs=20, batch_size=8, **settings)
    trained = trainer.train(
        MLP(hidden=[16, 16], activation="gelu"), XXZ(length=6), [LabelFlip(ratio=0.2)], seeds=range(8)
    )
    member = trained.health.index(health)
    axis.plot(range(1, 21), trained.history["train_loss"][member][-20:], color=colour)
    axis.set(title=health, xlabel="epoch", yscale="log" if health in ("collapsed", "diverged") else "linear")
axes[0].set_ylabel("training loss")
save(figure, Path(__file__))
