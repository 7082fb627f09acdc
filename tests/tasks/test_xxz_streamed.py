"""Chains whose states are not held: the same data, corruptions, models and landscapes as with tensors."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from qlab import seeding
from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.landscape import Landscape
from qlab.models import CNOTQNN, MLP, Features, PennyLaneQNN
from qlab.models.rows import prepare_features
from qlab.tasks import XXZ
from qlab.tasks.base import digest
from qlab.tasks.features import LazyFeatures, TiedFeatures
from qlab.tasks.replaced_features import ReplacedFeatures
from qlab.training import Member, Trainer

GRIDS = {"gapless": (-0.9, 0.9, 0.3), "gapped": (1.2, 3.0, 0.3), "validation": (-0.85, 2.75, 0.3)}
MODELS = {
    "chain": PennyLaneQNN(depth=3),
    "ring": PennyLaneQNN(depth=2, entangler="ring"),
    "statevector": CNOTQNN(depth=2),
    "default.qubit": PennyLaneQNN(depth=1, device="default.qubit"),
    "MLP": MLP(hidden=(6,), dtype="float64"),
}


@pytest.fixture(params=[8, 10])
def length(request):
    return request.param


@pytest.fixture
def held(length):
    return XXZ(length=length, **GRIDS).load()


@pytest.fixture
def streamed(length, monkeypatch):
    monkeypatch.setattr("qlab.tasks.xxz.MOST_SPINS_HELD", 6)
    return XXZ(length=length, **GRIDS).load()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Of three rows of ten spins, so that there are several."""
    monkeypatch.setattr("qlab.models.rows.CHUNK_BYTES", 3 * 2**10 * 16)
    monkeypatch.setattr(LazyFeatures.chunks, "__defaults__", (3 * 2**10 * 16,))


def corrupted(data, length, corruption, seed=3):
    return corruption.apply(data.train, XXZ(length=length), seeding.generator(seed, "corruption"))


@pytest.mark.parametrize("gauge", ["fixed", "random-sign", "random-phase"])
def test_states_energies_and_labels_are_the_same(length, gauge, monkeypatch):
    task = XXZ(length=length, gauge=gauge, **GRIDS)
    held = task.load()
    monkeypatch.setattr("qlab.tasks.xxz.MOST_SPINS_HELD", 6)
    streamed = task.load()
    for found, expected in ((streamed.train, held.train), (streamed.validation, held.validation)):
        assert isinstance(found.x, TiedFeatures)
        torch.testing.assert_close(found.x.dense(), expected.x, atol=1e-10, rtol=0)
        torch.testing.assert_close(found.about["energy"], expected.about["energy"], atol=1e-10, rtol=0)
        assert torch.equal(found.y, expected.y)
        assert torch.equal(found.about["delta"], expected.about["delta"])


def test_tensors_are_kept_up_to_fourteen_spins():
    grids = {"gapless": (0.0, 0.0, 1.0), "gapped": (2.0, 2.0, 1.0), "validation": (0.5, 0.5, 1.0)}
    assert isinstance(XXZ(length=14, **grids).load().train.x, torch.Tensor)
    assert isinstance(XXZ(length=16, **grids).load().train.x, TiedFeatures)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_randomised_features_are_the_same_rows_and_the_same_vectors(held, streamed, length, ratio):
    found, expected = (corrupted(data, length, FeatureRandomization(ratio=ratio)) for data in (streamed, held))
    assert torch.equal(found.mask, expected.mask)
    assert isinstance(found.split.x, ReplacedFeatures if ratio else TiedFeatures)
    torch.testing.assert_close(found.split.x[found.mask].dense(), expected.split.x[expected.mask], atol=1e-15, rtol=0)
    torch.testing.assert_close(found.split.x.dense(), expected.split.x, atol=1e-10, rtol=0)


def test_flipped_labels_share_the_features(streamed, length):
    found = corrupted(streamed, length, LabelFlip(ratio=0.3))
    assert found.split.x is streamed.train.x


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.3), FeatureRandomization(ratio=0.3)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_models_prepare_the_same(held, streamed, length, name, corruption):
    model = MODELS[name].build(Features.of(streamed, corruption))
    model.reset_parameters(torch.Generator().manual_seed(1))
    # The same vectors to the last bit: ground states of two methods agree to 1e-10 only.
    for split in (streamed.validation, corrupted(streamed, length, corruption).split):
        found, expected = prepare_features(model, split.x), model.prepare(split.x.dense())
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
        with torch.no_grad():
            torch.testing.assert_close(model(found), model(expected), atol=1e-12, rtol=0)


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.3), FeatureRandomization(ratio=0.3)], ids=str)
def test_models_see_the_same_features(held, streamed, corruption):
    found, expected = Features.of(streamed, corruption), Features.of(held, corruption)
    assert (found.dimension, found.is_complex) == (expected.dimension, expected.is_complex)
    assert torch.equal(found.active, expected.active)
    if corruption.changes_features:
        assert torch.equal(found.core, expected.core)


@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.3), FeatureRandomization(ratio=0.3)], ids=str)
def test_training_and_landscapes_are_the_same(held, streamed, length, corruption):
    results = []
    for data in (held, streamed):
        task = XXZ(length=length, **GRIDS)
        members = [Member.of(task, data, corruption, seed) for seed in (0, 1)]
        model = PennyLaneQNN(depth=2).build(Features.of(data, corruption))
        trained = Trainer(epochs=3, batch_size=4).fit(model, members, data.validation)
        landscape = Landscape(trained.model_of(1), members[1].corrupted, data.validation)
        losses = [landscape.on(name).loss(landscape.theta) for name in landscape.sets]
        results.append((trained.logits, torch.stack(losses)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_digests_tell_data_apart(streamed, length):
    flipped = corrupted(streamed, length, LabelFlip(ratio=0.3))
    random = corrupted(streamed, length, FeatureRandomization(ratio=0.3))
    again = corrupted(streamed, length, FeatureRandomization(ratio=0.3))
    other = corrupted(streamed, length, FeatureRandomization(ratio=0.3), seed=4)
    every = [flipped, random, other]
    assert len({digest(item.split.x) for item in every}) == 3
    assert digest(random.split.x) == digest(again.split.x)
    assert digest(flipped.split.x) == digest(streamed.train.x)


def test_rows_can_be_left_out(streamed, length):
    """As oracles do, which are trained on the clean rows."""
    found = corrupted(streamed, length, FeatureRandomization(ratio=0.5))
    kept = dataclasses.replace(found.split, x=found.split.x[~found.mask], y=found.split.y[~found.mask], about={})
    torch.testing.assert_close(kept.x.dense(), streamed.train.x[~found.mask].dense(), atol=0, rtol=0)


MEMORY = """
import json, sys
from qlab import XXZ, FeatureRandomization, LabelFlip, PennyLaneQNN, Trainer



def peak():
    # Not ru_maxrss, which a process takes over from the one that started it.
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))


before = peak()
task = XXZ(length=18, gapless=(-0.96, 0.96, 0.04), gapped=(1.02, 3.0, 0.04), validation=(-0.97, 2.99, 0.2))
trained = Trainer(epochs=2, learning_rate=0.03).train(PennyLaneQNN(depth=4), task, LabelFlip(ratio=0.2), seeds=range(3))
Trainer(epochs=1).train(PennyLaneQNN(depth=4), task, FeatureRandomization(ratio=0.2))
json.dump({"loss": trained.history["train_loss"].tolist(), "before": before, "peak": peak()}, sys.stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_a_long_chain_is_trained_in_bounded_memory():
    """119 states of 18 spins would take 0.5 GB, a copy for each member as much again."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300)
    found = json.loads(done.stdout)
    assert all(loss[-1] < 0.75 for loss in found["loss"])
    assert found["peak"] - found["before"] < 0.45 * 2**20  # kB
