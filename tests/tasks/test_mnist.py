"""MNIST and its relatives: files written and read byte by byte, and what happens without them."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter

import numpy as np
import pytest
import torch
from support.pictures import NAMES, REAL, drawn, real_files, write

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.errors import DataError
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.tasks import KMNIST, MNIST, FashionMNIST
from qlab.tasks.mnist import data_folder
from qlab.training import Trainer

ALL = pytest.mark.parametrize("cls", [MNIST, FashionMNIST, KMNIST], ids=lambda cls: cls.__name__)


def parsed(raw, part):
    """Pictures and labels of one part, read with struct alone."""
    content = (raw / f"{part}-images-idx3-ubyte").read_bytes()
    magic, count, height, width = struct.unpack(">IIII", content[:16])
    assert (magic, height, width, len(content)) == (0x803, 28, 28, 16 + count * 784)
    pictures = [content[16 + 784 * place : 16 + 784 * (place + 1)] for place in range(count)]
    content = (raw / f"{part}-labels-idx1-ubyte").read_bytes()
    assert struct.unpack(">II", content[:8]) == (0x801, count)
    return pictures, list(content[8:])


class Refused(Exception):
    """A connection that must not have been asked for."""


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """No test reaches the network; the addresses that were asked for."""
    found = []

    def refuse(request, *args, **kwargs):
        found.append(request.full_url if isinstance(request, urllib.request.Request) else request)
        raise urllib.error.URLError("the network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for data."""
    monkeypatch.setenv("QLAB_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def real(monkeypatch):
    """The folder of real digits."""
    raw = real_files()
    monkeypatch.setenv("QLAB_DATA", str(REAL))
    return raw


@ALL
def test_pictures_are_the_bytes_of_the_files(cls, folder, asked):
    raw = write(folder, cls.__name__)
    for part, (x, labels) in zip(("train", "t10k"), cls().pictures(), strict=True):
        pictures, expected = parsed(raw, part)
        assert (x.dtype, labels.dtype) == (torch.float64, torch.int64)
        assert [bytes(picture) for picture in x.to(torch.uint8).flatten(1).numpy()] == pictures
        assert torch.equal(x, x.to(torch.uint8).double())
        assert labels.tolist() == expected
    assert asked == []


@ALL
def test_relatives_have_folders_of_their_own(cls, folder):
    for seed, name in enumerate(("MNIST", "FashionMNIST", "KMNIST")):
        write(folder, name, train=drawn(10 + seed))
    (x, _), _ = cls().pictures()
    seed = ("MNIST", "FashionMNIST", "KMNIST").index(cls.__name__)
    np.testing.assert_array_equal(x.numpy(), drawn(10 + seed)[0])


@ALL
@pytest.mark.parametrize("normalization", ["l2", "column"])
def test_features_are_normalised_pictures_padded_to_1024(cls, folder, normalization):
    raw = write(folder, cls.__name__)
    data = cls(classes=(2, 5), per_class=8, validation=10, normalization=normalization).load()
    for part, split in (("train", data.train), ("t10k", data.validation)):
        known = {}
        for content, label in zip(*parsed(raw, part), strict=True):
            picture = np.frombuffer(content, dtype=np.uint8).reshape(28, 28).astype(float)
            axis = None if normalization == "l2" else 0
            norms = np.sqrt((picture**2).sum(axis))
            vector = np.divide(picture, norms, out=np.zeros((28, 28)), where=norms > 0).reshape(784)
            known[tuple(vector.round(10))] = (label, 1.0 if normalization == "l2" else np.count_nonzero(norms))
        assert split.x.shape == (len(split), 1024)
        assert not bool(split.x[:, 784:].any())
        for row, y, label in zip(split.x, split.y.tolist(), split.about["label"].tolist(), strict=True):
            expected, squared = known[tuple(row[:784].numpy().round(10))]
            assert expected == label == (2, 5)[y]
            assert float(row.square().sum()) == pytest.approx(squared, abs=1e-12)


def test_train_from_the_training_files_and_validation_from_the_test_files(folder):
    dark, bright = drawn(0), drawn(1, each=5)
    dark[0][:, 0, 0], bright[0][:, 0, 0] = 0, 255
    write(folder, train=dark, test=bright)
    data = MNIST(per_class=10, validation=10).load()
    assert torch.bincount(data.train.y).tolist() == [10, 10]
    assert torch.bincount(data.validation.y).tolist() == [5, 5]
    assert not bool(data.train.x[:, 0].any())
    assert bool((data.validation.x[:, 0] > 0).all())


@ALL
def test_defaults(cls):
    task = cls()
    assert (task.per_class, task.validation, task.normalization, task.dimension) == (250, 1000, "l2", 1024)
    assert task.classes == ((1, 9) if cls is MNIST else (0, 1))


def test_the_seed_decides_which_pictures_are_taken(folder):
    write(folder)
    first, again, other = (MNIST(per_class=5, validation=6, subset_seed=seed).load() for seed in (2, 2, 3))
    for split in ("train", "validation"):
        assert torch.equal(getattr(first, split).x, getattr(again, split).x)
        assert not torch.equal(getattr(first, split).x, getattr(other, split).x)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"per_class": 11, "validation": 5}, "MNIST: per_class: got 11, but there are 10 images of class 1"),
        ({"per_class": 5, "validation": 11}, "MNIST: validation: got 11, but there are 10 images for validation"),
        ({}, "MNIST: per_class: got 250, but there are 10 images"),
    ],
)
def test_more_pictures_than_there_are(folder, fields, message):
    write(folder)
    with pytest.raises(DataError, match=message):
        MNIST(**fields).load()


def test_the_data_folder_is_named_by_the_environment_or_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "here"))
    assert data_folder() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("QLAB_DATA", "~/there")
    assert data_folder() == tmp_path / "there"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("QLAB_DATA")
        else:
            monkeypatch.setenv("QLAB_DATA", unset)
        found = data_folder()
        assert (found.name, found.is_relative_to(tmp_path)) == ("qlab", True)
        if sys.platform == "linux":
            assert found == tmp_path / "cache" / "qlab"


def test_making_a_task_does_not_look_for_files(monkeypatch, tmp_path, asked):
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "nowhere"))
    task = MNIST(classes=(3, 8))
    assert task.random_features(2, torch.Generator().manual_seed(0)).shape == (2, 1024)
    assert task.config()["classes"] == [3, 8]
    assert not (tmp_path / "nowhere").exists()
    assert asked == []


def message_of(task):
    with pytest.raises(DataError) as caught:
        task.load()
    return str(caught.value)


def assert_helpful(message, name, folder):
    assert message.startswith(f"{name}: ")
    assert str(folder / name / "raw") in message
    assert all(file in message for file in NAMES)
    assert "QLAB_DATA" in message
    assert "Digits" in message
    assert "\n" not in message


@ALL
def test_without_files_and_network_one_message_says_what_to_do(cls, folder, asked):
    assert_helpful(message_of(cls()), cls.__name__, folder)
    assert asked
    assert all(address.startswith("http") for address in asked)


@pytest.mark.parametrize("missing", NAMES)
def test_a_single_missing_file_is_missed(folder, missing):
    raw = write(folder)
    (raw / missing).unlink()
    assert_helpful(message_of(MNIST(per_class=5, validation=5)), "MNIST", folder)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "file"))
    assert_helpful(message_of(MNIST()), "MNIST", tmp_path / "file")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kept", [0, 3, 4, 20, 0.5], ids=["empty", "3 bytes", "4 bytes", "20 bytes", "half"])
def test_a_truncated_file_is_named_as_one_that_cannot_be_read(folder, name, kept):
    raw = write(folder)
    content = (raw / name).read_bytes()
    (raw / name).write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    assert_helpful(message_of(MNIST(per_class=5, validation=5)), "MNIST", folder)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<!DOCTYPE html><html><body>Not found</body></html>", id="a web page"),
        pytest.param(b"\x1f\x8b\x08\x00" + bytes(100), id="compressed"),
        pytest.param(struct.pack(">4I", 0xD03, 1, 28, 28) + bytes(4 * 784), id="floats"),
        pytest.param(struct.pack(">2I", 0x801, 784) + bytes(784), id="labels"),
    ],
)
def test_a_file_of_another_format_is_refused(folder, content):
    raw = write(folder)
    (raw / NAMES[0]).write_bytes(content)
    assert_helpful(message_of(MNIST(per_class=5, validation=5)), "MNIST", folder)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("labels", [300, 30])
def test_pictures_and_labels_of_different_collections_are_refused(folder, part, labels):
    """As when the files of a subset are completed with those of a download."""
    pictures, _ = drawn(0)
    write(folder, **{part: (pictures, np.arange(labels, dtype=np.uint8) % 10)})
    assert "MNIST" in message_of(MNIST(per_class=3, validation=5))


@pytest.mark.parametrize("size", [8, 40])
def test_pictures_of_another_size_are_refused(folder, size):
    labels = np.arange(100, dtype=np.uint8) % 10
    write(folder, train=(np.ones((100, size, size), dtype=np.uint8), labels))
    assert "MNIST" in message_of(MNIST(per_class=3, validation=5))


@pytest.mark.parametrize("normalization", ["l2", "column"])
@pytest.mark.parametrize("corruption", [LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)], ids=["flips", "random"])
def test_a_perceptron_trains_on_pictures(folder, corruption, normalization):
    write(folder)
    task = MNIST(per_class=8, validation=10, normalization=normalization)
    trained = Trainer(epochs=2, batch_size=8).train(MLP(hidden=(4,)), task, corruption, seeds=(0, 1))
    assert bool(trained.logits.isfinite().all())
    assert trained.history["train_loss"].shape == (2, 2)


def test_a_circuit_on_ten_qubits_takes_pictures(folder):
    write(folder)
    data = MNIST(per_class=2, validation=2).load()
    model = PennyLaneQNN(depth=1).build(Features.of(data))
    model.reset_parameters(torch.Generator().manual_seed(0))
    assert model.n_wires == 10
    with torch.no_grad():
        logits = model(model.prepare(data.train.x))
    # Small angles, so little more than <Z> of the last wire: even pixels less odd ones.
    signs = 1.0 - 2.0 * (torch.arange(1024) % 2)
    torch.testing.assert_close(logits, 5.0 * (data.train.x.square() @ signs.double()), atol=0.2, rtol=0)


SEVERAL = """
import warnings
warnings.simplefilter("error")
from qlab import MNIST, KMNIST
first, second = MNIST(per_class=5, validation=5).load(), KMNIST(per_class=5, validation=5).load()
import torchvision
from torchvision import datasets
assert datasets.MNIST
assert MNIST(per_class=5, validation=5).load().train.x.equal(first.train.x)
print(len(first.train), len(second.train))
"""


def test_several_collections_in_a_fresh_process(folder):
    """With torchvision imported before, between and after."""
    for name in ("MNIST", "KMNIST"):
        write(folder, name)
    environment = {**os.environ, "QLAB_DATA": str(folder)}
    found = subprocess.run(
        [sys.executable, "-c", SEVERAL], capture_output=True, text=True, timeout=100, env=environment, check=False
    )
    assert (found.returncode, found.stdout.strip()) == (0, "10 10"), found.stderr


def test_real_digits_are_the_bytes_of_the_files(real, asked):
    for part, (x, labels) in zip(("train", "t10k"), MNIST().pictures(), strict=True):
        pictures, expected = parsed(real, part)
        assert x.to(torch.uint8).numpy().tobytes() == b"".join(pictures)
        assert labels.tolist() == expected
    assert asked == []


def test_the_papers_protocol_on_real_digits(real):
    """250 + 250 ones and nines, 1,000 for validation: every row is a picture of its part, none twice."""
    data = MNIST().load()
    assert torch.bincount(data.train.y).tolist() == [250, 250]
    assert len(data.validation) == 1000
    for part, split in (("train", data.train), ("t10k", data.validation)):
        pictures, labels = parsed(real, part)
        places = [place for place, label in enumerate(labels) if label in (1, 9)]
        x = np.array([list(pictures[place]) for place in places], dtype=float)
        unit = torch.from_numpy(x / np.sqrt((x**2).sum(1))[:, None])
        overlaps = split.x[:, :784] @ unit.mT
        values, found = overlaps.max(1)
        torch.testing.assert_close(values, torch.ones(len(split), dtype=torch.float64), atol=1e-12, rtol=0)
        repeated = Counter(pictures[places[place]] for place in found.tolist())
        assert set(repeated.values()) == {1}
        assert split.y.tolist() == [int(labels[places[place]] == 9) for place in found.tolist()]
        assert split.about["label"].tolist() == [labels[places[place]] for place in found.tolist()]
    counts = Counter(label for label in parsed(real, "t10k")[1] if label in (1, 9))
    share = counts[9] / sum(counts.values())
    assert float(data.validation.y.double().mean()) == pytest.approx(share, abs=3 * math.sqrt(share / 4000))


def test_columns_of_real_digits(real):
    """Empty columns at the edges stay zero; the squared norm counts the others."""
    x = MNIST(normalization="column").load().train.x
    assert bool(x.isfinite().all())
    pictures = x[:, :784].reshape(-1, 28, 28)
    filled = (pictures != 0).any(1)
    torch.testing.assert_close(x.square().sum(1), filled.sum(1).double())
    assert not bool(filled[:, 0].any())
    assert 2 < float(filled.sum(1).double().mean()) < 20
