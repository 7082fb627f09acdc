"""Runs of MNIST and its relatives that were made with other pictures than there are now are not mixed with new ones."""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import drawn, real_files, write
from support.runs import runner
from torch import Tensor

from qlab.errors import DataError
from qlab.experiment.asking import schema
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Outcome
from qlab.tasks import MNIST, Digits
from qlab.tasks.images import ImageTask
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = """
name = "pictures"
[task]
type = "MNIST"
classes = [2, 5]
per_class = 8
validation = 10
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]
[[model]]
type = "MLP"
hidden = [4]
training = { epochs = 2, batch_size = 8, learning_rate = 0.05 }
[run]
seeds = 2
"""
"""Four trials; the files of ``write`` have 10 training and 5 validation pictures of each class."""

UNLEARNED = '[[unlearner]]\ntype = "GradientAscent"\nsteps = 2\nlearning_rate = 0.01\n'
PROBED = '[[probe]]\ntype = "HessianProbe"\neigenvalues = 1\n'

Pairs = tuple[tuple[str, object], ...]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment file, and files of MNIST."""
    monkeypatch.setenv("QLAB_DATA", str(tmp_path))
    write(tmp_path)
    (tmp_path / "pictures.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def store(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    """An empty store."""
    return Store(write_empty_store(tmp_path / "mlruns" / "mlflow.db"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Path:
    """A folder with the runs of the four trials, to be copied."""
    place = tmp_path_factory.mktemp("finished")
    (place / "pictures.toml").write_text(FILE)
    write(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLAB_DATA", str(place))
        assert counts(run(place, Store(write_empty_store(place / "mlruns" / "mlflow.db")))) == (4, 0)
    return place / "mlruns"


@pytest.fixture
def trained(finished: Path, tmp_path: Path) -> Store:
    """A store with the runs of the four trials."""
    shutil.copytree(finished, tmp_path / "mlruns")
    return Store(f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")


def run(folder: Path, store: Store, *pairs: tuple[str, object], reporter: Silent | None = None) -> Outcome:
    return runner(store, reporter).run(schema.load(folder / "pictures.toml", pairs))


def counts(outcome: Outcome) -> tuple[int, int]:
    return outcome.trained, outcome.reused


def trials(store: Store) -> list[Any]:
    return list(store.search(store.experiment_ids([]), f"tags.`{names.KIND}` = '{names.TRIAL}'"))


def edit(raw: Path, part: str, label: int, pixel: int = 400) -> None:
    """Lightens or darkens one pixel of all pictures of a class by one grey level."""
    path = raw / f"{part}-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    for place, found in enumerate((raw / f"{part}-labels-idx1-ubyte").read_bytes()[8:]):
        if found == label:
            content[16 + 784 * place + pixel] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("part", "split", "pairs"),
    [
        ("train", "training", (("run.seeds", 3),)),
        ("train", "training", (("model.hidden", [3]),)),
        ("t10k", "validation", (("run.seeds", [7]),)),
    ],
    ids=str,
)
def test_other_pictures_under_finished_runs_are_refused(
    folder: Path, trained: Store, part: str, split: str, pairs: Pairs
) -> None:
    raw = folder / "MNIST" / "raw"
    edit(raw, part, 5)
    with pytest.raises(DataError) as raised:
        run(folder, trained, *pairs)
    for text in (f"pictures: the {split} data that MNIST loads now", "MLP LabelFlip 0 seed 0 (run ", "and 1 more"):
        assert text in str(raised.value)
    for remedy in (f"Restore the pictures in {raw} (QLAB_DATA names", "another name", "delete these runs in `qlab ui`"):
        assert remedy in str(raised.value)
    assert "files()" not in str(raised.value)
    assert len(trials(trained)) == 4


def test_each_remedy_works(folder: Path, trained: Store) -> None:
    edit(folder / "MNIST" / "raw", "train", 5)
    assert counts(run(folder, trained, ("name", "other"))) == (4, 0)
    write(folder)
    assert counts(run(folder, trained, ("run.seeds", 3))) == (2, 4)


@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST"])
def test_relatives_too(folder: Path, store: Store, name: str) -> None:
    raw = write(folder, name)
    (folder / "pictures.toml").write_text(FILE.replace('"MNIST"', f'"{name}"'))
    run(folder, store)
    edit(raw, "train", 5)
    with pytest.raises(DataError, match=rf"the training data that {name} loads now .*/{name}/raw"):
        run(folder, store, ("run.seeds", 4))


@pytest.mark.parametrize("each", [9, 10], ids=["a smaller collection", "other labels"])
def test_other_pictures_that_are_taken_are_others(folder: Path, trained: Store, each: int) -> None:
    """As where the files of a subset take the place of a download: others are drawn of what there is."""
    pictures, labels = drawn(0, each)
    write(folder, train=(pictures, labels[::-1].copy() if each == 10 else labels))
    with pytest.raises(DataError, match="the training data that MNIST loads now"):
        run(folder, trained, ("run.seeds", 3))


def test_pictures_of_other_classes_do_not_count(folder: Path, trained: Store) -> None:
    for part in ("train", "t10k"):
        edit(folder / "MNIST" / "raw", part, 3)
    assert counts(run(folder, trained, ("run.seeds", 3))) == (2, 4)


@pytest.mark.parametrize("more", [UNLEARNED, PROBED], ids=["unlearning", "probe"])
def test_finished_models_are_not_measured_on_other_pictures(folder: Path, trained: Store, more: str) -> None:
    ratio = ("corruption.ratio", 0.5)
    (folder / "pictures.toml").write_text(FILE + more)
    edit(folder / "MNIST" / "raw", "train", 2)
    with pytest.raises(DataError, match="the training data that MNIST loads now"):
        run(folder, trained, ratio)
    write(folder)
    outcome = run(folder, trained, ratio)
    assert (outcome.unlearned + outcome.measured, outcome.failed) == (2, {})


def test_features_rounded_elsewhere_are_the_same_data(
    folder: Path, trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine may compute the last digits of features differently; pictures are whole numbers."""
    exactly = ImageTask._features

    def rounded(task: ImageTask, pictures: Tensor) -> Tensor:
        x = exactly(task, pictures)
        return torch.nextafter(x, 2 * x)

    monkeypatch.setattr(ImageTask, "_features", rounded)
    assert counts(run(folder, trained, ("run.seeds", 3))) == (2, 4)
    edit(folder / "MNIST" / "raw", "t10k", 2)
    with pytest.raises(DataError, match="the validation data that MNIST loads now"):
        run(folder, trained, ("run.seeds", 4))


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_digests_are_of_what_is_in_the_files(folder: Path, threads: Callable[[int], None]) -> None:
    # Were they to change, experiments in every store would be refused.
    expected = ("9fe63d89bfa38df6", "90211cec8dca0f23")
    for count in (1, 3):
        threads(count)
        for normalization in ("column", "l2"):
            task = MNIST(classes=(2, 5), per_class=8, validation=10, normalization=normalization)
            assert task.load().origin == expected
    pictures, labels = drawn(1, each=5)
    x = pictures.reshape(-1, 784) / np.linalg.norm(pictures.reshape(-1, 784), axis=1, keepdims=True)
    rows = (task.load().validation.x[:, :784].numpy() @ x.T).argmax(1)
    sha = hashlib.sha256(b"torch.float64(10, 28, 28)" + pictures[rows].astype("<f8").tobytes())
    sha.update(b"torch.int64(10,)" + labels[rows].astype("<i8").tobytes())
    assert sha.hexdigest()[:16] == expected[1]


def test_trials_are_who_they_were(folder: Path) -> None:
    keys = [trial.key for trial in schema.load(folder / "pictures.toml").trials]
    assert keys == ["45deed71264deeee", "aedcf81c208b3d7a", "380fdb9b7f4347a5", "23067b44db52b980"]


def test_nothing_is_read_where_nothing_is_to_be_done(
    folder: Path, trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (folder / "MNIST" / "raw").iterdir():
        file.unlink()
    monkeypatch.setattr(MNIST, "load", lambda _: pytest.fail("loaded"))
    assert counts(run(folder, trained)) == (0, 4)


def test_runs_of_older_versions_are_taken_as_they_are(folder: Path, trained: Store) -> None:
    for found in trials(trained):
        trained.client.delete_tag(found.info.run_id, names.DATA)
    edit(folder / "MNIST" / "raw", "train", 2)
    assert counts(run(folder, trained, ("run.seeds", 3))) == (2, 4)
    write(folder)
    with pytest.raises(DataError, match=r"finished runs: MLP LabelFlip 0 seed 2 \(run \w+\), MLP LabelFlip 0.5 seed 2"):
        run(folder, trained, ("run.seeds", 4))


class Stopping(Silent):
    """Presses Ctrl-C after an epoch, and keeps what it is told."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.notices: list[str] = []

    def epoch(self, epoch: int, metrics: object) -> None:
        if epoch == self.last:
            raise KeyboardInterrupt

    def notice(self, message: str) -> None:
        self.notices.append(message)


@pytest.mark.parametrize(("label", "anew"), [(3, 0), (2, 4)], ids=["the same pictures", "other pictures"])
def test_a_training_goes_on_with_the_pictures_it_was_begun_with_alone(
    folder: Path, store: Store, label: int, anew: int
) -> None:
    (folder / "pictures.toml").write_text(FILE.replace("epochs = 2, ", ""))
    pairs = [("training.epochs", 6), ("run.checkpoint_seconds", 0)]
    with pytest.raises(KeyboardInterrupt):
        run(folder, store, *pairs, reporter=Stopping(3))
    edit(folder / "MNIST" / "raw", "train", label)
    told = Stopping(-1)
    assert run(folder, store, *pairs, reporter=told).trained == 4
    assert len([line for line in told.notices if "others than before the interruption" in line]) == anew


def test_an_own_task_that_is_a_picture_task_is_compared_by_its_features(folder: Path, store: Store) -> None:
    code = 'from qlab import MNIST\n\n\nclass Light(MNIST):\n    """Digits."""\n'
    (folder / "light.py").write_text(code)
    (folder / "pictures.toml").write_text(FILE.replace('"MNIST"', '"light:Light"'))
    run(folder, store)
    assert all("-" not in found.data.tags[names.DATA] for found in trials(store))
    edit(folder / "MNIST" / "raw", "train", 5)
    with pytest.raises(DataError, match=r"the training data that light:Light .* from Light\.files\(\)"):
        run(folder, store)


def test_digits_of_another_scikit_learn(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pictures.toml").write_text(FILE.replace('"MNIST"', '"Digits"'))
    run(folder, store)
    (x, labels), _ = Digits().pictures()
    monkeypatch.setattr(Digits, "pictures", lambda _: ((x.flip(1), labels), None))
    with pytest.raises(
        DataError, match=r"data that Digits loads now .* Restore the pictures in the installed scikit-l"
    ):
        run(folder, store, ("run.seeds", 3))


def test_real_digits_whose_files_are_cut(folder: Path, store: Store) -> None:
    """A copy of real digits, whole and then with half of the training files."""
    raw = folder / "MNIST" / "raw"
    for path in real_files().iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    run(folder, store)
    assert counts(run(folder, store, ("run.seeds", 3))) == (2, 4)
    count = 2500
    images, labels = raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    images.write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + images.read_bytes()[16 : 16 + 784 * count])
    labels.write_bytes(struct.pack(">2I", 0x801, count) + labels.read_bytes()[8 : 8 + count])
    with pytest.raises(DataError, match="the training data that MNIST loads now"):
        run(folder, store, ("run.seeds", 4))
