"""Draws oracle.svg: where the teacher, the unlearned model and the oracle come from."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from style import COLOURS, arrow, box, save

figure, axis = plt.subplots(figsize=(7.6, 3.2), layout="constrained")
axis.set(xlim=(-1.5, 8.8), ylim=(-0.6, 3.6))
axis.axis("off")
box(axis, 0, 2.6, "all rows,\nsome corrupted", "#666666", 2.4)
box(axis, 0, 0.4, "retain set:\nclean rows alone", "#666666", 2.4)
box(axis, 4, 2.6, "teacher", COLOURS[1])
box(axis, 7.6, 2.6, "unlearned model", COLOURS[0])
box(axis, 7.6, 0.4, "oracle", COLOURS[2])
arrow(axis, (1.25, 2.6), (2.85, 2.6), "train")
arrow(axis, (5.15, 2.6), (6.45, 2.6), "unlearn")
arrow(axis, (1.25, 0.4), (6.45, 0.4), "train with another seed")
axis.annotate("", (7.6, 0.85), (7.6, 2.15), arrowprops={"arrowstyle": "<->", "color": "#333333", "linestyle": "--"})
axis.text(7.45, 1.5, "oracle_gap, oracle_kl", ha="right", va="center", fontsize=9)
axis.plot([0, 0], [0.85, 2.15], ":", color="#999999")
axis.text(0.15, 1.5, "less the forget set", va="center", fontsize=9)
save(figure, Path(__file__))
