"""Own classes that give something else each time for the same seed are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.runs import runner

from qlab.errors import QlabError
from qlab.experiment.asking import schema
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

CODE = '''
import random

import numpy as np
import torch

from qlab import Corrupted, Corruption, Dataset, MLP, Split, Task


class Rows(Task):
    """Rows."""

    def load(self):
        g = torch.Generator().manual_seed(0)
        y = torch.arange(20) % 2
        train = torch.randn(20, 4, generator=g, dtype=torch.float64)
        validation = torch.randn(20, 4, generator=g, dtype=torch.float64)
        return Dataset(Split(train, y), Split(validation, y))

    def random_features(self, n, generator):
        return torch.randn(n, 4, generator=generator, dtype=torch.float64)


class Flip(Corruption):
    """Flips."""

    def apply(self, split, task, generator):
        mask = self.choose_rows(split, generator)
        return Corrupted(Split(split.x, torch.where(mask, 1 - split.y, split.y)), mask, split.y)


class Net(MLP):
    """A network."""
'''

FILE = """
name = "seeds"
[task]
type = "own:Rows"
[corruption]
type = "CORRUPTION"
ratio = [0.0, 0.5]
[[model]]
type = "own:Net"
hidden = [4]
training = { epochs = 1, batch_size = 8 }
[run]
seeds = 1
"""

UNSEEDED = {
    "training rows, torch": (
        "train = torch.randn(20, 4, generator=g, dtype",
        "train = torch.randn(20, 4, dtype",
        "own:Flip",
        r"Rows\.load gives another training split each time.*torch\.Generator\(\)\.manual_seed\(0\)",
    ),
    "validation rows, NumPy": (
        "validation = torch.randn(20, 4, generator=g, dtype=torch.float64)",
        "validation = torch.from_numpy(np.random.default_rng().normal(size=(20, 4)))",
        "own:Flip",
        r"Rows\.load gives another validation split each time.*numpy\.random\.default_rng\(0\)",
    ),
    "labels, random": (
        "y = torch.arange(20) % 2",
        "y = torch.tensor(random.sample([0, 1] * 10, 20))",
        "own:Flip",
        r"Rows\.load gives another .* split each time.*random\.Random\(0\)",
    ),
    "features of a built-in corruption": (
        "return torch.randn(n, 4, generator=generator, dtype",
        "return torch.randn(n, 4, dtype",
        "FeatureRandomization",
        r"Rows\.random_features gives others for the same generator; draw from the one it is given",
    ),
    "rows of a corruption": (
        "mask = self.choose_rows(split, generator)",
        "mask = torch.rand(len(split)) < self.ratio",
        "own:Flip",
        r"Flip\.apply .*got different rows or values for the same seed",
    ),
    "labels of a corruption": (
        "torch.where(mask, 1 - split.y, split.y)",
        "torch.where(mask, torch.randint(0, 2, (20,)), split.y)",
        "own:Flip",
        r"Flip\.apply .*got different rows or values for the same seed",
    ),
    "parameters of a model": (
        '"""A network."""',
        '"""A network."""\n\n    def reset_parameters(self, generator):\n        for p in self.parameters():\n'
        "            torch.nn.init.normal_(p)",
        "own:Flip",
        r"Net\.reset_parameters gives .* different values for the same seed.*generator=generator",
    ),
}


@pytest.mark.parametrize(("old", "new", "corruption", "message"), UNSEEDED.values(), ids=UNSEEDED.keys())
def test_what_is_not_seeded_is_refused_before_anything_is_made(
    tmp_path: Path, store: Store, old: str, new: str, corruption: str, message: str
) -> None:
    assert old in CODE
    (tmp_path / "own.py").write_text(CODE.replace(old, new))
    (tmp_path / "e.toml").write_text(FILE.replace("CORRUPTION", corruption))
    with pytest.raises(QlabError, match=message):
        runner(store).run(schema.load(tmp_path / "e.toml"))
    assert list(store.search(store.experiment_ids([]), "tags.`qlab.kind` = 'trial'")) == []


@pytest.mark.parametrize("corruption", ["own:Flip", "FeatureRandomization"])
def test_what_is_seeded_runs(tmp_path: Path, store: Store, corruption: str) -> None:
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "e.toml").write_text(FILE.replace("CORRUPTION", corruption))
    assert runner(store).run(schema.load(tmp_path / "e.toml")).trained == 2
