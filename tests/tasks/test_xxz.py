"""XXZ ground states against closed forms and dense diagonalisation of the whole register."""

from __future__ import annotations

import functools
import math

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.errors import ConfigError
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.tasks import XXZ
from qlab.tasks.xxz import grid
from qlab.tasks.xxz_ground_states import ZeroMagnetizationSector, ground_states

PAULIS = {
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}


@functools.cache
def bond_sum(length, letter):
    """sum_i P_i P_{i+1} on the periodic chain, dense, site 0 the leftmost factor."""
    total = np.zeros((2**length, 2**length))
    for site in range(length):
        factors = [np.eye(2)] * length
        factors[site] = PAULIS[letter]
        factors[(site + 1) % length] = PAULIS[letter]
        total = total + functools.reduce(np.kron, factors).real
    return total


def dense_hamiltonian(length, delta):
    return bond_sum(length, "X") + bond_sum(length, "Y") + delta * bond_sum(length, "Z")


def small(**fields):
    defaults = {"length": 4, "gapless": (-0.9, 0.9, 0.3), "gapped": (1.2, 3.0, 0.3), "validation": (-0.85, 2.75, 0.2)}
    return XXZ(**(defaults | fields))


@pytest.mark.parametrize("length", [4, 6, 8, 10, 12])
def test_energy_at_delta_zero_is_that_of_free_fermions(length):
    _, energies = ground_states(length, [0.0])
    assert energies[0] == pytest.approx(-4.0 / math.sin(math.pi / length), abs=1e-10)


def test_energy_of_the_heisenberg_ring_of_four_is_minus_eight():
    _, energies = ground_states(4, [1.0])
    assert energies[0] == pytest.approx(-8.0, abs=1e-12)


@pytest.mark.parametrize("length", [4, 6, 8])
@pytest.mark.parametrize("delta", [-0.999, -0.96, -0.5, 0.0, 0.3, 0.99, 1.0, 1.01, 2.0, 3.0, 20.0])
def test_ground_state_equals_dense_diagonalisation_of_the_full_space(length, delta):
    energies, vectors = np.linalg.eigh(dense_hamiltonian(length, delta))
    states, found = ground_states(length, [delta])
    assert found[0] == pytest.approx(energies[0], abs=1e-10 * max(1.0, abs(energies[0])))
    assert abs(vectors[:, 0] @ states[0]) ** 2 == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("length", "delta"), [(8, 60.0), (10, 3.0), (10, 60.0), (12, 3.0), (12, 100.0)])
def test_ground_state_is_not_mixed_with_its_nearly_degenerate_neel_partner(length, delta):
    """Deep in the gapped phase the two lowest levels differ by the symmetry under a shift by one site."""
    sector = ZeroMagnetizationSector(length)
    states, energies = ground_states(length, [delta])
    state = states[0]
    inside = state[sector.basis]
    assert np.linalg.norm(sector.hamiltonian(delta) @ inside - energies[0] * inside) < 1e-8 * abs(energies[0])
    shifted = state.reshape([2] * length).transpose([*range(1, length), 0]).reshape(-1)
    flipped = state[::-1]
    sign = (-1.0) ** (length // 2)
    assert shifted @ state == pytest.approx(sign, abs=1e-8)
    assert flipped @ state == pytest.approx(sign, abs=1e-8)


def test_ground_states_are_the_same_bit_by_bit_when_computed_again():
    for length in (6, 8, 10):
        first, again = ground_states(length, [-0.5, 2.0]), ground_states(length, [-0.5, 2.0])
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("length", [4, 8])
def test_sector_hamiltonian_is_the_block_of_the_dense_one(length):
    sector = ZeroMagnetizationSector(length)
    block = dense_hamiltonian(length, 0.7)[np.ix_(sector.basis, sector.basis)]
    np.testing.assert_allclose(sector.hamiltonian(0.7).toarray(), block, atol=1e-13)


@pytest.mark.parametrize("delta", [-1.0, -1.5])
def test_sector_refuses_deltas_without_a_unique_ground_state(delta):
    with pytest.raises(ValueError, match="above -1"):
        ZeroMagnetizationSector(4).ground_state(delta)


def test_states_are_real_normalised_and_the_largest_component_is_positive():
    states, _ = ground_states(8, [-0.9, 0.2, 1.4, 3.0])
    assert states.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(states, axis=1), 1.0, atol=1e-12)
    leading = np.abs(states).argmax(1)
    assert (states[np.arange(4), leading] > 0).all()


def test_sign_of_tied_components_is_fixed_by_the_lowest_basis_index():
    """Both Neel states carry the largest weight; on six sites with opposite signs."""
    states, _ = ground_states(6, [2.0])
    neel, partner = int("010101", 2), int("101010", 2)
    assert states[0, neel] == pytest.approx(np.abs(states[0]).max())
    assert states[0, partner] == pytest.approx(-states[0, neel])


def test_default_grids_have_the_sizes_of_the_paper():
    data = XXZ(length=4).load()
    assert torch.bincount(data.train.y).tolist() == [97, 100]
    assert torch.bincount(data.validation.y).tolist() == [99, 100]


def test_split_tells_delta_energy_and_phase_of_each_state():
    data = small().load()
    deltas = np.array([-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3.0])
    np.testing.assert_allclose(data.train.about["delta"].numpy(), deltas, atol=1e-12)
    np.testing.assert_array_equal(data.train.y.numpy(), (deltas > 1.0).astype(int))
    energies = [np.linalg.eigvalsh(dense_hamiltonian(4, delta))[0] for delta in deltas]
    np.testing.assert_allclose(data.train.about["energy"].numpy(), energies, atol=1e-10)
    assert data.train.x.shape == (14, 16)
    assert (data.train.x.dtype, data.train.y.dtype) == (torch.complex128, torch.int64)


def test_validation_states_are_none_of_the_training_states():
    task = XXZ()
    train = {*grid(task.gapless), *grid(task.gapped)}
    assert train.isdisjoint(grid(task.validation))


@pytest.mark.parametrize("gauge", ["fixed", "random-sign", "random-phase"])
def test_energy_of_the_features_as_pennylane_measures_it(gauge):
    """Site i is wire i: the Hamiltonian written on wires gives the energies that the task reports."""
    data = small(gauge=gauge).load()
    row, delta = 9, 1.8
    bonds = [(wire, (wire + 1) % 4) for wire in range(4)]
    terms = [qml.X(a) @ qml.X(b) + qml.Y(a) @ qml.Y(b) + delta * (qml.Z(a) @ qml.Z(b)) for a, b in bonds]

    @qml.qnode(qml.device("default.qubit", wires=4))
    def energy():
        qml.StatePrep(data.train.x[row].numpy(), wires=range(4))
        return qml.expval(qml.sum(*terms))

    assert float(energy()) == pytest.approx(float(data.train.about["energy"][row]), abs=1e-10)


def test_gauges_are_the_same_states_up_to_phase():
    fixed, sign, phase = (small(gauge=gauge).load() for gauge in ("fixed", "random-sign", "random-phase"))
    for other in (sign, phase):
        for split in ("train", "validation"):
            x, z = getattr(fixed, split).x, getattr(other, split).x
            overlaps = (x.conj() * z).sum(1).abs()
            torch.testing.assert_close(overlaps, torch.ones_like(overlaps), atol=1e-12, rtol=0)


def test_fixed_gauge_is_real_with_the_largest_component_positive():
    x = small(gauge="fixed").load().train.x
    assert float(x.imag.abs().max()) == 0.0
    leading = x.abs().argmax(1)
    assert bool((x.real[torch.arange(len(x)), leading] > 0).all())


def test_random_sign_gauge_is_real_and_has_both_signs():
    fixed, signed = small(gauge="fixed").load().train.x, small(gauge="random-sign").load().train.x
    signs = (fixed.conj() * signed).sum(1)
    assert float(signs.imag.abs().max()) == 0.0
    assert sorted(set(signs.real.round().int().tolist())) == [-1, 1]


def test_random_phases_are_spread_over_the_circle():
    many = {"gapless": (-0.9, 0.9, 0.005), "gapped": (1.1, 2.9, 0.005)}
    fixed, turned = small(gauge="fixed", **many).load().train.x, small(gauge="random-phase", **many).load().train.x
    phases = (fixed.conj() * turned).sum(1)
    moments = [float((phases**k).mean().abs()) for k in (1, 2, 3)]
    assert max(moments) < 4.0 / math.sqrt(len(phases))


@pytest.mark.parametrize("gauge", ["random-sign", "random-phase"])
def test_gauge_seed_decides_the_gauge(gauge):
    first, again, other = (small(gauge=gauge, gauge_seed=seed).load() for seed in (3, 3, 4))
    assert torch.equal(first.train.x, again.train.x)
    assert torch.equal(first.validation.x, again.validation.x)
    assert not torch.equal(first.train.x, other.train.x)


def test_a_quantum_model_does_not_see_the_gauge_and_a_perceptron_does():
    fixed, turned = small(gauge="fixed").load(), small(gauge="random-phase").load()
    for model, sees in ((PennyLaneQNN(depth=3), False), (MLP(hidden=(8,), dtype="float64"), True)):
        built = model.build(Features.of(turned))
        built.reset_parameters(torch.Generator().manual_seed(1))
        with torch.no_grad():
            difference = float((built(built.prepare(fixed.train.x)) - built(built.prepare(turned.train.x))).abs().max())
        assert difference > 1e-3 if sees else difference < 1e-12


def test_random_features_are_complex_gaussian_directions():
    task = small()
    x = task.random_features(4000, torch.Generator().manual_seed(0))
    assert (x.shape, x.dtype) == ((4000, 16), torch.complex128)
    torch.testing.assert_close(torch.linalg.vector_norm(x, dim=1), torch.ones(4000, dtype=torch.float64))
    covariance = x.mH @ x / 4000
    torch.testing.assert_close(covariance, torch.eye(16, dtype=torch.complex128) / 16, atol=0.006, rtol=0)
    pseudo_covariance = x.mT @ x / 4000
    assert float(pseudo_covariance.abs().max()) < 0.006
    assert torch.equal(x, task.random_features(4000, torch.Generator().manual_seed(0)))


@settings(deadline=None, max_examples=200)
@given(
    first=st.integers(-2000, 2000),
    count=st.integers(1, 300),
    step=st.integers(1, 500),
    digits=st.integers(2, 4),
)
def test_grid_includes_both_ends_for_any_decimal_step(first, count, step, digits):
    scale = 10**digits
    last = first + (count - 1) * step
    points = grid((first / scale, last / scale, step / scale))
    assert points == [round((first + k * step) / scale, 12) for k in range(count)]


def test_grid_stops_below_a_last_value_between_points():
    assert grid((0.0, 1.0, 0.3)) == [0.0, 0.3, 0.6, 0.9]


@pytest.mark.parametrize(
    ("fields", "given_text", "accepted"),
    [
        pytest.param({"length": 5}, "got 5", "divisible by 2", id="odd length"),
        pytest.param({"length": 2}, "got 2", "[4, 512]", id="short chain"),
        pytest.param({"length": 22}, "got 22", "[4, 20]", id="long chain"),
        pytest.param({"length": "12"}, 'got "12"', "an integer", id="length is a string"),
        pytest.param({"length": 12.0}, "got 12.0", "an integer", id="length is a float"),
        pytest.param({"length": True}, "got true", "an integer", id="length is a bool"),
        pytest.param({"gapless": (-1.0, 0.5, 0.1)}, "from -1 to 0.5", "between -1 and 1", id="gapless at -1"),
        pytest.param({"gapless": (0.5, 1.5, 0.4)}, "to 1.3", "between -1 and 1", id="gapless above 1"),
        pytest.param({"gapped": (0.9, 2.0, 0.2)}, "from 0.9", "between 1 and inf", id="gapped below 1"),
        pytest.param({"validation": (-1.5, 2.0, 0.3)}, "from -1.5", "between -1 and inf", id="validation below -1"),
        pytest.param({"validation": (0.9, 1.1, 0.1)}, "delta = 1", "shift it", id="grid hits the transition"),
        pytest.param({"gapless": (0.5, -0.5, 0.1)}, "got [0.5, -0.5, 0.1]", "first <= last", id="empty grid"),
        pytest.param({"gapless": (0.0, 0.5, 0.0)}, "got [0.0, 0.5, 0.0]", "above 0", id="step of zero"),
        pytest.param({"gapless": (0.0, 0.5)}, "got [0.0, 0.5]", "a number above 0", id="grid without a step"),
        pytest.param({"gapless": (0.0, math.nan, 0.1)}, "nan", "a number", id="NaN in a grid"),
        pytest.param({"gapless": "all"}, 'got "all"', "a list [a number", id="grid is a string"),
        pytest.param({"gauge": "random"}, 'got "random"', '"random-phase"', id="unknown gauge"),
        pytest.param({"gauge_seed": -1}, "got -1", "at least 0", id="negative gauge seed"),
    ],
)
def test_bad_fields_say_what_was_given_and_what_is_accepted(fields, given_text, accepted):
    with pytest.raises(ConfigError) as caught:
        XXZ(**fields)
    message = str(caught.value)
    assert message.startswith(f"XXZ: {next(iter(fields))}")
    assert given_text in message
    assert accepted in message


def test_lists_from_toml_and_integers_for_floats_are_taken():
    task = XXZ(gapless=[0, 0.5, 0.25], gapped=[2, 3, 1])
    assert task == XXZ(gapless=(0.0, 0.5, 0.25), gapped=(2.0, 3.0, 1.0))
    assert task.config()["gapped"] == [2.0, 3.0, 1.0]
