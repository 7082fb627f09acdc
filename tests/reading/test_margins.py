"""Rows that are shown of an audit, and their margins as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.experiments import TASK

import qlab
from qlab.errors import ConfigError, DataError
from qlab.reading.margins import audited_runs, chosen_rows, margins_of_runs, margins_table, one_of_each, read_margins
from qlab.tracking import names

KINDS = np.array(["forget", "retain", "forget", "retain", "forget", "retain", "validation", "validation"])
KLOM = np.array([1.0, 0.5, 3.0, 0.25, 2.0, 0.75, 4.0, 6.0])


def arrays(**changed: np.ndarray) -> dict[str, np.ndarray]:
    shape = (3, len(KINDS))
    margins = np.arange(np.prod(shape), dtype=float).reshape(shape)
    found = {
        "rows": KINDS,
        "klom": KLOM,
        "margins_oracles": margins,
        "margins_teachers": margins + 100.0,
        "margins_unlearned": margins[:2] + 200.0,
    }
    return found | changed


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (KINDS == "forget", {"worst": 2, "median": 4, "best": 0}),
        (np.ones(8, dtype=bool), {"worst": 7, "median": 4, "best": 3}),
        (KINDS == "validation", {"worst": 7, "best": 6}),
        (np.arange(8) == 5, {"worst": 5}),
        (np.zeros(8, dtype=bool), {}),
    ],
)
def test_the_worst_the_median_and_the_best_row_by_klom(mask, expected):
    assert chosen_rows(KLOM, mask) == expected


def test_a_table_has_a_line_for_each_row_and_model():
    table = margins_table(arrays(), "forget")
    assert len(table) == 3 * (3 + 3 + 2)
    own = table[(table["rank"] == "median") & (table["models"] == "unlearned")]
    assert own["margin"].tolist() == [204.0, 212.0]
    assert (own["row"].unique().tolist(), own["klom"].unique().tolist()) == ([4], [2.0])
    validation = margins_table(arrays(), "validation")
    assert validation.drop_duplicates("rank")["row"].tolist() == [1, 0]  # among validation rows
    assert margins_table(arrays(), "hidden").empty


def test_files_of_audits_are_checked(tmp_path: Path):
    file = tmp_path / "klom.npz"
    np.savez_compressed(file, **arrays())
    assert read_margins(file).keys() == arrays().keys()
    np.savez_compressed(file, klom=KLOM)
    with pytest.raises(DataError, match=r"klom.npz: has no margins_oracles, .*rows"):
        read_margins(file)
    file.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"klom.npz: cannot be read"):
        read_margins(file)


def run(number: int, method: str, **changed: object) -> dict[str, object]:
    return {
        "run_id": f"run{number}",
        "trial": f"key{number}",
        "task.type": "XXZ",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.3,
        "model.type": "MLP",
        "unlearner.type": method,
        "seed": 0,
        "status": "FINISHED",
        "health": "healthy",
        "start": number,
        names.TEACHER: "teacher0",
        names.AUDITED: (("klom", "digest"),),
    } | changed


RUNS = pd.DataFrame(
    [
        run(0, "Finetune"),
        run(1, "Scrub"),
        run(2, "Scrub", seed=1, **{names.TEACHER: "teacher1"}),
        run(3, "Retrain", **{names.AUDITED: (("klom", "failed: no oracles"),)}),
        run(4, "PureAscent", **{names.AUDITED: (("distance", "digest"),)}),
        run(5, "NPO", health="diverged"),
    ]
)


def test_runs_that_were_audited_are_named_and_one_trained_model_stands_for_each():
    found = audited_runs(RUNS)
    assert found["title"].tolist() == [
        "Finetune of MLP, LabelFlip 0.3, seed 0",
        "Scrub of MLP, LabelFlip 0.3, seed 0",
        "Scrub of MLP, LabelFlip 0.3, seed 1",
    ]
    assert one_of_each(found)["run_id"].tolist() == ["run0", "run1"]
    assert audited_runs(RUNS.iloc[:0]).empty
    assert one_of_each(audited_runs(RUNS.iloc[3:])).empty
    asked: list[tuple[str, str]] = []

    def fetch(run_id: str, path: str) -> dict[str, np.ndarray]:
        asked.append((run_id, path))
        return arrays()

    table = margins_of_runs(found.iloc[:2], fetch)
    assert asked == [("run0", "audit/klom.npz"), ("run1", "audit/klom.npz")]
    assert table.groupby(["method", "rows"], sort=False).size().to_dict() == {
        (method, rows): 24 for method in ("Finetune", "Scrub") for rows in ("forget", "retain")
    }
    assert margins_of_runs(found, fetch, ("hidden",)).empty


AUDITED = f"""
name = "audited"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "MLP"
hidden = [4]
training = {{ epochs = 2 }}
[[unlearner]]
type = "Finetune"
steps = 2
[audit]
oracles = 4
models = 4
bins = 4
[run]
seeds = 1
oracles = 1
"""


def test_a_run_saves_them_and_a_notebook_draws_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store):
    (tmp_path / "audited.toml").write_text(AUDITED)
    uri = write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    qlab.run(tmp_path / "audited.toml", figures=True, quiet=True, tracking_uri=uri)
    results = qlab.results("audited", tracking_uri=uri)
    (parent,) = results.runs.loc[results.runs["kind"] == names.EXPERIMENT, "run_id"]
    for file in ("margins.png", "margins.html", "margins.csv"):
        assert results._store.has_file(parent, f"summary/{file}")
    table = results.margins(rows="forget")
    assert set(table["models"]) == {"oracles", "before", "unlearned"}
    assert len(results.ridges("Finetune", model="MLP", seed=0)) == 2  # forget and retain rows
    for wanted, said in (({"method": "Scrub"}, 'unknown method "Scrub"'), ({"rows": "forgot"}, "rows: unknown kind")):
        with pytest.raises(ConfigError, match=said):
            results.margins(**wanted)
