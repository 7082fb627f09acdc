"""What is computed from data once: by identity, not beyond a limit, and never of data that changed."""

from __future__ import annotations

import gc

import pytest
import torch

from qlab import MLP, XXZ, Features, LabelFlip, Member, PauliLinear, PennyLaneQNN
from qlab.inputs import input_map
from qlab.models.estimator import inputs_of
from qlab.models.rows import prepare_features
from qlab.remembered import REMEMBERED, Remembered
from qlab.tasks.features import TiedFeatures
from qlab.training.data import prepare


class Counted:
    """Doubles a tensor, and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return 2.0 * x


def ask(memory, made, x, what="double"):
    return memory.of(x, what, lambda: made(x))


def test_the_same_of_the_same_tensor_is_computed_once():
    memory, made, x = Remembered(), Counted(), torch.ones(3)
    assert ask(memory, made, x) is ask(memory, made, x)
    assert made.calls == 1
    ask(memory, made, x, "other")
    ask(memory, made, x.clone())
    assert made.calls == 3


def test_a_tensor_that_was_written_to_is_another():
    memory, made, x = Remembered(), Counted(), torch.ones(3)
    ask(memory, made, x)
    x[1] = 5.0
    assert ask(memory, made, x).tolist() == [2.0, 10.0, 2.0]


def test_what_belongs_to_data_that_are_gone_is_let_go():
    memory, made = Remembered(), Counted()
    for _ in range(5):
        ask(memory, made, torch.ones(1000))
    gc.collect()
    ask(memory, made, kept := torch.ones(10))
    assert memory.nbytes == 40
    assert len(kept) == 10


def test_there_is_a_limit_and_what_was_needed_longest_ago_goes_first():
    memory, made = Remembered(most_bytes=2 * 4000), Counted()
    one, two, three = (torch.full((1000,), value) for value in (1.0, 2.0, 3.0))
    for x in (one, two, one, three):
        ask(memory, made, x)
    assert (made.calls, memory.nbytes) == (3, 8000)
    ask(memory, made, one)
    assert made.calls == 3
    ask(memory, made, two)
    assert made.calls == 4
    large = torch.ones(10_000)
    assert len(ask(memory, made, large)) == 10_000
    assert memory.nbytes <= 8000


def test_parts_of_features_are_known_by_where_they_come_from():
    memory, made, whole = Remembered(), Counted(), torch.arange(6.0)
    for _ in range(2):
        part = whole[2:4].clone()
        memory.is_part(part, whole, 2, 4)
        assert ask(memory, made, part).tolist() == [4.0, 6.0]
    assert made.calls == 1


def test_nothing_is_kept_in_transforms_in_inference_mode_or_with_gradients():
    memory, made, x = Remembered(), Counted(), torch.ones(3)
    torch.func.vmap(lambda row: ask(memory, made, x).sum() + row)(x)
    with torch.inference_mode():
        ask(memory, made, x)
    ask(memory, made, torch.ones(3, requires_grad=True))
    assert memory.nbytes == 0


@pytest.fixture
def computed(monkeypatch):
    """The sites of which expectation values were computed, call by call."""
    from qlab.circuits.pauli import pauli_expectations

    seen = []

    def counted(x, wires, n_wires):
        seen.append((len(x), tuple(wires)))
        return pauli_expectations(x, wires, n_wires)

    monkeypatch.setattr("qlab.circuits.encodings.pauli_expectations", counted)
    return seen


def test_circuits_and_classical_models_share_what_they_see_of_a_data_set(computed):
    task = XXZ(length=6, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
    data = task.load()
    features, members = Features.of(data), [Member.of(task, data, LabelFlip(ratio=0.2), seed) for seed in (0, 1)]
    models = [PennyLaneQNN(depth=3), PauliLinear(sites=3), MLP(inputs="pauli", sites=3), MLP(inputs="pauli", sites=3)]
    prepared = [
        prepare(model.build(features), members, data.validation, torch.device("cpu")).train_x for model in models
    ]
    for _ in range(2):
        inputs_of(data.train.x, features, input_map("M", "pauli", (3, 4, 5)))
    assert computed == [(len(data.train), (3, 4, 5)), (len(data.validation), (3, 4, 5))]
    assert torch.equal(prepared[0], prepared[1])
    torch.testing.assert_close(prepared[2], prepared[0][:, 1:].float())
    prepare(PauliLinear(sites=2).build(features), members, data.validation, torch.device("cpu"))
    assert len(computed) == 4


def test_so_they_do_where_states_are_not_held(computed, monkeypatch):
    monkeypatch.setattr("qlab.models.rows.CHUNK_BYTES", 16 * 16 * 2)
    drawn = torch.Generator().manual_seed(0)
    coefficients = torch.randn(5, 16, dtype=torch.float64, generator=drawn)
    where = torch.arange(16)
    tied = TiedFeatures(
        16, where, where, torch.ones(16, dtype=torch.float64), coefficients, torch.ones(5, dtype=torch.complex128)
    )
    features = Features(16, True, torch.ones(16, dtype=torch.bool))
    first, second = (
        prepare_features(model.build(features), tied) for model in (PennyLaneQNN(depth=1), PauliLinear(sites=1))
    )
    assert torch.equal(first, second)
    assert [n for n, _ in computed if n > 1] == [2, 2]
    torch.testing.assert_close(first, prepare_features(PauliLinear(sites=1).build(features), tied.dense()))


def test_the_memory_of_the_process_is_bounded():
    assert REMEMBERED.nbytes <= 2**28
