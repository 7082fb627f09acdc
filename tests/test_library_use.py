"""qlab as a library: no experiment file, no tracking, and nothing imported before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import qlab

TRAIN = """
import json, sys
from qlab import XXZ, LabelFlip, PennyLaneQNN, Trainer

task = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3))
trained = Trainer(epochs=3).train(PennyLaneQNN(depth=2), task, [LabelFlip(ratio=r) for r in (0.0, 0.5)], seeds=range(2))
logits = trained.model_of(0)(trained.model_of(0).prepare(task.load().validation.x))
print(json.dumps({
    "members": len(trained),
    "history": list(trained.history["validation_accuracy"].shape),
    "logits": list(logits.shape),
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
    "made": sorted(path.name for path in __import__("pathlib").Path.cwd().iterdir()),
}))
"""


def run(code: str, folder: Path) -> Any:
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_training_needs_no_file_and_no_tracking(tmp_path: Path) -> None:
    found = run(TRAIN, tmp_path)
    assert (found["members"], found["history"], found["logits"]) == (4, [4, 3], [12])
    assert not {"mlflow", "panel", "holoviews", "click"} & set(found["modules"])
    assert found["made"] == []


def test_what_runs_no_circuit_loads_neither_pennylane_nor_what_draws(tmp_path: Path) -> None:
    code = TRAIN.replace("PennyLaneQNN(depth=2)", "MLP(hidden=(2,))").replace("PennyLaneQNN", "MLP")
    modules = run(code.replace("import json, sys", "import json, sys, qlab.experiment.runner"), tmp_path)["modules"]
    assert not {"pennylane", "matplotlib", "holoviews", "bokeh", "panel", "sklearn", "torchvision"} & set(modules)


def test_importing_qlab_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import json, sys, qlab; print(json.dumps([sorted(sys.modules), dir(qlab)]))"
    modules, names = run(code, tmp_path)
    assert not {"torch", "numpy", "pennylane", "mlflow", "pydantic", "pandas"} & set(modules)
    assert set(qlab.__all__) <= set(names)


def test_every_name_that_qlab_offers_is_there() -> None:
    for name in qlab.__all__:
        assert getattr(qlab, name) is not None


def test_a_name_that_qlab_does_not_offer_is_an_attribute_error() -> None:
    assert not hasattr(qlab, "Quantum")
