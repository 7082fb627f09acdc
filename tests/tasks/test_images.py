"""Two classes of pictures as feature vectors, against loops over pixels."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch

from qlab.corruptions import FeatureRandomization
from qlab.errors import ConfigError, DataError
from qlab.models import Features
from qlab.tasks import Digits, Task
from qlab.tasks.images import ImageTask

HEIGHT, WIDTH, EACH = 3, 5, 12


def drawn_pictures(seed, each=EACH):
    """``each`` pictures of each of ten classes, in mixed order, no two alike; a third of the columns is empty."""
    numbers = np.random.default_rng(seed)
    x = numbers.integers(1, 256, (10 * each, HEIGHT, WIDTH)).astype(float)
    x *= numbers.random((10 * each, 1, WIDTH)) > 1 / 3
    x[:, 0, 0] = 1000.0 * (seed + 1) + np.arange(10 * each)
    labels = np.repeat(np.arange(10), each)
    numbers.shuffle(labels)
    return torch.from_numpy(x), torch.from_numpy(labels)


class One(ImageTask):
    """One collection for training and validation."""

    shape: ClassVar[tuple[int, int]] = (HEIGHT, WIDTH)

    def pictures(self):
        return drawn_pictures(0), None


class Two(ImageTask):
    """A collection for each."""

    shape: ClassVar[tuple[int, int]] = (HEIGHT, WIDTH)

    def pictures(self):
        return drawn_pictures(0), drawn_pictures(1)


def small(cls=One, **fields):
    return cls(**({"per_class": 7, "validation": 9} | fields))


def given(*pictures, classes=(0, 1), shape=None, **fields):
    """A task whose only training pictures are those given, one of each class."""
    x = torch.tensor(pictures, dtype=torch.float64)

    class Given(ImageTask):
        shape: ClassVar[tuple[int, int]] = tuple(x.shape[1:])

        def pictures(self):
            return (x, torch.arange(len(x))), (x, torch.arange(len(x)))

    return Given(classes=classes, per_class=1, validation=2, **fields).load().train


def by_pixel(picture, normalization):
    """A picture's feature vector, pixel by pixel."""
    height, width = len(picture), len(picture[0])
    whole = math.sqrt(sum(value**2 for row in picture for value in row))
    columns = [math.sqrt(sum(row[place] ** 2 for row in picture)) for place in range(width)]
    found = []
    for row in range(height):
        for place in range(width):
            norm = whole if normalization == "l2" else columns[place]
            found.append(picture[row][place] / norm if norm else 0.0)
    size = 1
    while size < height * width:
        size *= 2
    return found + [0.0] * (size - height * width)


def which(split, *collections):
    """For each row of a split the place of its picture, found by comparing with all of them."""
    known = {}
    for number, (x, _) in enumerate(collections):
        for place, picture in enumerate(x.tolist()):
            known[tuple(np.round(by_pixel(picture, "l2"), 12) + 0.0)] = (number, place)
    return [known[tuple(np.round(row, 12) + 0.0)] for row in split.x.numpy()]


@pytest.mark.parametrize("normalization", ["l2", "column"])
def test_features_are_those_of_a_loop_over_pixels(normalization):
    first, second = [[3.0, 0.0, 1.0], [4.0, 0.0, 7.0]], [[0.0, 2.0, 255.0], [0.0, 0.0, 1.0]]
    split = given(first, second, normalization=normalization)
    expected = torch.tensor([by_pixel(picture, normalization) for picture in (first, second)], dtype=torch.float64)
    torch.testing.assert_close(split.x, expected, atol=1e-15, rtol=0)
    assert split.x.shape == (2, 8)


def test_whole_pictures_by_hand():
    split = given([[3.0, 0.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]])
    assert split.x.tolist() == [[0.6, 0.0, 0.0, 0.8], [0.5, 0.5, 0.5, 0.5]]


def test_columns_by_hand():
    split = given([[3.0, 5.0], [4.0, 0.0]], [[0.0, 8.0], [0.0, 6.0]], normalization="column")
    assert split.x.tolist() == [[0.6, 1.0, 0.8, 0.0], [0.0, 0.8, 0.0, 0.6]]


def test_whole_pictures_have_unit_norm():
    data = small().load()
    for split in (data.train, data.validation):
        norms = torch.linalg.vector_norm(split.x, dim=1)
        torch.testing.assert_close(norms, torch.ones(len(split), dtype=torch.float64), atol=1e-14, rtol=0)


def test_every_column_with_a_pixel_has_norm_one_and_an_empty_one_stays_zero():
    data = small(normalization="column").load()
    for split in (data.train, data.validation):
        assert bool(split.x.isfinite().all())
        pictures = split.x[:, : HEIGHT * WIDTH].reshape(-1, HEIGHT, WIDTH)
        filled = (pictures != 0).any(1)
        assert bool((~filled).any())
        torch.testing.assert_close(torch.linalg.vector_norm(pictures, dim=1), filled.double(), atol=1e-14, rtol=0)
        squared = split.x.square().sum(1)
        torch.testing.assert_close(squared, filled.sum(1).double(), atol=1e-13, rtol=0)
        assert len(set(squared.round().int().tolist())) > 1


@pytest.mark.parametrize("normalization", ["l2", "column"])
def test_a_black_picture_is_zero_and_not_nan(normalization):
    split = given([[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], normalization=normalization)
    assert split.x.tolist() == [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("normalization", ["l2", "column"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (1, 0), (2, 3)])
def test_rows_of_pixels_follow_each_other_and_zeros_follow_them(normalization, row, column):
    lit, other = ([[0.0] * WIDTH for _ in range(HEIGHT)] for _ in range(2))
    lit[row][column], other[0][0] = 17.0, 1.0
    split = given(lit, other, normalization=normalization)
    assert split.x.shape == (2, 16)
    assert torch.nonzero(split.x[0]).flatten().tolist() == [row * WIDTH + column]
    assert float(split.x[0, row * WIDTH + column]) == 1.0


@pytest.mark.parametrize(
    ("shape", "dimension"),
    [((28, 28), 1024), ((8, 8), 64), ((3, 5), 16), ((4, 4), 16), ((1, 17), 32), ((2, 1), 2), ((32, 32), 1024)],
    ids=str,
)
def test_the_dimension_is_the_next_power_of_two(shape, dimension):
    task = type("Shaped", (One,), {"shape": shape, "__doc__": "Pictures."})()
    assert task.dimension == dimension
    assert task.random_features(2, torch.Generator().manual_seed(0)).shape == (2, dimension)


@pytest.mark.parametrize("cls", [One, Two])
@pytest.mark.parametrize("classes", [(1, 9), (9, 1), (0, 3)], ids=str)
def test_labels_are_places_in_the_classes(cls, classes):
    data = small(cls, classes=classes).load()
    for split in (data.train, data.validation):
        assert split.y.dtype == torch.int64
        assert set(split.about["label"].tolist()) == set(classes)
        assert split.y.tolist() == [classes.index(label) for label in split.about["label"].tolist()]
    collections = cls().pictures()
    collections = [collection for collection in collections if collection is not None]
    for split in (data.train, data.validation):
        for (number, place), label in zip(which(split, *collections), split.about["label"].tolist(), strict=True):
            assert int(collections[number][1][place]) == label


@pytest.mark.parametrize("cls", [One, Two])
@pytest.mark.parametrize("per_class", [1, 7, 10])
def test_as_many_training_pictures_of_each_class(cls, per_class):
    train = small(cls, per_class=per_class, validation=4).load().train
    assert train.y.tolist() == [0] * per_class + [1] * per_class
    assert len(set(which(train, drawn_pictures(0)))) == 2 * per_class


@pytest.mark.parametrize("seed", range(5))
def test_no_training_picture_is_among_those_for_validation(seed):
    data = small(subset_seed=seed).load()
    train, validation = (which(split, drawn_pictures(0)) for split in (data.train, data.validation))
    assert len(set(train)) == 14
    assert len(set(validation)) == 9
    assert set(train).isdisjoint(validation)


def test_a_collection_is_used_up_to_the_last_picture():
    data = small(per_class=EACH - 2, validation=4).load()
    used = {*which(data.train, drawn_pictures(0)), *which(data.validation, drawn_pictures(0))}
    assert len(used) == 2 * EACH
    assert torch.bincount(data.validation.y).tolist() == [2, 2]


def test_validation_pictures_come_from_the_collection_for_validation():
    data = small(Two, validation=2 * EACH).load()
    assert {number for number, _ in which(data.train, drawn_pictures(0), drawn_pictures(1))} == {0}
    found = which(data.validation, drawn_pictures(0), drawn_pictures(1))
    assert {number for number, _ in found} == {1}
    assert len(set(found)) == 2 * EACH
    assert torch.bincount(data.validation.y).tolist() == [EACH, EACH]


def test_validation_pictures_are_not_in_the_order_of_the_classes():
    labels = [small(Two, subset_seed=seed).load().validation.y.tolist() for seed in range(5)]
    assert any(values != sorted(values) for values in labels)
    assert len({tuple(values) for values in labels}) > 1


@pytest.mark.parametrize("cls", [One, Two])
def test_the_seed_decides_which_pictures_are_taken(cls):
    first, again, other = (small(cls, subset_seed=seed).load() for seed in (3, 3, 4))
    for split in ("train", "validation"):
        assert torch.equal(getattr(first, split).x, getattr(again, split).x)
        assert torch.equal(getattr(first, split).y, getattr(again, split).y)
        taken = [which(getattr(data, split), *[c for c in cls().pictures() if c]) for data in (first, other)]
        assert set(taken[0]) != set(taken[1])


def test_seeds_reach_all_pictures():
    """Training pictures of 30 seeds: all 24 there are, each about as often."""
    counts = {}
    for seed in range(30):
        for found in which(small(subset_seed=seed).load().train, drawn_pictures(0)):
            counts[found] = counts.get(found, 0) + 1
    assert len(counts) == 2 * EACH
    expected, deviation = 30 * 7 / EACH, math.sqrt(30 * 7 / EACH * (1 - 7 / EACH))
    assert all(abs(count - expected) < 4 * deviation for count in counts.values())


@pytest.mark.parametrize("cls", [One, Two])
def test_normalisation_does_not_change_which_pictures_are_taken(cls):
    whole, columns = (small(cls, normalization=normalization).load() for normalization in ("l2", "column"))
    for split in ("train", "validation"):
        x, z = getattr(whole, split).x, getattr(columns, split).x
        assert torch.equal(x != 0, z != 0)
        collections = [c for c in cls().pictures() if c]
        expected = [
            by_pixel(collections[number][0][place].tolist(), "column")
            for number, place in which(getattr(whole, split), *collections)
        ]
        torch.testing.assert_close(z, torch.tensor(expected, dtype=torch.float64), atol=1e-14, rtol=0)


def test_random_features_are_real_gaussian_directions():
    x = One().random_features(4000, torch.Generator().manual_seed(0))
    assert (x.shape, x.dtype) == ((4000, 16), torch.float64)
    torch.testing.assert_close(torch.linalg.vector_norm(x, dim=1), torch.ones(4000, dtype=torch.float64))
    torch.testing.assert_close(x.mT @ x / 4000, torch.eye(16, dtype=torch.float64) / 16, atol=0.006, rtol=0)
    assert float(x.mean(0).abs().max()) < 4 * 0.25 / math.sqrt(4000)


def test_random_features_by_column_have_columns_of_norm_one():
    x = One(normalization="column").random_features(4000, torch.Generator().manual_seed(0))
    assert (x.shape, x.dtype) == ((4000, 16), torch.float64)
    pictures = x[:, :15].reshape(-1, HEIGHT, WIDTH)
    norms = torch.linalg.vector_norm(pictures, dim=1)
    torch.testing.assert_close(norms, torch.ones(4000, WIDTH, dtype=torch.float64), atol=1e-14, rtol=0)
    torch.testing.assert_close(x.square().sum(1), torch.full((4000,), float(WIDTH), dtype=torch.float64))
    assert not bool(x[:, 15:].any())
    columns = pictures.permute(0, 2, 1).reshape(-1, HEIGHT)
    covariance = columns.mT @ columns / len(columns)
    torch.testing.assert_close(covariance, torch.eye(HEIGHT, dtype=torch.float64) / HEIGHT, atol=0.01, rtol=0)


@pytest.mark.parametrize("normalization", ["l2", "column"])
def test_the_generator_decides_random_features(normalization):
    task = One(normalization=normalization, subset_seed=5)
    first, again, other = (task.random_features(3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert task.random_features(0, torch.Generator()).shape == (0, 16)


@pytest.mark.parametrize("normalization", ["l2", "column"])
def test_randomised_rows_are_normalised_as_the_others_are(normalization):
    task = small(normalization=normalization)
    data = task.load()
    corruption = FeatureRandomization(ratio=0.5)
    found = corruption.apply(data.train, task, torch.Generator().manual_seed(0))
    rows = found.split.x[found.mask]
    squared = torch.full((len(rows),), 1.0 if normalization == "l2" else float(WIDTH), dtype=torch.float64)
    torch.testing.assert_close(rows.square().sum(1), squared)
    assert torch.equal(found.split.about["label"], data.train.about["label"])
    features = Features.of(data, corruption)
    assert features.core is not None
    assert not bool(features.core[15])


@pytest.mark.parametrize(
    ("fields", "got", "accepted"),
    [
        pytest.param({"classes": (3, 3)}, "got [3, 3]", "two different labels from 0 to 9", id="one class twice"),
        pytest.param({"classes": (1, 11)}, "got [1, 11]", "two different labels from 0 to 9", id="class 11"),
        pytest.param({"classes": (10, 1)}, "got [10, 1]", "two different labels from 0 to 9", id="class 10"),
        pytest.param({"classes": (-1, 2)}, "got [-1, 2]", "at least 0", id="negative class"),
        pytest.param({"classes": (1,)}, "got [1]", "a list [an integer", id="a single class"),
        pytest.param({"classes": (1, 2, 3)}, "got [1, 2, 3]", "a list [an integer", id="three classes"),
        pytest.param({"classes": ("1", "9")}, 'got ["1", "9"]', "an integer", id="classes as text"),
        pytest.param({"classes": (1.0, 9.0)}, "got [1.0, 9.0]", "an integer", id="classes as floats"),
        pytest.param({"classes": 19}, "got 19", "a list [an integer", id="classes as a number"),
        pytest.param({"per_class": 0}, "got 0", "at least 1", id="no training pictures"),
        pytest.param({"per_class": 2.5}, "got 2.5", "an integer", id="half a picture"),
        pytest.param({"validation": 0}, "got 0", "at least 1", id="no validation pictures"),
        pytest.param({"validation": True}, "got true", "an integer", id="validation is a bool"),
        pytest.param({"normalization": "row"}, 'got "row"', '"l2", "column"', id="unknown normalisation"),
        pytest.param({"normalization": "columns"}, "got", 'Did you mean "column"', id="normalisation misspelt"),
        pytest.param({"subset_seed": -1}, "got -1", "at least 0", id="negative seed"),
    ],
)
def test_bad_fields_say_what_was_given_and_what_is_accepted(fields, got, accepted):
    with pytest.raises(ConfigError) as caught:
        One(**fields)
    message = str(caught.value)
    assert message.startswith(f"One: {next(iter(fields))}")
    assert got in message
    assert accepted in message


@pytest.mark.parametrize("cls", [One, Two])
def test_more_training_pictures_than_there_are(cls):
    with pytest.raises(DataError, match=f"^{cls.__name__}: per_class: got 13, but there are 12 images of class 9"):
        small(cls, per_class=EACH + 1, classes=(9, 1)).load()


@pytest.mark.parametrize(("cls", "there"), [(One, 10), (Two, 24)])
def test_more_validation_pictures_than_there_are(cls, there):
    assert len(small(cls, validation=there).load().validation) == there
    message = f"^{cls.__name__}: validation: got {there + 1}, but there are {there} images for validation"
    with pytest.raises(DataError, match=message):
        small(cls, validation=there + 1).load()


def test_a_class_without_pictures_says_so():
    class Fewer(One):
        """No nines."""

        def pictures(self):
            x, labels = drawn_pictures(0)
            return (x[labels != 9], labels[labels != 9]), None

    with pytest.raises(DataError, match="per_class: got 7, but there are 0 images of class 9"):
        small(Fewer).load()


def test_lists_from_toml_are_taken():
    assert One(classes=[2, 7]) == One(classes=(2, 7))
    assert One(classes=[2, 7]).config() == {
        "classes": [2, 7],
        "per_class": 250,
        "validation": 1000,
        "normalization": "l2",
        "subset_seed": 0,
    }


def test_the_base_has_no_pictures():
    assert issubclass(ImageTask, Task)
    with pytest.raises(TypeError, match="pictures"):
        ImageTask()


def test_loading_leaves_the_collection_as_it_was():
    x, labels = drawn_pictures(0)

    class Same(One):
        """The same tensors every time."""

        def pictures(self):
            return (x, labels), None

    before = x.clone()
    for normalization in ("l2", "column"):
        small(Same, normalization=normalization).load()
    assert torch.equal(x, before)


IMPORTS = """
import sys
import qlab, qlab.tasks
qlab.MNIST(), qlab.tasks.FashionMNIST(), qlab.tasks.KMNIST(), qlab.tasks.Digits(), qlab.tasks.mnist.data_folder()
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"torchvision", "sklearn", "mlflow"}))
"""


def test_tasks_are_imported_and_made_without_torchvision_and_scikit_learn():
    found = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


def test_digits_are_an_image_task():
    assert issubclass(Digits, ImageTask)
