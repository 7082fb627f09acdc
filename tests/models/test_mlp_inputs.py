"""A network on other inputs is the network on a task that has them as features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qlab import MLP, XXZ, Corrupted, FeatureRandomization, Features, LabelFlip, Member, Split, Trainer
from qlab.inputs import input_map

TASK = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
DATA = TASK.load()


@pytest.mark.parametrize(
    ("inputs", "sites"), [("modulus", 4), ("pauli", 2), ("pauli", "pairs"), ("density", (0, 2)), ("amplitudes", 4)]
)
@pytest.mark.parametrize("corruption", [LabelFlip, FeatureRandomization])
def test_it_trains_as_if_the_task_had_them_as_features(inputs, sites, corruption):
    made = input_map("M", inputs, sites)

    def given(split):
        return Split(made(split.x), split.y)

    def with_inputs(member):
        found = member.corrupted
        return Member(member.seed, Corrupted(given(found.split), found.mask, found.clean_y))

    members = [Member.of(TASK, DATA, corruption(ratio=0.25), seed) for seed in (0, 1)]
    features = Features.of(DATA, corruption(ratio=0.25))
    core = features.core
    plain = Features(
        len(made.kept(features.active, True)),
        False,
        made.kept(features.active, True),
        None if core is None or made.sited else made.kept(core, True),
    )
    trainer = Trainer(epochs=3, batch_size=5)
    model = MLP(hidden=(5,), dtype="float64", inputs=inputs, sites=sites)
    ours = trainer.fit(model.build(features), members, DATA.validation)
    theirs = trainer.fit(
        MLP(hidden=(5,), dtype="float64").build(plain), list(map(with_inputs, members)), given(DATA.validation)
    )
    for name, value in theirs.parameters.items():
        torch.testing.assert_close(ours.parameters[name], value, atol=1e-12, rtol=0)
    np.testing.assert_allclose(ours.history["validation_loss"], theirs.history["validation_loss"], atol=1e-12)


def test_what_is_zero_in_every_sample_is_left_out_of_moduli_as_of_amplitudes():
    features = Features.of(DATA)
    assert 0 < int(features.active.sum()) < 16
    sizes = {name: MLP(inputs=name).build(features).kernels[0].shape[0] for name in ("amplitudes", "modulus")}
    assert sizes["amplitudes"] == 2 * sizes["modulus"] == 2 * int(features.active.sum())


def test_a_checkpoint_knows_its_inputs(tmp_path):
    from qlab.models import checkpoint

    model = MLP(hidden=(3,), inputs="density", sites=(0, -1)).build(Features.of(DATA))
    model.reset_parameters(torch.Generator().manual_seed(0))
    checkpoint.save(tmp_path / "a.safetensors", model, model.state_dict(), "MLP")
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert (loaded.config()["inputs"], loaded.config()["sites"]) == ("density", [0, -1])
    with torch.no_grad():
        found, expected = (each(each.prepare(DATA.validation.x)) for each in (loaded, model))
    assert torch.equal(found, expected)
    double = model.double_copy()
    torch.testing.assert_close(double(double.prepare(DATA.validation.x)).float(), expected, atol=1e-6, rtol=0)
