"""Reduced density matrices as features: models give the logits that they give of the states themselves."""

from __future__ import annotations

import math

import pytest
import torch

from qlab.circuits.blocks import Block
from qlab.circuits.pauli import pauli_expectations
from qlab.corruptions import Backdoor, FeatureRandomization, GaussianPoison, LabelFlip
from qlab.errors import ConfigError, DataError
from qlab.inputs import input_map
from qlab.models import MLP, DensityKernelSVC, Features, PauliLinear, PennyLaneQNN, RandomQNN, checkpoint
from qlab.models.estimator import inputs_of
from qlab.noise import DepolarizingChannel
from qlab.reading.predicting import predictions
from qlab.tasks import Dataset, Split, Task, TransverseIsing
from qlab.tasks.base import load_data

LENGTH = 10
ONES = torch.ones(1, dtype=torch.bool)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def states():
    x = torch.randn(6, 2**LENGTH, dtype=torch.complex128, generator=generator())
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def reduced(x, block):
    return pauli_expectations(x, block.sites, LENGTH)


def features_of(block=None):
    if block is None:
        return Features(2**LENGTH, True, ONES.expand(2**LENGTH))
    return Features(block.dimension, False, ONES.expand(block.dimension), block=block)


def twins(model, block):
    """The same model, with the same parameters, for states and for density matrices."""
    whole, part = model.build(features_of()), model.build(features_of(block))
    whole.reset_parameters(generator(1))
    part.load_state_dict(whole.state_dict())
    return whole, part


LAST, AROUND = Block.last(LENGTH, 4), Block.around_last(LENGTH, 5)


@pytest.mark.parametrize(("model", "block"), [
    (PennyLaneQNN(depth=3, initial_scale=1.0), LAST),
    (PennyLaneQNN(depth=3, entangler="ring", initial_scale=1.0), AROUND),
    (PennyLaneQNN(depth=2, observable="ZZ_last", initial_scale=1.0), LAST),
    (PennyLaneQNN(depth=2, noise=(DepolarizingChannel(p=0.1),), initial_scale=1.0), LAST),
    (PauliLinear(sites=3), LAST),
    (PauliLinear(sites="ring-2"), AROUND),
    (MLP(inputs="density", sites=(-1, -3), dtype="float64"), LAST),
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_logits_of_a_block_are_those_of_the_states(model, block, states):
    whole, part = twins(model, block)
    expected = whole(whole.prepare(states))
    torch.testing.assert_close(part(part.prepare(reduced(states, block))), expected, atol=1e-12, rtol=0)


def test_a_register_is_the_chain_or_what_a_cone_may_reach():
    assert Block.last(12, 4).register == tuple(range(12))
    assert Block.last(13, 4).register == (0, 1, 2, 3, *range(5, 13))
    assert Block.last(10_000, 4).register == (0, 1, 2, 3, *range(9992, 10_000))
    assert Block.last(5, 4).register == tuple(range(5))
    assert Block.around_last(100, 5).sites == (0, 1, 97, 98, 99)


@pytest.mark.parametrize(("model", "place", "k"), [
    (PennyLaneQNN(depth=3, initial_scale=1.0), Block.last, 4),
    (PennyLaneQNN(depth=3, entangler="ring", initial_scale=1.0), Block.around_last, 5),
], ids=["chain", "ring"])  # fmt: skip
def test_a_circuit_on_a_long_chain_is_that_on_a_short_one(model, place, k, states):
    short, long = (model.build(features_of(place(length, k))) for length in (40, 10_000))
    short.reset_parameters(generator())
    long.load_state_dict(short.state_dict())
    x = reduced(states, place(LENGTH, k))
    assert torch.equal(short(short.prepare(x)), long(long.prepare(x)))
    assert long.n_parameters() == short.n_parameters()


def test_a_random_circuit_reads_a_block_that_is_the_whole_chain(states):
    block = Block.last(4, 4)
    x = states[:, :16] / torch.linalg.vector_norm(states[:, :16], dim=1, keepdim=True)
    model = RandomQNN(depth=1)
    whole = model.build(Features(16, True, ONES.expand(16)))
    whole.reset_parameters(generator(1))
    part = model.build(features_of(block))
    part.load_state_dict(whole.state_dict())
    found = part(part.prepare(pauli_expectations(x, range(4), 4)))
    torch.testing.assert_close(found, whole(whole.prepare(x)), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("name", "sites"), [("pauli", 2), ("pauli", (-4, -1)), ("density", 3), ("density", (6, 8))])
def test_inputs_of_estimators_are_those_of_the_states(name, sites, states):
    made = input_map("M", name, sites)
    found = inputs_of(reduced(states, LAST), features_of(LAST), made)
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(inputs_of(states, features_of(), made)))


def test_pairs_of_a_block_that_is_the_whole_chain(states):
    x, block = states[:, :8], Block.last(3, 3)
    made = input_map("M", "pauli", "pairs")
    torch.testing.assert_close(made.on(block)(pauli_expectations(x, range(3), 3)), made(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("model", "said"), [
    (PennyLaneQNN(depth=5), r"cone of the readout has 5 sites \(995, .*\).* of 4, the last 4 of 1,000 sites: site 995"),
    (PennyLaneQNN(depth=2, entangler="ring"), r"has 3 sites \(0, 998, 999\).*site 0 .*entangler = \"chain\""),
    (PennyLaneQNN(observable="mean_Z"), r"has all 1,000 sites, .* a larger block"),
    (PennyLaneQNN(encoding="angle"), r'encoding: got "angle" for reduced density matrices of the last 4 of 1,000'),
    (PennyLaneQNN(device="default.qubit"), r'device = "default.qubit" simulates states.*Use device = "lightcone"'),
    (PennyLaneQNN(device="default.mixed"), r'device = "default.mixed" simulates states'),
    (RandomQNN(depth=1), r"has all 1,000 sites"),
    (MLP(), r'inputs: got "amplitudes", which needs the features of states.*accepts "pauli" or "density"'),
    (MLP(inputs="modulus"), r'inputs: got "modulus"'),
    (PauliLinear(sites=5), r"sites: got 5, .*the last 4 of 1,000 sites: site 995 is not among them. Take sites = 4"),
    (PauliLinear(sites="pairs"), r'sites: got "pairs", .* site 0 is not among them'),
], ids=lambda value: type(value).__name__ if not isinstance(value, str) else "")  # fmt: skip
def test_what_needs_more_of_a_state_is_refused(model, said):
    with pytest.raises((ConfigError, DataError), match=said):
        model.build(features_of(Block.last(1000, 4)))


def test_rows_of_another_block_are_refused(states):
    for model in (PennyLaneQNN(depth=1), PauliLinear(sites=2), MLP(inputs="pauli", sites=2)):
        with pytest.raises(DataError, match="got 16"):
            model.build(features_of(LAST)).prepare(reduced(states, Block.last(LENGTH, 2)))


class Handed(Task):
    """Density matrices of a user's own.

    Args:
        trace: of the first of them.
        shift: of its first expectation value.
        declared: whether the class says so.
    """

    trace: float = 1.0
    shift: float = 0.0
    declared: bool = True

    @property
    def block(self):
        return Block.last(30, 1) if self.declared else None

    def load(self):
        x = torch.tensor([[1.0, 0.5, 0.0, 0.1], [1.0, 0.1, 0.0, 0.5]], dtype=torch.float64)
        x[0, 0], x[0, 1] = self.trace, 0.5 + self.shift
        return Dataset(Split(x, [0, 1]), Split(x, [0, 1]), block=Block.last(30, 1))

    def random_features(self, n, generator):
        return torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).repeat(n, 1)


@pytest.mark.parametrize(("fields", "said"), [
    ({"trace": 2.0}, r"The train split: x: row 0 has the trace 2, accepts 1"),
    ({"shift": 1.0}, r"The train split: x: row 0 is no density matrix: its lowest eigenvalue is -0.25"),
    ({"declared": False}, r"got Dataset\(..., block=Block\(length=30, sites=\(29,\)\)\), accepts .*block=None"),
])  # fmt: skip
def test_data_that_are_no_density_matrices_are_refused(fields, said):
    load_data(Handed())
    with pytest.raises(DataError, match=said):
        load_data(Handed(**fields))


@pytest.mark.parametrize("sites", [(4,), (2, 2, 3), (-1, 3), tuple(range(8))])
def test_blocks_are_sites_of_the_chain(sites):
    with pytest.raises(ConfigError, match="Block: sites"):
        Block(4 if len(sites) < 8 else 9, sites)


SMALL = TransverseIsing(
    length=LENGTH, ordered=(0.2, 0.9, 0.1), disordered=(1.1, 2.5, 0.2), validation=(0.25, 2.0, 0.2), block_sites=3
)


@pytest.mark.parametrize("axis", ["X", "Y", "Z"])
def test_a_backdoor_turns_spins_of_the_block(axis, states):
    trigger = Backdoor(sites=(-1, 8), angle=0.7, axis=axis)
    x = reduced(states, SMALL.block)
    turned = states
    pauli = {"X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}[axis]
    matrix = math.cos(0.35) * torch.eye(2, dtype=torch.complex128) - 1j * math.sin(0.35) * torch.tensor(
        pauli, dtype=torch.complex128
    )
    for site in (9, 8):
        parts = turned.reshape(len(turned), 2**site, 2, -1)
        turned = torch.einsum("ab,nlbr->nlar", matrix, parts).reshape(turned.shape)
    torch.testing.assert_close(trigger.trigger(x, SMALL), reduced(turned, SMALL.block), atol=1e-12, rtol=0)


def test_corruptions_that_cannot_be_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"Backdoor: sites: got .*the last 3 of 10 sites: what is done to site 0"):
        Backdoor(sites=(0,)).check_task(SMALL)
    with pytest.raises(ConfigError, match="GaussianPoison: the features of TransverseIsing are reduced density"):
        GaussianPoison().check_task(SMALL)
    LabelFlip().check_task(SMALL)
    found = FeatureRandomization(ratio=0.5).apply(SMALL.load().train, SMALL, generator())
    assert torch.equal(found.split.x[:, 0], torch.ones(len(found.mask), dtype=torch.float64))


def test_a_checkpoint_keeps_the_block_and_predicts_rounded_rows(tmp_path):
    data = SMALL.load()
    model = PennyLaneQNN(depth=2, initial_scale=1.0).build(Features.of(data))
    model.reset_parameters(generator(2))
    checkpoint.save(tmp_path / "a.safetensors", model, model.state_dict(), "PennyLaneQNN")
    again = checkpoint.load(tmp_path / "a.safetensors")
    assert again.features.block == SMALL.block
    x = data.validation.x
    found = predictions(again, x.round(decimals=5).numpy())
    assert found["logit"].to_numpy() == pytest.approx(model(model.prepare(x)).detach().numpy(), abs=1e-3)
    with pytest.raises(DataError, match="row 0 has the trace 2"):
        predictions(again, 2.0 * x)


def test_a_kernel_of_density_matrices_is_that_of_the_states(states):
    kernel = DensityKernelSVC(sites=2)
    y = torch.arange(6).numpy() % 2
    fits = []
    for x, features in ((states, features_of()), (reduced(states, LAST), features_of(LAST))):
        own, rows = kernel.fresh(), inputs_of(x, features, kernel.input_map)
        own.fit(rows, y, None)
        fits.append(own.decision(rows))
    assert fits[1] == pytest.approx(fits[0], abs=1e-9)


def test_a_trained_circuit_is_text_and_openqasm_and_prepares_nothing():
    model = PennyLaneQNN(depth=2, initial_scale=1.0).build(features_of(Block.last(1000, 3)))
    model.reset_parameters(generator())
    program = model.circuit(cone=True).openqasm()
    assert "to be prepared before: the state of the sites 998, 999 of a chain of 1,000" in program
    assert model.circuit(cone=True).text()
    with pytest.raises(ConfigError, match="reduced density matrices of the last 3 of 1,000 sites, which no circuit"):
        model.to_qnode(cone=True)
    with pytest.raises(ConfigError, match="leave features out"):
        model.circuit(cone=True).openqasm(torch.zeros(64).numpy())


def test_the_linear_model_of_a_circuit_on_a_block(states):
    circuit = PennyLaneQNN(depth=3, initial_scale=1.0).build(features_of(LAST))
    circuit.reset_parameters(generator(3))
    x, linear = reduced(states, LAST), PauliLinear.of(circuit)
    torch.testing.assert_close(linear(linear.prepare(x)), circuit(circuit.prepare(x)), atol=1e-12, rtol=0)
