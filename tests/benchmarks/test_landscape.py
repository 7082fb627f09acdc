"""Slices, Hessians and traces against doing the same point by point, parameter by parameter.

Targets on 2 cores: a 51 x 51 slice of a chain QNN (12 qubits, depth 4, 197 samples) under 0.3 s, at least 1,000 times
faster than 2,601 calls of default.qubit; of a ring under 10 s; the whole Hessian of the chain under 1 s; the trace
of the 1024-16-4-1 MLP on 100 samples at least 50 times faster than a Hessian-vector product for each parameter.
"""

from __future__ import annotations

import time

import pytest
import torch

from qlab import MLP, XXZ, Features, Landscape, PennyLaneQNN, SliceProbe, Split, seeding
from qlab.landscape import curvature

CALLS = 3
PRODUCTS = 200


def best(repeats, do):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        do()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("entangler", ["chain", "ring"])
def test_slice_and_hessian_of_a_circuit(entangler, capsys):
    data = XXZ().load()
    model = PennyLaneQNN(entangler=entangler).build(Features.of(data))
    model.reset_parameters(seeding.generator(0, "initialization"))
    landscape = Landscape(model, data.train)
    landscape.measure(SliceProbe(directions="random", resolution=3))
    slice_seconds = best(3, lambda: landscape.measure(SliceProbe(directions="random", resolution=51)))
    hessian_seconds = best(3, landscape.hessian)
    slow = PennyLaneQNN(entangler=entangler, device="default.qubit").build(Features.of(data))
    slow.load_state_dict(model.state_dict())
    prepared = slow.prepare(data.train.x)
    with torch.no_grad():
        slow(prepared)
        call = best(CALLS, lambda: slow(prepared))
    with capsys.disabled():
        print(
            f"\n{entangler}: 51 x 51 slice on {len(data.train)} samples {slice_seconds:.3f} s, one default.qubit call "
            f"{1e3 * call:.0f} ms: 2,601 of them take {2601 * call / slice_seconds:.0f} times as long; "
            f"whole Hessian ({landscape.n_parameters} parameters) {hessian_seconds:.3f} s"
        )
    assert slice_seconds < 2601 * call


def test_exact_trace_of_a_network(capsys):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(100, 1024, generator=generator, dtype=torch.float64)
    split = Split(x / x.norm(dim=1, keepdim=True), torch.arange(100) % 2)
    model = MLP(hidden=(16, 4)).build(Features(1024, False, torch.ones(1024, dtype=torch.bool)))
    model.reset_parameters(seeding.generator(0, "initialization"))
    landscape = Landscape(model, split)
    curvature.diagonal_a(landscape)
    exact = best(5, lambda: curvature.diagonal_a(landscape).sum())
    product = curvature.hessian_product(landscape)
    units = torch.eye(landscape.n_parameters, dtype=torch.float64)[:PRODUCTS]
    each = best(2, lambda: [product(unit) for unit in units]) / PRODUCTS
    by_products = each * landscape.n_parameters
    with capsys.disabled():
        print(
            f"\nexact trace of {landscape.n_parameters} parameters on 100 samples {1e3 * exact:.1f} ms, "
            f"{landscape.n_parameters} Hessian-vector products {by_products:.1f} s (from {PRODUCTS} of them): "
            f"{by_products / exact:.0f} times faster"
        )
    assert exact < by_products


def test_slice_of_a_network(capsys):
    data = XXZ(gauge="random-phase").load()
    model = MLP().build(Features.of(data))
    model.reset_parameters(seeding.generator(0, "initialization"))
    landscape = Landscape(model, data.train)
    seconds = best(3, lambda: landscape.measure(SliceProbe(directions="filter", resolution=51)))
    one = best(3, lambda: landscape.evaluate_points(landscape.theta[None]))
    with capsys.disabled():
        print(
            f"\nMLP with {landscape.n_parameters} parameters: 51 x 51 slice {seconds:.2f} s, "
            f"2,601 single evaluations {2601 * one:.1f} s"
        )
    assert seconds < 2601 * one
