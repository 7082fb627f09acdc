"""Predictions of stored models on new rows: scaled as in training, and refused with file, row and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from support.runs import runner

import qlab
from qlab.cli import main
from qlab.errors import ConfigError, DataError
from qlab.experiment.asking import schema
from qlab.reading.predicting import predictions
from qlab.tasks import XXZ
from qlab.tracking.store import Store

OWN = '''
import torch
from qlab import MLP, Dataset, Preprocessing, Split, Task


class Cells(Task):
    """Cells by radius and texture, scaled.

    Args:
        n: number of rows.
    """

    n: int = 20

    def load(self):
        x = torch.linspace(0, 1, self.n, dtype=torch.float64)[:, None] * torch.tensor([10.0, 0.1]) + 3
        made = Preprocessing(
            ("radius", "texture"), x.mean(0), x.std(0), classes=("benign", "malignant"), label="diagnosis"
        )
        y = torch.arange(self.n) % 2
        return Dataset(Split(made(x), y), Split(made(x), y), preprocessing=made)

    def random_features(self, n, generator):
        return torch.rand(n, 2, generator=generator, dtype=torch.float64)


class Mine(MLP):
    """An MLP under another name."""
'''

FILE = """
name = "cells"
[task]
type = "own:Cells"
[corruption]
type = "LabelFlip"
ratio = 0.2
[[model]]
type = "MLP"
hidden = [3]
[[model]]
type = "own:Mine"
hidden = [3]
[training]
epochs = 2
[[unlearner]]
type = "Finetune"
steps = 1
[run]
seeds = 1
oracles = 1
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory, write_empty_store):
    """A folder with a class of one's own and a store with models on named columns."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "own.py").write_text(OWN)
    (folder / "cells.toml").write_text(FILE)
    uri = write_empty_store(folder / "mlruns" / "mlflow.db")
    runner(Store(uri)).run(schema.load(folder / "cells.toml"))
    return folder, qlab.results("cells", tracking_uri=uri), uri


ROWS = pd.DataFrame({"id": ["a", "b", "c"], "texture": [3.0, 3.05, 3.1], "radius": [3.0, 8.0, 13.0]})
X = ROWS[["radius", "texture"]].to_numpy().copy()


def rows_of(results, name):
    return results.frame[results.frame["model"] == name].iloc[0]


def test_columns_are_found_by_name_and_scaled_as_in_training(cells):
    _, results, _ = cells
    run = rows_of(results, "MLP")
    found = results.predict(run, ROWS)
    model = results.model(run)
    x = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None] * torch.tensor([10.0, 0.1]) + 3
    z = model(model.prepare((torch.tensor(X) - x.mean(0)) / x.std(0)))
    z = z.detach().double().numpy()
    np.testing.assert_allclose(found["logit"], z, atol=1e-6)
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-z)), atol=1e-6)
    assert list(found["predicted"]) == ["malignant" if value > 0 else "benign" for value in z]
    pd.testing.assert_frame_equal(results.predict(run, X), found)


def test_the_task_is_not_needed(cells, tmp_path, monkeypatch):
    """Its class and files are elsewhere; the run's unlearned model knows the scaling too."""
    _, results, uri = cells
    monkeypatch.chdir(tmp_path)
    ROWS.to_csv("new.csv", index=False)
    for run in (rows_of(results, "MLP"), results.unlearning.iloc[0]):
        command = ["predict", run["run_id"][:12], "new.csv", "-o", "out.csv", "--tracking-uri", uri]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        assert result.stdout == "out.csv: 3 rows\n"
        expected = results.predict(run, ROWS)
        pd.testing.assert_frame_equal(pd.read_csv("out.csv"), expected, check_dtype=False)
        printed = CliRunner().invoke(main, [*command[:3], "--tracking-uri", uri])
        assert printed.stdout == Path("out.csv").read_text()


def test_files_of_every_kind_give_the_same(cells, tmp_path):
    _, results, _ = cells
    run = rows_of(results, "MLP")
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    ROWS.to_parquet(tmp_path / "a.parquet")
    np.savez(tmp_path / "a.npz", x=X)
    np.savez(tmp_path / "b.npz", texture=ROWS["texture"], radius=ROWS["radius"])
    expected = results.predict(run, ROWS)
    for name in ("a.csv", "a.parquet", "a.npz", "b.npz"):
        pd.testing.assert_frame_equal(results.predict(run, tmp_path / name), expected)


def test_a_class_of_ones_own_is_imported_from_the_folder_that_is_named(cells, tmp_path):
    folder, results, _ = cells
    run = rows_of(results, "own:Mine")
    with pytest.raises(ConfigError, match=r"of a class of yours, own:Mine. Say where own.py is: --folder DIR"):
        results.predict(run, ROWS)
    assert len(results.predict(run, ROWS, folder=folder)) == 3
    (tmp_path / "own.py").write_text(OWN.replace("under another name.", "").replace("n: int = 20", "n: int = 30"))
    with pytest.raises(ConfigError, match="is not the one that the model was trained with"):
        results.predict(run, ROWS, folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": None}, "has no column radius. It has: id, texture. The model was trained on 2 columns"),
        ({"radius": [1.0, np.nan, 2.0]}, r"column .*radius.* missing"),
        ({"radius": [1.0, "wide", 2.0]}, r"column .*radius.*wide"),
        ({"radius": [1.0, np.inf, 2.0]}, r"column .*radius.*not a finite number"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_their_place(cells, tmp_path, change, message):
    _, results, uri = cells
    wrong = ROWS.assign(**change) if change["radius"] is not None else ROWS.drop(columns="radius")
    run = rows_of(results, "MLP")["run_id"]
    with pytest.raises(DataError, match=message):
        results.predict(run, wrong)
    wrong.to_csv(tmp_path / "new.csv", index=False)
    result = CliRunner().invoke(main, ["predict", run, str(tmp_path / "new.csv"), "--tracking-uri", uri])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path}/new.csv: ")
    assert "radius" in result.stderr


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((2, 3)), r"has the shape \[2, 3\], accepts \[N, 2\]"),
        (np.ones(2), r"has the shape \[2\]"),
        (np.array([["a", "b"]]), "accepts numbers"),
        (np.ones((2, 2)) * 1j, "complex"),
        (np.array([[1.0, np.nan]]), "row 0, column texture"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(cells, rows, message):
    _, results, _ = cells
    with pytest.raises(DataError, match=message):
        results.predict(rows_of(results, "MLP"), rows)


def test_raw_features_of_other_tasks_are_numbers_in_order(study, tmp_path):
    data = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3)).load()
    np.savez(tmp_path / "states.npz", x=data.validation.x.numpy())
    run = study.frame.iloc[0]
    model = study.model(run)
    with torch.no_grad():
        expected = model(model.prepare(data.validation.x)).double()
    np.testing.assert_allclose(study.predict(run, tmp_path / "states.npz")["logit"], expected, atol=1e-6)
    np.savetxt(tmp_path / "plain.csv", data.validation.x.real.numpy(), delimiter=",")
    assert len(study.predict(run, tmp_path / "plain.csv")) == len(expected)  # no line is taken for names
    assert set(study.predict(run, tmp_path / "plain.csv")["predicted"]) <= {0, 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("new.xlsx", b"", "accepts a file that ends in .csv"),
        ("new.csv", None, "there is no"),
        ("new.npz", b"no archive", "not an NPZ file"),
        ("new.parquet", b"no table", "not a Parquet file"),
    ],
)
def test_files_that_cannot_be_read_are_refused(cells, tmp_path, name, content, message):
    _, results, _ = cells
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        results.predict(rows_of(results, "MLP"), tmp_path / name)


def test_no_rows_give_no_predictions(cells):
    _, results, _ = cells
    assert results.predict(rows_of(results, "MLP"), ROWS.iloc[:0]).empty


def test_a_model_without_weights_is_refused():
    with pytest.raises(DataError, match="no weights yet"):
        predictions(qlab.MLP(), np.ones((1, 2)))
