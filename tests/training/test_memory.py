"""What an ensemble needs, how it is cut, and evaluations of some rows at a time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import DataError
from qlab.models import CNOTQNN, MLP, Features, PennyLaneQNN
from qlab.training import Member, Trainer
from qlab.training.memory import Need, size, training_need, unlearning_need

MODELS = {
    "cone": PennyLaneQNN(depth=2),
    "statevector": CNOTQNN(depth=2),
    "QNode": PennyLaneQNN(depth=2, device="default.qubit"),  # of depth 1 every logit is zero but for rounding
    "MLP": MLP(hidden=(6, 3), dtype="float64"),
}


@settings(deadline=None)
@given(
    shared=st.integers(0, 10**6),
    member=st.integers(1, 10**6),
    evaluation=st.integers(0, 10**8),
    count=st.integers(1, 60),
    room=st.integers(1, 10**8),
)
def test_parts_fit_and_hold_every_member_once_in_order(shared, member, evaluation, count, room):
    need = Need(shared, member, evaluation)
    budget = need.total(1) + room
    parts = need.parts(list(range(count)), budget, "it")
    assert [item for part in parts for item in part] == list(range(count))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert need.total(max(sizes)) <= budget
    if len(parts) > 1:
        assert need.total(-(-count // (len(parts) - 1))) > budget


def test_one_member_that_does_not_fit_is_refused_with_sizes():
    with pytest.raises(DataError, match=r"^The MLP needs about 3 GB .* single model, and may take 2 GB; .*--memory"):
        Need(10**9, 2 * 10**9).parts([0, 1], 2 * 10**9, "The MLP")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2**30, "1.07 GB"), (3 * 10**12, "3 TB")]
)
def test_sizes_in_words(count, text):
    assert size(count) == text


@pytest.mark.parametrize("name", MODELS)
def test_what_is_needed_grows_with_everything(name):
    model = MODELS[name].build(Features(16, True, torch.ones(16, dtype=torch.bool)))
    row = model.prepare(torch.ones(1, 16, dtype=torch.complex128)).numel()
    base = training_need(model, 100, 50, row, batch_size=32, shared=True)
    assert base.member >= 5 * 8 * model.n_parameters()
    own = training_need(model, 100, 50, row, batch_size=32, shared=False)
    assert own.member - base.member == 8 * 100 * row
    held = training_need(model, 100, 50, row, batch_size=32, shared=False, own_bytes=1000)
    assert held.member - own.member == 1000
    kept = training_need(model, 100, 50, row, batch_size=32, shared=True, snapshots=4)
    assert kept.member - base.member == 8 * 8 * model.n_parameters()
    assert training_need(model, 100, 50, row, batch_size=64, shared=True).member > base.member
    plain = training_need(model, 100, 50, row, batch_size=32, shared=True, moments=0)  # SGD without momentum
    assert base.member - plain.member == 2 * model.n_parameters() * model.dtype.itemsize
    assert unlearning_need(model, 100, 50, row, shared=True).member > base.member
    assert base.total(3) - base.total(1) == 2 * (base.member + base.evaluation)


def test_dropout_needs_more():
    plain, dropping = (
        MLP(dropout=dropout).build(Features(16, True, torch.ones(16, dtype=torch.bool))) for dropout in (0.0, 0.2)
    )
    needs = [training_need(model, 100, 50, 32, batch_size=32, shared=True) for model in (plain, dropping)]
    assert needs[1].member > needs[0].member


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.3), FeatureRandomization(ratio=0.3)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_metrics_of_some_rows_at_a_time_are_those_of_all(small_task, small_data, monkeypatch, name, corruption):
    model = MODELS[name].build(Features.of(small_data, corruption))
    members = [Member.of(small_task, small_data, corruption, seed) for seed in range(3)]
    trainer = Trainer(epochs=2, batch_size=8)
    whole = trainer.fit(model, members, small_data.validation)
    monkeypatch.setattr("qlab.training.metrics.EVALUATION_BYTES", 1)
    apart = trainer.fit(model, members, small_data.validation)
    torch.testing.assert_close(apart.logits, whole.logits, atol=1e-12, rtol=0)
    for metric, values in whole.history.items():
        torch.testing.assert_close(
            torch.tensor(apart.history[metric]), torch.tensor(values), atol=1e-12, rtol=0, equal_nan=True
        )


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.3), FeatureRandomization(ratio=0.3)], ids=str)
def test_picking_rows_before_or_after_is_the_same(small_task, small_data, monkeypatch, corruption):
    model = PennyLaneQNN(depth=2).build(Features.of(small_data, corruption))
    members = [Member.of(small_task, small_data, corruption, seed) for seed in range(3)]
    after = Trainer(epochs=3, batch_size=4).fit(model, members, small_data.validation)
    monkeypatch.setattr("qlab.models.rows.FEW", 0)
    before = Trainer(epochs=3, batch_size=4).fit(model, members, small_data.validation)
    torch.testing.assert_close(before.logits, after.logits, atol=1e-12, rtol=0)


def test_large_features_are_not_copied_for_each_member(small_task, small_data, monkeypatch):
    """Random rows of tensors, too, are drawn again; what is trained is the same."""
    corruption = FeatureRandomization(ratio=0.5)
    trained = []
    for most in (2**26, 0):
        monkeypatch.setattr("qlab.tasks.replaced_features.MOST_COPIED_BYTES", most)
        members = [Member.of(small_task, small_data, corruption, seed) for seed in (0, 1, 0)]
        model = PennyLaneQNN(depth=2).build(Features.of(small_data, corruption))
        assert isinstance(members[0].corrupted.split.x, torch.Tensor) == (most > 0)
        trained.append(Trainer(epochs=2).fit(model, members, small_data.validation).logits)
    assert torch.equal(*trained)


@pytest.mark.parametrize("drawn", [64, 2**23])
def test_initial_kernels_are_drawn_as_one(monkeypatch, drawn):
    monkeypatch.setattr("qlab.models.mlp._DRAWN", drawn)
    active = torch.rand(300, generator=torch.Generator().manual_seed(0)) < 0.5
    model = MLP(hidden=(5,), dtype="float64").build(Features(300, False, active))
    model.reset_parameters(torch.Generator().manual_seed(2))
    full = torch.rand(300, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.equal(model.kernels[0], (2.0 * full[active] - 1.0) * (6.0 / 305) ** 0.5)


ESTIMATE = """
import ctypes, gc, json, sys
import torch
from qlab import Digits, CNOTQNN, MLP, PennyLaneQNN, FeatureRandomization, LabelFlip, Trainer, XXZ
from qlab.models import Features
from qlab.models.rows import prepare_features
from qlab.training import Member
from qlab.training.memory import training_need

name, count = sys.argv[1], int(sys.argv[2])
model, task, corruption = {
    "wide MLP": (MLP(hidden=(256, 16)), XXZ(length=12), LabelFlip(ratio=0.2)),
    "own rows": (PennyLaneQNN(depth=6), XXZ(length=12), FeatureRandomization(ratio=0.2)),
    "states": (CNOTQNN(depth=6), XXZ(length=10), LabelFlip(ratio=0.2)),
}[name]
data = task.load()
built = model.build(Features.of(data, corruption))
members = [Member.of(task, data, corruption, seed) for seed in range(count)]
shared = all(member.corrupted.split.x is data.train.x for member in members)
row = prepare_features(built, data.train.x[:1]).numel()
need = training_need(built, 197, 199, row, batch_size=32, shared=shared)


def peak():
    # Not ru_maxrss, which a process takes over from the one that started it.
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))


gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # what loading freed, training would take again unseen
open("/proc/self/clear_refs", "w").write("5")  # from here on: loading may have peaked higher than training will
before = peak()
Trainer(epochs=1).fit(built, members, data.validation)
taken = peak() - before
json.dump([need.total(count), 1024 * taken], sys.stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(("name", "count"), [("wide MLP", 30), ("own rows", 8), ("states", 24)])
def test_estimates_are_near_what_is_taken(name, count):
    """Not less than 0.6 of it, nor more than four times as much: libraries take some for themselves."""
    command = [sys.executable, "-c", ESTIMATE, name, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    estimated, taken = json.loads(done.stdout)
    assert 0.6 * taken < estimated + 10**8
    assert estimated < 4 * taken
