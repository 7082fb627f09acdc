"""Metrics from shots: draws of the trial and the epoch, the same in any company and after an interruption."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from qlab import seeding
from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.landscape import Landscape
from qlab.models import Features, PennyLaneQNN
from qlab.models.rows import prepare_features
from qlab.training import Member, Trainer, tiles
from qlab.training.data import prepare
from qlab.training.state import Checkpoints
from qlab.unlearning import Scrub
from qlab.unlearning.engine import unlearn

SHOTS = 50
MODELS = [
    pytest.param(PennyLaneQNN(depth=2, evaluate_shots=SHOTS), id="a word"),
    pytest.param(PennyLaneQNN(depth=2, evaluate_shots=SHOTS, observable="mean_Z", shots=7), id="a sum"),
]
TRAINERS = [
    pytest.param(Trainer(epochs=4, batch_size=5, learning_rate=0.05), id="to the end"),
    pytest.param(Trainer(epochs=6, batch_size=5, learning_rate=0.5, early_stopping=1, holdout=0.3), id="stopping"),
]


def fit(task: Any, data: Any, model: Any, seeds: Any = (0, 1, 2), trainer: Any = None, **options: Any) -> Any:
    corruption = options.pop("corruption", LabelFlip(ratio=0.5))
    members = [Member.of(task, data, corruption, seed) for seed in seeds]
    trainer = trainer or Trainer(epochs=4, batch_size=5, learning_rate=0.05)
    return trainer.fit(model.build(Features.of(data, corruption)), members, data.validation, **options)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("trainer", TRAINERS)
def test_metrics_are_the_same_in_any_company_and_after_an_interruption(
    small_task: Any, small_data: Any, monkeypatch: Any, model: Any, trainer: Any
) -> None:
    states: dict[int, Any] = {}
    keeping = Checkpoints(lambda state: states.update({state.epoch: state}), 0.0)
    test = small_data.train
    together = fit(small_task, small_data, model, trainer=trainer, test=test, checkpoint=keeping)
    again = fit(small_task, small_data, model, trainer=trainer, test=test, resume=states[2])
    alone = fit(small_task, small_data, model, (2,), trainer, test=test)
    monkeypatch.setattr(tiles, "TILE_BYTES", 1)
    apart = fit(small_task, small_data, model, (2, 0), trainer, test=test)
    rare = fit(small_task, small_data, model, (2,), trainer, test=test, evaluate_every=2)
    for other, row in ((again, 2), (alone, 0), (apart, 0), (rare, 0)):
        for name, values in other.history.items():
            expected = together.history[name][2][np.array(other.epochs) - 1]
            np.testing.assert_allclose(values[row], expected, atol=1e-10, rtol=0, err_msg=name)
        torch.testing.assert_close(other.logits[row], together.logits[2], atol=1e-10, rtol=0)
        assert other.final["test_loss"][row] == pytest.approx(together.final["test_loss"][2], abs=1e-10)


def test_the_last_metrics_are_those_of_the_logits_and_draws_of_the_epoch(small_task: Any, small_data: Any) -> None:
    """Logits written out: 2 k / shots - 1, k the binomial quantile of the numbers of seed and epoch."""
    import scipy.stats

    trained = fit(small_task, small_data, PennyLaneQNN(depth=2, evaluate_shots=SHOTS))
    model = trained.model_of(1)
    x = torch.cat([prepare_features(model, split.x) for split in (small_data.train, small_data.validation)])
    with torch.no_grad():
        exact = model(x) / 5.0
    numbers = torch.rand(len(x), generator=seeding.generator(1, "evaluation 4")).double()
    expected = 5.0 * (2.0 * scipy.stats.binom.ppf(numbers, SHOTS, (1.0 + exact) / 2.0) / SHOTS - 1.0)
    np.testing.assert_allclose(trained.logits[1], expected, atol=1e-12)
    z = trained.logits[1, len(small_data.train) :]
    accuracy = ((z > 0).long() == small_data.validation.y).double().mean()
    assert trained.history["validation_accuracy"][1][-1] == pytest.approx(float(accuracy))


def test_training_is_not_touched_and_other_calls_are_exact(small_task: Any, small_data: Any) -> None:
    sampled, exact = (
        fit(small_task, small_data, PennyLaneQNN(depth=2, **fields)) for fields in ({"evaluate_shots": SHOTS}, {})
    )
    for name, value in exact.parameters.items():
        assert torch.equal(sampled.parameters[name], value)
    assert not np.allclose(sampled.history["train_loss"], exact.history["train_loss"])
    one, other = sampled.model_of(0), exact.model_of(0)
    x = prepare_features(one, small_data.validation.x)
    assert torch.equal(one(x), other(x))
    values = [
        Landscape(model, small_data.train).evaluate_points(Landscape(model, small_data.train).theta[None])[0]
        for model in (one, other)
    ]
    assert float(values[0]) == float(values[1])


@pytest.mark.parametrize("model", MODELS)
def test_features_of_their_own_are_sampled_by_row(small_task: Any, small_data: Any, model: Any) -> None:
    together = fit(small_task, small_data, model, corruption=FeatureRandomization(ratio=0.5))
    alone = fit(small_task, small_data, model, (1,), corruption=FeatureRandomization(ratio=0.5))
    for name, values in alone.history.items():
        np.testing.assert_allclose(values[0], together.history[name][1], atol=1e-10, rtol=0, err_msg=name)


def test_unlearning_is_evaluated_with_draws_of_its_steps(small_task: Any, small_data: Any) -> None:
    found = {}
    for fields in ({"evaluate_shots": SHOTS}, {}):
        trained = fit(small_task, small_data, PennyLaneQNN(depth=2, **fields))
        members = [Member.of(small_task, small_data, LabelFlip(ratio=0.5), seed) for seed in trained.seeds]
        data = prepare(trained.model, members, small_data.validation, torch.device("cpu"))
        for rows in (slice(None), slice(1, 2)):
            teachers = {name: value[rows] for name, value in trained.parameters.items()}
            found[bool(fields), rows.start] = unlearn(
                Scrub(steps=3), trained.model, teachers, data.members(rows), trained.seeds[rows]
            )
    for name, value in found[False, None].parameters.items():
        assert torch.equal(found[True, None].parameters[name], value)
    for name, values in found[True, 1].history.items():
        np.testing.assert_allclose(values[0], found[True, None].history[name][1], atol=1e-10, err_msg=name)
    assert not np.allclose(found[True, None].history["train_loss"], found[False, None].history["train_loss"])
