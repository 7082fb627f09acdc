"""`qlab.run` from Python: the command's work, results in return."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import qlab
from qlab.errors import ConfigError
from qlab.scripting import _is_guarded


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store, tiny: str) -> Path:
    (tmp_path / "tiny.toml").write_text(tiny)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_run_and_its_results_come_back(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = qlab.run("tiny.toml", seeds=[3], set={"corruption.ratio": 0.5}, figures=False)
    assert len(found.frame) == 2
    assert set(found.frame["seed"]) == {3}
    assert set(found.frame["ratio"]) == {0.5}
    assert found.failures == ()
    assert "2 trials, 0 in the store already" in capsys.readouterr().out
    again = qlab.run("tiny", seeds=range(3, 4), set={"corruption.ratio": 0.5}, figures=False, quiet=True)
    assert list(again.frame["run_id"]) == list(found.frame["run_id"])
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_what_fails_is_said_and_in_the_results(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "own.py").write_text(
        "import torch\nfrom qlab import MLP\n\n\nclass Mine(MLP):\n    def forward(self, prepared):\n"
        "        if prepared.shape[-2] > 4:\n            raise RuntimeError('the kettle is dry')\n"
        "        return super().forward(prepared)\n"
    )
    (place / "bad.toml").write_text((place / "tiny.toml").read_text().replace('"MLP"', '"own:Mine"'))
    found = qlab.run("bad.toml", seeds=1, figures=False, quiet=True)
    assert "the kettle is dry" in " ".join(found.failures)
    assert "the kettle is dry" in repr(found)
    assert "the kettle is dry" in capsys.readouterr().err
    assert found.frame["kept"].sum() == 2
    assert (~found.frame["kept"]).sum() == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jobs": 0}, "jobs: got 0, accepts a whole number from 1"),
        ({"jobs": 2, "cluster": "tcp://x:1"}, "cannot be combined with jobs"),
        ({"seeds": 0}, "seeds"),
        ({"set": {"model.dept": 2}}, "dept"),
        ({"device": "gpu"}, "device"),
    ],
)
def test_what_cannot_be_run_is_an_error(place: Path, arguments, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        qlab.run("tiny.toml", quiet=True, **arguments)


SCRIPT = """
import qlab
def work():
    return qlab.run("tiny.toml", seeds=1, jobs=2, figures=False)
{call}
"""


def test_a_script_that_would_run_itself_again_is_told_so(place: Path) -> None:
    (place / "script.py").write_text(SCRIPT.format(call="print(work())"))
    result = subprocess.run([sys.executable, "script.py"], cwd=place, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "line 5: worker processes read the script again" in result.stderr
    assert 'Put the call below if __name__ == "__main__":' in result.stderr


def test_a_guarded_script_uses_worker_processes(place: Path) -> None:
    (place / "script.py").write_text(SCRIPT.format(call='if __name__ == "__main__":\n    print(work())'))
    result = subprocess.run([sys.executable, "script.py"], cwd=place, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "tiny: 4 trials, 4 kept" in result.stdout


@pytest.mark.parametrize(
    ("text", "line", "guarded"),
    [
        ("x = 1\nif __name__ == '__main__':\n    run()\n", 3, True),
        ("if '__main__' == __name__:\n    run()\nelse:\n    run()\n", 2, True),
        ("if '__main__' == __name__:\n    run()\nelse:\n    run()\n", 4, False),
        ("run()\n", 1, False),
        ("if x:\n    run()\n", 2, False),
        ("%matplotlib inline\nrun()\n", 2, True),
    ],
)
def test_the_guard_is_recognised(text: str, line: int, guarded: bool) -> None:
    assert _is_guarded(text, line) == guarded
