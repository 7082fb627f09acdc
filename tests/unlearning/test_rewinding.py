"""SCRUB with rewind keeps the step that forgot as much as was never known."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from support.unlearned import Polluted, flat

from qlab.errors import DataError
from qlab.models import MLP, PennyLaneQNN
from qlab.unlearning import AlternatingScrub, RewindScrub, Samples
from qlab.unlearning.engine import unlearn

MODELS = [MLP(hidden=(6, 3), dtype="float64"), PennyLaneQNN(depth=2)]


@pytest.fixture(scope="module")
def polluted(small_task, small_data):
    return functools.cache(lambda model: Polluted(model, small_task, small_data, 0.25, epochs=20))


def error(one, theta, x, y):
    """The share of rows with whose label a model does not agree."""
    return float(((one.logits(theta, x) > 0) != (y > 0.5)).double().mean())


@pytest.mark.parametrize("model", MODELS, ids=["MLP", "QNN"])
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_the_step_is_the_one_that_a_loop_over_all_would_choose(polluted, model, rate):
    case = polluted(model)
    common = {"learning_rate": rate, "max_steps": 6}
    found = case.unlearn(RewindScrub(steps=13, **common))
    runs = [case.unlearn(AlternatingScrub(steps=steps, **common)) for steps in range(1, 13)]
    chosen = set()
    for row in range(3):
        one = case.alone(row)
        students = [one.teacher, *(flat(run, row) for run in runs)]
        x, y = case.unseen[row].x, case.unseen[row].y
        errors = [error(one, theta, *one.forget) for theta in students]
        reference = error(one, students[-1], x, y)
        step = int(np.argmin(np.abs(np.array(errors) - reference)))
        torch.testing.assert_close(flat(found, row), students[step], atol=1e-8, rtol=0)
        assert found.history["forget_accuracy_polluted"][row, -1] == pytest.approx(1.0 - errors[step])
        losses = runs[-1].history["train_loss"][row]
        np.testing.assert_allclose(found.history["train_loss"][row, :-1], losses, atol=1e-8)
        chosen.add(step)
    assert found.history["train_loss"].shape == (3, 14)
    assert found.loss_evaluations == 12
    assert chosen != {12}


def test_a_member_rewinds_alone_as_in_an_ensemble(polluted):
    case = polluted(MODELS[0])
    together = case.unlearn(RewindScrub(steps=6, learning_rate=0.1))
    for row in range(3):
        torch.testing.assert_close(
            flat(case.unlearn(RewindScrub(steps=6, learning_rate=0.1), row), 0), flat(together, row), atol=1e-8, rtol=0
        )


@pytest.mark.parametrize("how", ["none", "no rows"])
def test_without_rows_that_nobody_saw_there_is_no_rewinding(polluted, how):
    case = polluted(MODELS[0])
    empty = [Samples(rows.x[:0], rows.y[:0]) for rows in case.unseen] if how == "no rows" else []
    with pytest.raises(DataError, match=r"never trained on.*AlternatingScrub"):
        unlearn(RewindScrub(steps=2), case.trained.model, case.trained.parameters, case.data, [0, 1, 2], unseen=empty)


def test_a_subclass_may_rewind_too(polluted):
    class Rewinds(AlternatingScrub):
        """As its base, and back."""

        rewinds = True

    case = polluted(MODELS[0])
    settings = {"steps": 5, "learning_rate": 0.1}
    found, expected = case.unlearn(Rewinds(**settings)), case.unlearn(RewindScrub(**settings))
    assert dataclasses.asdict(Rewinds(**settings)) == dataclasses.asdict(RewindScrub(**settings))
    for row in range(3):
        assert torch.equal(flat(found, row), flat(expected, row))
