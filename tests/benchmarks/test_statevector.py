"""The statevector engine against gates applied one by one: the circuit on MNIST, 10 qubits, a ring, depth 6, 5 members.

Target on one core: at least 5 times faster, in a training step of 256 rows and in an evaluation of 1,500.
"""

from __future__ import annotations

import functools
import time

import pytest
import torch
from torch.func import vmap

from qlab.circuits import Recording, StatevectorEngine, bonds, light_cone, rotation_rows
from qlab.circuits.matrices import Unitaries

N_WIRES, DEPTH, MEMBERS, BATCH, ROWS = 10, 6, 5, 256, 1500


class GateByGate(torch.nn.Module):
    """Every block of a gate on two wires and the rotations before it as a matrix product with the whole state."""

    def __init__(self, recording, cone):
        super().__init__()
        self.unitaries, self.n_wires = Unitaries(recording, cone.gates), recording.n_wires
        self.readout = cone.observable.single_z

    def forward(self, flat, states):
        unitaries, axes, rows = self.unitaries(flat), list(range(self.n_wires)), len(states)
        for block, row in zip(self.unitaries.blocks, self.unitaries.row, strict=True):
            rest = [wire for wire in axes if wire not in block.wires]
            order = [0, *(1 + axes.index(wire) for wire in [*rest, *block.wires])]
            matrix = states.reshape(rows, *[2] * self.n_wires).permute(order).reshape(-1, 2 ** len(block.wires))
            states = matrix @ unitaries[len(block.wires)][row].mT
            axes = [*rest, *block.wires]
        probability = torch.view_as_real(states).square().sum(-1)
        marginal = probability.reshape(rows, 2 ** axes.index(self.readout), 2, -1).sum((1, 3))
        return marginal[:, 0] - marginal[:, 1]


def fastest(functions, repeats=4):
    """Seconds of each function, in turns; the first call of each left out."""
    seconds = {name: float("inf") for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if repeat:
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_stages_against_gates(dtype, capsys):
    pairs = bonds(N_WIRES, "ring")
    shapes = {"rotations": (DEPTH, 3, N_WIRES), "couplings": (DEPTH, len(pairs))}
    recording = Recording(lambda rotations, couplings: rotation_rows(rotations, couplings, pairs), shapes, N_WIRES)
    cone = light_cone(recording.gates, N_WIRES - 1)
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(ROWS, 2**N_WIRES, generator=generator, dtype=torch.float64))
    weights = torch.randn(MEMBERS, recording.n_weights, generator=generator).to(dtype)
    batch = torch.stack([torch.randperm(ROWS, generator=generator)[:BATCH] for _ in range(MEMBERS)])
    engines = {"stages": StatevectorEngine(recording, cone), "gates": GateByGate(recording, cone)}
    prepared = {"stages": engines["stages"].prepare(x).to(dtype), "gates": x.to(dtype.to_complex())}
    found = {}

    def step(name):
        w = weights.clone().requires_grad_()
        z = vmap(engines[name])(w, prepared[name][batch])
        z.sigmoid().sum().backward()
        found[name] = w.grad

    @torch.no_grad()
    def evaluation(name):
        vmap(engines[name], in_dims=(0, None))(weights, prepared[name])

    for what in (step, evaluation):
        seconds = fastest({name: functools.partial(what, name) for name in engines})
        with capsys.disabled():
            print(
                f"\n{what.__name__} in {dtype}: {1e3 * seconds['stages']:.0f} ms in {len(engines['stages'].stages)} "
                f"stages, {1e3 * seconds['gates']:.0f} ms gate by gate: "
                f"{seconds['gates'] / seconds['stages']:.1f} times faster"
            )
        assert seconds["gates"] > seconds["stages"]
    torch.testing.assert_close(found["stages"], found["gates"], atol=1e-9 if dtype == torch.float64 else 1e-2, rtol=0)
