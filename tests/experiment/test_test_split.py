"""A test split: evaluated once, at the end, and never corrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from support.runs import runner

from qlab.errors import DataError
from qlab.experiment.asking import schema
from qlab.experiment.runner import Outcome
from qlab.models import checkpoint
from qlab.tasks.base import load_data
from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

TASK = '''
import torch

from qlab import Dataset, Split, Task


class Blobs(Task):
    """Two clouds.

    Args:
        tested: rows for testing.
    """

    tested: int = 20

    def load(self):
        generator = torch.Generator().manual_seed(3)
        y = torch.arange(60 + self.tested) % 2
        x = torch.randn(len(y), 4, dtype=torch.float64, generator=generator) + 0.7 * y[:, None]
        parts = [Split(x[rows], y[rows]) for rows in (slice(0, 40), slice(40, 60), slice(60, None))]
        return Dataset(*parts[: 3 if self.tested else 2])

    def random_features(self, n, generator):
        return torch.randn(n, 4, dtype=torch.float64, generator=generator)
'''

FILE = """
name = "tested"
[task]
type = "blobs:Blobs"
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "MLP"
hidden = [3]
[training]
epochs = 3
batch_size = 8
[[unlearner]]
type = "Finetune"
steps = 2
[run]
seeds = 2
oracles = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tested.toml").write_text(FILE)
    (tmp_path / "blobs.py").write_text(TASK)
    return tmp_path


def run(folder: Path, store: Store, *pairs: tuple[str, object]) -> Outcome:
    return runner(store).run(schema.load(folder / "tested.toml", pairs))


def _fetched(store: Store, run_id: str, folder: Path) -> Path:
    (folder / run_id).mkdir()
    return store.fetch_file(run_id, names.CHECKPOINT, folder / run_id)


def test_trials_oracles_and_unlearned_models_are_tested_once_at_their_end(folder: Path, store: Store) -> None:
    outcome = run(folder, store)
    split = load_data(schema.load(folder / "tested.toml").trials[0].task).test
    assert split is not None
    found = frames.runs(store, [str(store.find_experiment("tested"))])
    tested = found[found["kind"].isin([names.TRIAL, names.ORACLE, names.UNLEARNING])]
    assert len(tested) == 6
    for row in tested.to_dict("records"):
        model = checkpoint.load(_fetched(store, row["run_id"], folder))
        logits = model(model.prepare(split.x)).detach().double()
        expected = log_loss(split.y, torch.sigmoid(logits)), accuracy_score(split.y, logits > 0)
        np.testing.assert_allclose((row["test_loss"], row["test_accuracy"]), expected, rtol=1e-6)
        last = 2 if row["kind"] == names.UNLEARNING else 3
        assert [step for step, _ in store.metric_history(row["run_id"], "test_accuracy")] == [last]
    trials = tested[tested["kind"] == names.TRIAL]
    (line,) = outcome.table.to_dict("records")
    assert line["test_accuracy_mean"] == pytest.approx(trials["test_accuracy"].mean())
    (line,) = outcome.unlearning.to_dict("records")
    assert line["test_accuracy_n"] == 2


def test_the_test_split_is_among_the_data_of_a_run_and_its_rows_count(folder: Path, store: Store) -> None:
    run(folder, store)
    trials = frames.trials(store, [str(store.find_experiment("tested"))])
    inputs = store.get_run(trials["run_id"][0]).inputs.dataset_inputs
    profiles = {given.tags[0].value: given.dataset.profile for given in inputs}
    assert {context: profile[:11] for context, profile in profiles.items()} == {
        "training": '{"rows": 40',
        "validation": '{"rows": 20',
        "test": '{"rows": 20',
    }


def test_without_one_there_is_no_such_metric_and_beside_one_nothing_is_left_out(folder: Path, store: Store) -> None:
    table = run(folder, store, ("task.tested", 0)).table
    assert "test_accuracy_mean" not in table
    table = run(folder, store, ("task.tested", [0, 20])).table
    assert table["left_out"].tolist() == ["", ""]
    assert sorted(table["test_accuracy_mean"].isna()) == [False, True]
    assert (table["kept"] == 2).all()


def test_other_test_data_under_the_same_name_are_noticed(folder: Path, store: Store) -> None:
    (folder / "blobs.py").write_text(TASK.replace("range(60 + self", "range(60 + number() + self") + READS)
    (folder / "number.txt").write_text("0")
    run(folder, store)
    (folder / "number.txt").write_text("2")
    with pytest.raises(DataError, match=r"the test data that .* loads now are not those of its finished runs"):
        run(folder, store)


READS = """

def number():
    from pathlib import Path

    return int((Path(__file__).parent / "number.txt").read_text())
"""


def test_the_summary_has_a_column_for_it(folder: Path, store: Store) -> None:
    outcome = run(folder, store)
    place = store.fetch_file(outcome.parent_run, "summary/summary.csv", folder)
    assert {"test_accuracy_mean", "test_accuracy_std"} <= set(pd.read_csv(place).columns)
