"""Draws gauge.svg: three ground states of a small XXZ chain under a fixed and under a random phase."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from style import COLOURS, save

from qlab import XXZ

GAUGES = {"fixed": "fixed: one sign, one axis", "random-phase": "random phase: the same states, turned"}

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.9), sharex=True, sharey=True, layout="constrained")
for axis, (gauge, title) in zip(axes, GAUGES.items(), strict=True):
    states = XXZ(length=6, gauge=gauge).load().train.x[[20, 50, 80]]
    for state, colour in zip(states, COLOURS, strict=False):
        axis.plot(state.real, state.imag, ".", color=colour, markersize=9, alpha=0.7)
    axis.axhline(0, color="#999999", linewidth=0.8, zorder=0)
    axis.axvline(0, color="#999999", linewidth=0.8, zorder=0)
    axis.set(title=title, xlabel="real part of an amplitude", aspect="equal", xlim=(-0.5, 0.5), ylim=(-0.5, 0.5))
axes[0].set_ylabel("imaginary part")
save(figure, Path(__file__))
