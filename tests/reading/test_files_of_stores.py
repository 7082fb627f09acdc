"""Files that a store names: read only if the store says what was in them, and they hold it still."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.runs import runner

import qlab
from qlab.cli import main
from qlab.errors import DataError
from qlab.experiment.asking import schema
from qlab.explorer.loaded import data_of
from qlab.tasks.stored import load_stored
from qlab.tracking import names
from qlab.tracking.configs import read_configs
from qlab.tracking.store import Store

ROWS = np.round(np.random.default_rng(3).normal(size=(40, 2)), 3)
ROWS_B = ROWS * [1.02, 1.05] + [0.0, 0.01]
NEW = np.array([[0.1, 0.1], [-0.2, 0.5], [1.0, 1.0]])

FILE = """
name = "cells"
task = { type = "Table", path = "cells.csv" }
corruption = { type = "LabelFlip", ratio = 0.2 }
model = { type = "sklearn.svm:SVC" }
run = { seeds = 1 }
"""

OWN = '''
from pathlib import Path

import numpy as np
import torch

from qlab import Dataset, Split, Task


class Mine(Task):
    """Rows of a file beside this one."""

    def files(self):
        return str(Path(__file__).parent / "mine.txt")

    def load(self):
        x = torch.from_numpy(np.loadtxt(self.files()))
        y = torch.arange(len(x)) % 2
        return Dataset(Split(x, y), Split(x, y))

    def random_features(self, n, generator):
        return torch.randn(n, 2, generator=generator, dtype=torch.float64)
'''


def table(rows: Any) -> str:
    return "a,b,label\n" + "".join(f"{a},{b},{int(a + b > 0)}\n" for a, b in rows)


@pytest.fixture
def place(tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study that was run; the current one is another."""
    (tmp_path / "own").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "own" / "cells.csv").write_text(table(ROWS))
    (tmp_path / "own" / "cells.toml").write_text(FILE)
    uri = write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert not runner(Store(uri)).run(schema.load(tmp_path / "own" / "cells.toml")).failed
    return tmp_path


def predicted(place: Path) -> list[float]:
    found = qlab.results("cells", tracking_uri=f"sqlite:///{place}/mlruns/mlflow.db")
    return [float(z) for z in found.predict(found.frame.iloc[0], NEW)["logit"]]


def test_an_estimator_is_fitted_again_to_the_file_beside_its_experiment(place: Path) -> None:
    before = predicted(place)
    Path("cells.csv").write_text(table(ROWS_B))
    assert predicted(place) == before
    (place / "own" / "cells.csv").rename(place / "own" / "gone.csv")
    with pytest.raises(DataError, match="data of these runs are not here"):
        predicted(place)
    Path("cells.csv").write_text(table(ROWS))
    assert predicted(place) == before


def test_an_estimator_is_not_fitted_again_to_an_edited_file(place: Path) -> None:
    edited = table(ROWS_B)  # nearly the same: the accuracies may not tell
    (place / "own" / "cells.csv").write_text(edited)
    with pytest.raises(DataError, match=r"own/cells\.csv of the task Table was edited since.*Put back"):
        predicted(place)


def test_the_command_reads_nothing_that_the_store_does_not_vouch_for(place: Path) -> None:
    store = Store(f"sqlite:///{place}/mlruns/mlflow.db")
    runs = list(store.search(store.experiment_ids(["cells"])))
    run = next(item for item in runs if item.data.tags[names.KIND] == names.TRIAL)
    parent = run.data.tags[names.PARENT]
    configs = read_configs(store, parent)
    assert configs is not None
    for config in configs.values():
        assert config["task"].pop("files")
    (place / names.CONFIGS).write_text(json.dumps(configs))
    store.log_file(parent, place / names.CONFIGS)
    (place / "new.csv").write_text("a,b\n1,2\n")
    given = [
        "predict",
        run.info.run_id,
        str(place / "new.csv"),
        "--tracking-uri",
        f"sqlite:///{place}/mlruns/mlflow.db",
    ]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2
    assert 'no digest "files"' in result.stderr


@pytest.mark.parametrize("said", [{}, {"files": None}, {"files": "0" * 16}])
def test_the_explorer_reads_no_file_without_its_digest(place: Path, said: dict[str, Any]) -> None:
    config = {"type": "Table", "path": str(place / "own" / "cells.csv"), **said}
    with pytest.raises(DataError, match=r"edited since" if said.get("files") else r'no digest "files".*run the exp'):
        data_of({"task": config})
    with pytest.raises(DataError, match="not here"):
        load_stored(config, place / "own")


def test_a_task_without_files_needs_no_digest() -> None:
    config = {"type": "Sklearn", "name": "moons", "n": 40}
    assert len(load_stored(config)[1].train) > 0
    with pytest.raises(DataError, match="names no files now"):
        load_stored({**config, "files": "0" * 16})


def test_the_files_of_a_class_of_ones_own_are_held_to_their_digest(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    np.savetxt(tmp_path / "mine.txt", ROWS)
    text = FILE.replace('type = "Table", path = "cells.csv"', 'type = "mine:Mine"')
    config = schema.parse(text, source="mine.toml", folder=tmp_path).trials[0].config["task"]
    assert len(load_stored(config, imports=tmp_path)[1].train) == 40
    with pytest.raises(DataError, match=r'mine\.txt.*no digest "files"'):
        load_stored({**config, "files": None}, imports=tmp_path)
    np.savetxt(tmp_path / "mine.txt", ROWS_B)
    with pytest.raises(DataError, match=r"mine\.txt of the task Mine was edited since"):
        load_stored(config, imports=tmp_path)
