"""Draws ensemble.svg: trials that differ in seed and ratio lie along one batch axis."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from style import COLOURS, save

RATIOS, SEEDS = ("0", "0.2", "0.4"), 5

figure, axis = plt.subplots(figsize=(7.6, 3.0), layout="constrained")
axis.set(xlim=(-1.6, 15.6), ylim=(-2.9, 4.0), aspect="equal")
axis.axis("off")
axis.text(2.5, 3.6, "15 trials of a file", ha="center")
for row, (ratio, colour) in enumerate(zip(RATIOS, COLOURS, strict=False)):
    axis.text(-0.3, 2.5 - row, f"ratio {ratio}", ha="right", va="center", fontsize=9)
    for seed in range(SEEDS):
        axis.add_patch(plt.Rectangle((seed + 0.08, 2.08 - row), 0.84, 0.84, facecolor=colour, alpha=0.35 + 0.13 * seed))
        axis.add_patch(
            plt.Rectangle((row * SEEDS + seed + 0.08, -1.92), 0.84, 0.84, facecolor=colour, alpha=0.35 + 0.13 * seed)
        )
for seed in range(SEEDS):
    axis.text(seed + 0.5, -0.2, f"{seed}", ha="center", va="center", fontsize=9)
axis.text(-0.3, -0.2, "seed", ha="right", va="center", fontsize=9)
axis.annotate("", (10, -0.9), (5.8, 1.2), arrowprops={"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.4})
axis.text(9.0, 1.3, "one tensor of parameters [15, P],\none batched step for all of them", va="center", fontsize=9)
axis.text(7.5, -2.5, "each row has its own data order, noise draws and optimizer state", ha="center", fontsize=9)
save(figure, Path(__file__))
