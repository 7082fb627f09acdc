"""Scaling and projecting as scikit-learn does, and kept with a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from qlab import MLP, Dataset, Features, LabelFlip, Preprocessing, Split, Task, Trainer
from qlab.errors import DataError
from qlab.models import checkpoint


def fitted(x: np.ndarray, k: int | None = None) -> tuple[Preprocessing, np.ndarray]:
    """A standard scaler, perhaps with principal components, and what scikit-learn makes of the rows."""
    scaler = StandardScaler().fit(x)
    z = scaler.transform(x)
    pca = None if k is None else PCA(k).fit(z)
    made = Preprocessing(
        tuple(f"c{index}" for index in range(x.shape[1])),
        torch.tensor(scaler.mean_),
        torch.tensor(scaler.scale_),
        None if pca is None else torch.tensor(pca.mean_),
        None if pca is None else torch.tensor(pca.components_),
        classes=("benign", "malignant"),
        label="diagnosis",
    )
    return made, z if pca is None else pca.transform(z)


ROWS = np.random.default_rng(0).normal(3.0, [1.0, 5.0, 0.1, 2.0], (40, 4))


@pytest.mark.parametrize("k", [None, 2])
def test_features_are_those_of_scikit_learn(k):
    made, expected = fitted(ROWS, k)
    np.testing.assert_allclose(made(torch.tensor(ROWS)), expected, atol=1e-12)
    assert made.dimension == expected.shape[1]


class Scaled(Task):
    """Rows that were projected on two components."""

    def load(self):
        made, _ = fitted(ROWS, 2)
        x, y = made(torch.tensor(ROWS)), torch.tensor([0, 1] * 20)
        return Dataset(Split(x[:30], y[:30]), Split(x[30:], y[30:]), preprocessing=made)

    def random_features(self, n, generator):
        return torch.rand(n, 2, generator=generator, dtype=torch.float64)


def test_a_checkpoint_knows_what_its_model_was_fed_with(tmp_path):
    model = Trainer(epochs=1).train(MLP(hidden=[3]), Scaled(), [LabelFlip(ratio=0.1)]).model_of(0)
    checkpoint.save(tmp_path / "model.safetensors", model, model.state_dict(), "MLP")
    kept = checkpoint.load(tmp_path / "model.safetensors").features
    assert isinstance(kept, Features)
    made, expected = fitted(ROWS, 2)
    assert kept.preprocessing is not None
    assert kept.preprocessing.described() == made.described()
    np.testing.assert_array_equal(kept.preprocessing(torch.tensor(ROWS)), made(torch.tensor(ROWS)))
    np.testing.assert_allclose(kept.preprocessing(torch.tensor(ROWS)), expected, atol=1e-12)


def test_a_checkpoint_without_preprocessing_has_none(tmp_path, small_data):
    model = MLP(hidden=[3]).build(Features.of(small_data))
    checkpoint.save(tmp_path / "model.safetensors", model, model.state_dict(), "MLP")
    assert checkpoint.load(tmp_path / "model.safetensors").features.preprocessing is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": torch.ones(3)}, r"scale has the shape \[3\], accepts \[2\]"),
        ({"scale": torch.tensor([1.0, 0.0])}, "the scale of b is zero"),
        ({"components": torch.ones(1, 2)}, "mean and components come together"),
        ({"mean": torch.ones(2), "components": torch.ones(1, 3)}, r"components have the shape \[1, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        Preprocessing(**{"columns": ("a", "b"), "shift": torch.zeros(2), "scale": torch.ones(2)} | change)


def test_data_of_another_width_than_it_makes_are_refused():
    made, _ = fitted(ROWS, 2)
    split = Split(torch.rand(4, 3, dtype=torch.float64), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(DataError, match="makes 2 features, its rows have 3"):
        Dataset(split, split, preprocessing=made)
