"""Scikit-learn's digits, against its own arrays."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import ConfigError, DataError
from qlab.models import CNOTQNN, MLP, Features, PennyLaneQNN
from qlab.tasks import Digits
from qlab.training import Trainer


@pytest.fixture(scope="module")
def digits():
    """Images and labels as scikit-learn has them."""
    found = load_digits()
    return found.images, found.target


def places(split, images):
    """For each row the pictures that it can be; no two are the same up to a factor."""
    flat = images.reshape(len(images), 64)
    unit = flat / np.sqrt((flat**2).sum(1))[:, None]
    overlaps = split.x.numpy() @ unit.T
    found = overlaps.argmax(1)
    assert (overlaps.max(1) > 1 - 1e-12).all()
    assert ((overlaps > 1 - 1e-9).sum(1) == 1).all()
    return found


def test_pictures_are_those_of_scikit_learn(digits):
    (x, labels), other = Digits().pictures()
    assert other is None
    assert (x.shape, x.dtype, labels.dtype) == ((1797, 8, 8), torch.float64, torch.int64)
    np.testing.assert_array_equal(x.numpy(), digits[0])
    np.testing.assert_array_equal(labels.numpy(), digits[1])


def test_default_splits_have_the_documented_sizes(digits):
    data = Digits().load()
    assert torch.bincount(data.train.y).tolist() == [100, 100]
    assert len(data.validation) == 150
    assert data.train.x.shape == (200, 64)
    assert data.train.x.dtype == torch.float64
    for split in (data.train, data.validation):
        assert set(split.about["label"].tolist()) == {1, 9}


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_are_pictures_with_their_labels_and_none_is_in_both_splits(digits, seed):
    images, labels = digits
    data = Digits(subset_seed=seed, classes=(3, 5)).load()
    train, validation = places(data.train, images), places(data.validation, images)
    assert len(set(train)) == 200
    assert len(set(validation)) == 150
    assert set(train).isdisjoint(validation)
    for split, rows in ((data.train, train), (data.validation, validation)):
        np.testing.assert_array_equal(split.about["label"].numpy(), labels[rows])
        np.testing.assert_array_equal(split.y.numpy(), (labels[rows] == 5).astype(int))


@pytest.mark.parametrize("normalization", ["l2", "column"])
def test_features_are_normalised_pictures(digits, normalization):
    images, _ = digits
    rows = places(Digits().load().train, images)
    found = Digits(normalization=normalization).load().train.x.numpy()
    for row, place in zip(found, rows, strict=True):
        picture = images[place]
        if normalization == "l2":
            expected = picture / np.sqrt((picture**2).sum())
        else:
            norms = np.sqrt((picture**2).sum(0))
            expected = np.divide(picture, norms, out=np.zeros((8, 8)), where=norms > 0)
            assert (row**2).sum() == pytest.approx(np.count_nonzero(norms))
        np.testing.assert_allclose(row, expected.reshape(64), atol=1e-15)


def test_every_pair_of_digits_has_pictures_enough_for_the_defaults(digits):
    counts = sorted(np.bincount(digits[1]))
    assert counts[0] + counts[1] >= 2 * Digits().per_class + Digits().validation
    assert (counts[0], counts[-1]) == (174, 183)
    smallest = np.argsort(np.bincount(digits[1]), kind="stable")[:2].tolist()
    assert len(Digits(classes=tuple(smallest)).load().validation) == 150


def test_seeds_and_classes_decide_the_data():
    first, again, other = (Digits(subset_seed=seed).load().train.x for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    swapped = Digits(classes=(9, 1)).load().train
    assert swapped.y.tolist() == [0] * 100 + [1] * 100
    assert swapped.about["label"].tolist() == [9] * 100 + [1] * 100


def test_nothing_is_downloaded(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("QLAB_DATA", str(tmp_path))
    assert len(Digits().load().train) == 200
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"per_class": 200}, "Digits: per_class: got 200, but there are 182 images of class 1"),
        ({"per_class": 181}, "Digits: per_class: got 181, but there are 180 images of class 9"),
        ({"validation": 163}, "Digits: validation: got 163, but there are 162 images for validation"),
        ({"per_class": 180, "validation": 3}, "Digits: validation: got 3, but there are 2 images for validation"),
    ],
)
def test_more_pictures_than_there_are(fields, message):
    with pytest.raises(DataError, match=message):
        Digits(**fields).load()


@pytest.mark.parametrize("classes", [(4, 4), (0, 10), (11, 1)], ids=str)
def test_classes_that_are_no_two_digits(classes):
    with pytest.raises(ConfigError, match=r"Digits: classes: got .*accepts two different labels from 0 to 9"):
        Digits(classes=classes)


@pytest.mark.parametrize("normalization", ["l2", "column"])
@pytest.mark.parametrize(
    "model", [MLP(hidden=(8,)), PennyLaneQNN(depth=2), CNOTQNN(depth=1)], ids=lambda model: type(model).__name__
)
def test_models_train_on_digits(model, normalization):
    task = Digits(per_class=12, validation=20, normalization=normalization)
    trainer = Trainer(epochs=2, batch_size=8)
    for corruption in (LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)):
        trained = trainer.train(model, task, corruption, seeds=(0, 1))
        assert bool(trained.logits.isfinite().all())
        assert trained.history["validation_accuracy"].shape == (2, 2)


def test_digits_take_six_qubits_and_can_be_learned():
    task = Digits(per_class=40, validation=60, classes=(0, 1))
    model = PennyLaneQNN(depth=3).build(Features.of(task.load()))
    assert model.n_wires == 6
    trained = Trainer(epochs=30, learning_rate=0.05).train(MLP(hidden=(8,)), task)
    assert trained.history["validation_accuracy"][0, -1] > 0.9


def test_features_are_those_that_were_expected():
    x = Digits(per_class=5, validation=10).load().train.x
    assert Digits().expected_features == (x.shape[1], x.is_complex()) == (64, False)
