"""Draws terms_a_and_b.svg: the curvature of the loss of one row along one parameter, and its two terms."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from style import COLOURS, save

SCALE = 5.0
theta = np.linspace(-np.pi, np.pi, 801)
LOGITS = {  # z(theta), its first and its second derivative
    "an angle of a circuit: z = 5 cos(theta)": (
        SCALE * np.cos(theta),
        -SCALE * np.sin(theta),
        -SCALE * np.cos(theta),
    ),
    "a ReLU weight: z = 5 max(0, theta) - 2": (
        SCALE * np.maximum(theta, 0) - 2,
        SCALE * (theta > 0),
        np.zeros_like(theta),
    ),
}

figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.2), sharey=True, layout="constrained")
for axis, (title, (z, slope, bend)) in zip(axes, LOGITS.items(), strict=True):
    p, y = 1 / (1 + np.exp(-z)), 1
    a, b = p * (1 - p) * slope**2, (p - y) * bend
    axis.plot(theta, a + b, color="black", label="second derivative of the loss")
    axis.plot(theta, a, "--", color=COLOURS[0], label="A = p (1 - p) z'²")
    axis.plot(theta, b, ":", color=COLOURS[1], linewidth=2, label="B = (p - y) z''")
    axis.axhline(0, color="#999999", linewidth=0.8, zorder=0)
    axis.set(title=title, xlabel="theta")
axes[0].set_ylabel("curvature, label y = 1")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
save(figure, Path(__file__))
