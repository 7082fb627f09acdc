"""Draws light_cone.svg: the gates of the paper's chain circuit that the readout depends on."""

from __future__ import annotations

import os
from pathlib import Path

import style  # noqa: F401  settings of matplotlib

from qlab import XXZ, Features, PennyLaneQNN
from qlab.views.circuit import draw_circuit

script = Path(__file__)
states = XXZ(length=8, gapless=(-0.5, 0.5, 0.5), gapped=(1.5, 2.5, 0.5), validation=(-0.5, 2.5, 1.0)).load()
model = PennyLaneQNN(depth=3).build(Features.of(states))
draw_circuit(model, Path(os.environ.get("FIGURES", script.parent)) / "light_cone.svg")
