"""Landscapes of other losses than cross-entropy: values, both terms of the trace and whole Hessians."""

from __future__ import annotations

import pytest
import torch

from qlab.corruptions import LabelFlip
from qlab.landscape import HessianProbe, Landscape, RougheningProbe, SliceProbe, curvature
from qlab.losses import (
    CrossEntropy,
    ForwardCorrection,
    GeneralizedCrossEntropy,
    MeanAbsoluteError,
    SymmetricCrossEntropy,
)
from qlab.models import MLP, PennyLaneQNN
from qlab.training import Trainer

LOSSES = [
    CrossEntropy(label_smoothing=0.2),
    GeneralizedCrossEntropy(q=0.6),
    SymmetricCrossEntropy(),
    MeanAbsoluteError(),
    ForwardCorrection(flip_rates=(0.3, 0.2)),
]

MODELS = [
    pytest.param(MLP(hidden=(4, 3), dtype="float64"), id="MLP"),
    pytest.param(MLP(hidden=(4, 3), activation="tanh", dropout=0.2, dtype="float64"), id="tanh MLP"),
    pytest.param(PennyLaneQNN(depth=2), id="QNN"),
]


@pytest.fixture
def landscape(small_task, small_data, request):
    model, loss = request.param
    trainer = Trainer(epochs=3, batch_size=8, learning_rate=0.05, loss=loss)
    trained = trainer.train(model, small_task, LabelFlip(ratio=0.3))
    return Landscape(trained.model_of(0), small_data.train, small_data.validation, criterion=loss)


every = pytest.mark.parametrize(
    "landscape",
    [
        pytest.param((model.values[0], loss), id=f"{model.id} {type(loss).__name__}")
        for model in MODELS
        for loss in LOSSES
    ],
    indirect=True,
)


@every
def test_both_terms_add_up_to_the_hessian_of_the_loss(landscape):
    hessian = torch.autograd.functional.hessian(landscape.loss, landscape.theta)
    a, b = curvature.matrix_a(landscape), curvature.matrix_b(landscape)
    torch.testing.assert_close(a + b, hessian, atol=1e-10, rtol=0)
    torch.testing.assert_close(curvature.diagonal_a(landscape), a.diagonal(), atol=1e-12, rtol=0)
    torch.testing.assert_close(curvature.diagonal_b(landscape), b.diagonal(), atol=1e-10, rtol=0)
    trace = HessianProbe(full_below=0, eigenvalues=0).trace(landscape)
    assert trace.total == pytest.approx(float(hessian.trace()), abs=1e-9)
    if landscape.model.piecewise_linear:
        assert trace.b == 0.0


@every
def test_slices_show_the_loss_that_was_trained(landscape):
    result = landscape.measure(SliceProbe(directions="random", resolution=3, dimensions=1))
    z = landscape.logits(landscape.theta).detach()
    expected = float(landscape.criterion(z, landscape.y).mean())
    assert result.arrays["loss"][1] == pytest.approx(expected, abs=1e-12)
    assert result.about["loss"]["type"] == type(landscape.criterion).__name__


def test_estimates_agree_with_the_exact_trace(small_task, small_data):
    loss = GeneralizedCrossEntropy(q=0.6)
    trained = Trainer(epochs=3, learning_rate=0.05, loss=loss).train(PennyLaneQNN(depth=3), small_task)
    landscape = Landscape(trained.model_of(0), small_data.train, criterion=loss)
    exact = HessianProbe(full_below=0, eigenvalues=0).trace(landscape)
    rough = HessianProbe(full_below=0, eigenvalues=0, exact_below=0, matvecs=30).trace(landscape)
    assert rough.method.startswith("estimated")
    assert rough.total == pytest.approx(exact.total, abs=6 * rough.error + 1e-6)


def test_roughening_compares_models_of_one_loss(small_task, small_data):
    loss = MeanAbsoluteError()
    trained = Trainer(epochs=3, learning_rate=0.05, loss=loss).train(MLP(hidden=(3,)), small_task, seeds=(0, 1))
    clean = Landscape(trained.model_of(0), small_data.train, criterion=loss)
    polluted = Landscape(trained.model_of(1), small_data.train, reference=clean, criterion=loss)
    found = polluted.measure(RougheningProbe())
    assert found.scalars["hessian_trace_clean"] == pytest.approx(float(curvature.diagonal_a(clean).sum()))
