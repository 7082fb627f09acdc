"""`qlab runs --failed`, `qlab retry` and `qlab gc` on a real store."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.experiments import TASK

from qlab.cli import main
from qlab.experiment.asking import schema
from qlab.tracking import garbage, names
from qlab.tracking.lock import experiment_lock
from qlab.tracking.store import Store

MODEL = '''
from pathlib import Path

from qlab import MLP


class Fails(MLP):
    """Fails while there is a file "fail" beside this one."""

    def forward(self, prepared):
        if prepared.shape[-2] > 4 and Path(__file__).with_name("fail").exists():
            raise RuntimeError("the kettle is dry")
        return super().forward(prepared)
'''

EXPERIMENT = f"""
name = "kept"
{TASK}
[[model]]
type = "own:Fails"
hidden = [4]
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 1
[run]
seeds = 1
"""


def invoke(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=answer)


def refused(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.startswith("Error: ")
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path, write_empty_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which an experiment was run with one value replaced; half of its trials failed."""
    place = tmp_path / "files"
    place.mkdir()
    (place / "own.py").write_text(MODEL)
    (place / "kept.toml").write_text(EXPERIMENT)
    (place / "fail").touch()
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    result = invoke("run", "files/kept.toml", "--seeds", "2")
    assert result.exit_code == 1, result.output
    return tmp_path


def store() -> Store:
    return Store(create=False)


def runs(kind: str = names.TRIAL) -> list[Any]:
    opened = store()
    return list(opened.search(opened.experiment_ids(["kept"]), f"tags.`{names.KIND}` = '{kind}'"))


def statuses() -> Counter[str]:
    return Counter(run.info.status for run in runs())


def test_what_failed_is_listed_with_its_error(folder: Path) -> None:
    output = invoke("runs", "--failed").output
    assert output.count("kettle") == 2
    assert "own:Fails" in " ".join(output.split())
    assert "MLP NoCorruption" not in output
    assert "qlab retry" in output
    assert "cannot be combined" in refused("runs", "--failed", "--trials")


def test_retry_runs_only_what_is_missing_and_with_the_values_given_then(folder: Path) -> None:
    again = invoke("retry")
    assert again.exit_code == 1
    assert again.output.count("the kettle is dry") >= 1
    (folder / "files" / "fail").unlink()
    (folder / "files" / "kept.toml").unlink()
    result = invoke("retry", "kept")
    assert result.exit_code == 0, result.output
    assert "2 trials trained, 2 from the store" in result.output
    assert statuses() == {"FAILED": 4, "FINISHED": 4}
    assert len(runs(names.EXPERIMENT)) == 1
    assert invoke("retry").output == "Nothing to retry: everything is done.\n"
    assert invoke("runs", "--failed").output.startswith("Nothing failed in ")


def test_retry_of_a_deleted_run_trains_it(folder: Path) -> None:
    (folder / "files" / "fail").unlink()
    opened = store()
    for run in runs():
        if run.info.status == "FINISHED":
            opened.client.delete_run(run.info.run_id)
    assert "4 trials trained, 0 from the store" in invoke("retry").output


def test_retry_without_the_files_of_old_is_explained(folder: Path) -> None:
    (folder / "files" / "own.py").write_text(MODEL + "\nEDITED = 1\n")
    assert "made with other values or classes than files/kept.toml has now" in refused("retry")
    shutil.rmtree(folder / "files")
    message = refused("retry", "kept")
    for part in ("kept cannot be run again as it was", '"own"', "The folder of files/kept.toml", "is gone"):
        assert part in message
    assert 'no experiment "kapt"' in refused("retry", "kapt")


def test_retry_has_nothing_to_do_after_a_class_was_mended_and_its_file_run(folder: Path) -> None:
    (folder / "files" / "own.py").write_text(MODEL.replace("raise", "pass  # raise"))
    assert invoke("run", "files/kept.toml", "--seeds", "2").exit_code == 0
    assert invoke("retry").output == "Nothing to retry: everything is done.\n"


def test_retry_runs_the_others_where_one_cannot_be_run_again(folder: Path) -> None:
    (folder / "files" / "fail").unlink()
    other = EXPERIMENT.replace("kept", "other").replace("own:Fails", "theirs:Fails")
    (folder / "files" / "theirs.py").write_text(MODEL)
    (folder / "files" / "other.toml").write_text(other)
    assert invoke("run", "files/other.toml").exit_code == 0
    (folder / "files" / "theirs.py").write_text(MODEL + "\nEDITED = 1\n")  # what is done is not looked at any more
    result = invoke("retry")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 trials trained, 2 from the store" in result.output
    opened = store()
    for name in ("kept", "other"):
        for run in opened.search(opened.experiment_ids([name]), f"tags.`{names.KIND}` = '{names.TRIAL}'"):
            opened.delete_run(run.info.run_id)
    result = invoke("retry")
    assert result.exit_code == 1
    assert "4 trials trained, 0 from the store" in result.output
    assert result.stderr.splitlines()[-1].startswith("Error: other cannot be run again as it was")


def test_gc_of_a_store_in_order_deletes_nothing(folder: Path) -> None:
    assert invoke("gc").output.startswith("Nothing to delete in ")


def test_gc_deletes_what_was_run_again_after_asking(folder: Path) -> None:
    (folder / "files" / "fail").unlink()
    assert invoke("run", "files/kept.toml", "--seeds", "2").exit_code == 0
    shown = invoke("gc", "--dry-run")
    assert shown.output.count(garbage.FINISHED_LATER) == 2
    assert "2 runs with 0 bytes of artifacts; nothing was deleted" in shown.output
    declined = invoke("gc", answer="n\n")
    assert declined.exit_code == 1
    assert statuses() == {"FAILED": 2, "FINISHED": 4}
    result = invoke("gc", "kept", answer="y\n")
    assert result.exit_code == 0, result.output
    assert "mlflow gc" in result.output
    assert statuses() == {"FINISHED": 4}
    assert invoke("gc", "--yes").output.startswith("Nothing to delete in ")


def test_gc_knows_duplicates_and_what_no_experiment_lists_and_leaves_the_rest(folder: Path) -> None:
    opened = store()
    place = opened.experiment_ids(["kept"])[0]
    finished = next(run for run in runs() if run.info.status == "FINISHED")
    key = finished.data.tags[names.TRIAL_KEY]
    foreign = opened.create_run(place, "not of qlab")
    other = schema.load(folder / "files" / "kept.toml", [("training.epochs", 2)]).trials[0]
    with experiment_lock(opened, place) as lock:
        lock.acquire()
        kinds = {names.KIND: names.TRIAL}
        newer = opened.create_run(place, "newer", tags={**kinds, names.TRIAL_KEY: key})
        opened.finish(newer)
        unlisted = opened.create_run(place, "unlisted", tags={**kinds, names.TRIAL_KEY: other.key})
        opened.finish(unlisted)
        busy = {**kinds, names.TRIAL_KEY: key}
        running = opened.create_run(place, "running", tags=busy)
        found = {item.run_id: item.reason for item in garbage.find_garbage(opened, [place])}
        assert found == {finished.info.run_id: garbage.DUPLICATE, unlisted: garbage.UNLISTED}
        sizes = [item.size for item in garbage.find_garbage(opened, [place]) if item.run_id == finished.info.run_id]
        assert sizes[0] is not None
        assert sizes[0] > 0
    found = {item.run_id: item.reason for item in garbage.find_garbage(opened, [place])}
    assert found[running] == garbage.FINISHED_LATER
    assert foreign not in found
    assert not {run.info.run_id for run in runs(names.EXPERIMENT)} & found.keys()
