"""`qlab run` and `qlab runs` on a real store."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import os
import re
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.experiments import TASK

from qlab.cli import main
from qlab.tracking import frames
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def refused(*arguments: str) -> str:
    """The message of a command that cannot be carried out: exit status 2, one line, no traceback."""
    result = invoke(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@dataclasses.dataclass(frozen=True)
class Studied:
    """A folder in which an experiment was run, and what the command said."""

    folder: Path
    result: Result


@pytest.fixture(scope="module")
def studied_once(
    tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str], tiny: str
) -> Studied:
    folder = tmp_path_factory.mktemp("studied")
    (folder / "tiny.toml").write_text(tiny)
    write_empty_store(folder / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("QLAB_NO_FIGURES")
        return Studied(folder, invoke("run", "tiny.toml"))


@pytest.fixture
def studied(studied_once: Studied, monkeypatch: pytest.MonkeyPatch) -> Studied:
    """The folder in which the experiment was run, as the current one."""
    monkeypatch.chdir(studied_once.folder)
    return studied_once


# A run that succeeds


def test_a_run_prints_table_places_and_what_to_do_next(studied: Studied) -> None:
    output = studied.result.output
    assert studied.result.exit_code == 0
    for model in ("MLP", "PennyLaneQNN"):
        assert model in output
    assert output.count("2 of 2") == 4
    assert len(re.findall(r"[01]\.\d{3} ± [01]\.\d{3}", output)) == 8
    assert "8 trials trained, 0 from the store" in output
    assert str(studied.folder / "mlruns" / "mlflow.db") in output
    assert "qlab ui" in output
    assert "qlab explore" in output
    (figure,) = re.findall(r"^figure: +(\S+accuracy\.png)", output, re.MULTILINE)
    assert Path(figure).is_file()


@pytest.mark.usefixtures("figures")
def test_without_figures_there_are_tables_and_the_next_run_draws(project: Path) -> None:
    plain = invoke("run", "tiny.toml", "--no-figures")
    (table,) = re.findall(r"^tables: +(\S+summary\.csv)$", plain.output, re.MULTILINE)
    assert Path(table).is_file()
    assert not list((project / "mlruns").rglob("*.png"))
    drawn = invoke("run", "tiny.toml")
    assert "0 trials trained, 8 from the store" in drawn.output
    assert Path(table).with_name("accuracy.png").is_file()


def test_elsewhere_than_on_a_terminal_progress_is_plain_lines(studied: Studied) -> None:
    lines = studied.result.output.splitlines()
    assert lines[0] == "tiny: 8 trials, 0 in the store already, 8 to train in 2 ensembles"
    assert lines[1] == "[1/2] MLP on XXZ, LabelFlip: 4 trials, 2 epochs"
    assert re.fullmatch(r"\[1/2\] done in [0-9.]+ s: .*\d (healthy|collapsed|unconverged).*", lines[2])
    assert lines[3].startswith("[2/2] PennyLaneQNN on XXZ, LabelFlip: 4 trials, 2 epochs; ")
    assert "\x1b" not in studied.result.output
    assert "\r" not in studied.result.output


def test_a_dry_run_says_what_is_done_and_what_would_run(studied: Studied) -> None:
    result = invoke("run", "tiny.toml", "--dry-run", "--seeds", "3")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "tiny: Four spins, a handful of states"
    states = [
        re.fullmatch(r"(\w+) +[0-9a-f]{16}  (MLP|PennyLaneQNN) LabelFlip .* seed (\d).*", line) for line in lines[1:-1]
    ]
    assert all(states)
    counted = Counter((state[1], state[3]) for state in states if state)
    assert counted == {("done", "0"): 4, ("done", "1"): 4, ("new", "2"): 4}
    assert lines[-1] == "12 trials: 8 done, 4 would run in 2 ensembles"


def test_the_store_lists_experiments(studied: Studied) -> None:
    result = invoke("runs")
    assert result.exit_code == 0
    for part in ("tiny", "finished", "8 finished", "UTC"):
        assert part in result.output
    assert invoke("runs", "tiny").output == result.output


def test_the_store_lists_trials(studied: Studied) -> None:
    output = invoke("runs", "--trials").output
    assert output.count("PennyLaneQNN") == 4
    assert output.count("finished") + output.count("FINISHED") == 8
    found = invoke("runs", "tiny", "--filter", "params.`model.type` = 'MLP' and params.seed = '1'").output
    assert found.count("MLP") == 2
    assert "PennyLaneQNN" not in found


def test_a_filter_that_matches_nothing_says_so(studied: Studied) -> None:
    result = invoke("runs", "--filter", "metrics.validation_accuracy > 2")
    assert result.exit_code == 0
    assert result.output.startswith("No runs in ")


def test_a_filter_that_makes_no_sense_is_explained(studied: Studied) -> None:
    message = refused("runs", "--filter", "accuracy is good")
    assert "filter" in message
    assert "good" in message
    # The store is in order; the filter is not.
    assert "cannot be used" not in message


def test_an_experiment_the_store_lacks_is_explained(studied: Studied) -> None:
    message = refused("runs", "tyni")
    for part in ('"tyni"', 'Did you mean "tiny"?', "It has: "):
        assert part in message


def test_several_files_at_once_with_values_for_all(studied: Studied) -> None:
    (studied.folder / "other.toml").write_text((studied.folder / "tiny.toml").read_text().replace('"tiny"', '"other"'))
    arguments = ["--set", "corruption.ratio=0.5", "--set", "model.dtype=float64", "--seeds", "4", "--dry-run"]
    result = invoke("run", "tiny.toml", "other.toml", *arguments)
    assert [line for line in result.output.splitlines() if "trials:" in line] == [
        "8 trials: 2 done, 6 would run in 2 ensembles",
        "8 trials: 0 done, 8 would run in 2 ensembles",
    ]


# Seeds


@pytest.mark.parametrize(
    ("given", "seeds"),
    [("1", {"0"}), ("3", {"0", "1", "2"}), ("4,7", {"4", "7"}), ("7, 4", {"4", "7"})],
)
def test_seeds_are_a_number_or_a_list(given: str, seeds: set[str], project: Path) -> None:
    result = invoke("run", "tiny.toml", "--dry-run", "--seeds", given)
    assert set(re.findall(r"seed (\d+)", result.output)) == seeds


@pytest.mark.parametrize("given", ["many", "", "1.5", "1;2"])
def test_what_are_no_seeds_is_explained(given: str, project: Path) -> None:
    assert f"--seeds {given}: accepts a number, or a list" in refused("run", "tiny.toml", "--seeds", given)


@pytest.mark.parametrize("given", ["0", "-1", "1,1", "0,-1", str(10**30)])
def test_seeds_that_cannot_be_are_explained(given: str, project: Path) -> None:
    message = refused("run", "tiny.toml", "--seeds", given)
    assert "run.seeds: got" in message
    assert "accepts" in message


# What leaves no trace


def test_a_dry_run_makes_no_store(project: Path) -> None:
    result = invoke("run", "tiny.toml", "--dry-run")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "8 trials: 0 done, 8 would run in 2 ensembles"
    assert result.output.count("\nnew ") == 8
    assert [path.name for path in project.iterdir()] == ["tiny.toml"]


@pytest.mark.parametrize("name", ["xxz_flip", "experiments/xxz_flip.toml"])
def test_an_experiment_that_ships_runs_from_an_empty_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("run", name, "--dry-run", "--seeds", "1", "--set", "corruption.ratio=[0.0, 0.5]")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    # One seed, and other ratios than those that the file claims something of.
    assert all(
        line.startswith("left out: claim")
        for line in lines[lines.index("4 trials: 0 done, 4 would run in 2 ensembles") + 1 :]
    )
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "no such file": (["nowhere.toml"], ["nowhere.toml", "no such file", "xxz_flip"]),
    "misspelt shipped file": (["xxz_flop"], ["xxz_flop", 'Did you mean "xxz_flip"?']),
    "one bad file of two": (["tiny.toml", "bad.toml"], ["bad.toml", "corruption.ratio", "got 2", "[0, 1]"]),
    "a folder": (["."], ["is a folder"]),
    "unknown key": (["tiny.toml", "--set", "model.deepth=2"], ["tiny.toml", "deepth", 'Did you mean "depth"?']),
    "no assignment": (["tiny.toml", "--set", "model.depth"], ["model.depth", "KEY=VALUE"]),
    "value of the wrong type": (["tiny.toml", "--set", "task.length=5"], ["task.length", "got 5", "divisible by 2"]),
    "unknown device": (["tiny.toml", "--device", "gpu"], ["device", '"gpu"', '"cuda"']),
    "a device that qlab does not train on": (["tiny.toml", "--device", "meta"], ["device", '"meta"', '"cpu"']),
    "a GPU there is not": (["tiny.toml", "--device", "cuda:64"], ["device", '"cuda:64"', "CUDA"]),
    "unknown store": (["tiny.toml", "--tracking-uri", "carrier-pigeon://coop"], ["carrier-pigeon://coop"]),
    "store below a file": (["tiny.toml", "--tracking-uri", "sqlite:///tiny.toml/x.db"], ["tiny.toml", "cannot be"]),
    "device of a dry run": (["tiny.toml", "--dry-run", "--device", "gpu"], ["device", '"gpu"', '"cuda"']),
}


@pytest.mark.parametrize(("arguments", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_run_is_explained_and_leaves_nothing(
    arguments: list[str], expected: list[str], project: Path
) -> None:
    (project / "bad.toml").write_text((project / "tiny.toml").read_text().replace("[0.0, 0.5]", "2"))
    message = refused("run", *arguments)
    for part in expected:
        assert part in message
    assert sorted(path.name for path in project.iterdir()) == ["bad.toml", "tiny.toml"]


def test_a_file_that_is_no_database_is_explained(project: Path) -> None:
    assert "tiny.toml" in refused("run", "tiny.toml", "--tracking-uri", "sqlite:///tiny.toml")


def test_where_a_file_cannot_be_run_those_after_it_are_named(
    project: Path, write_empty_store: Callable[[Path], str]
) -> None:
    write_empty_store(project / "mlruns" / "mlflow.db")
    (project / "other.toml").write_text((project / "tiny.toml").read_text().replace('"tiny"', '"other"'))
    result = invoke("run", "tiny.toml", "other.toml", "--memory", "1kB")
    assert result.exit_code == 2
    said, error = result.stderr.splitlines()
    assert said == "tiny stopped with an error; not run: other"
    assert error.startswith("Error: ")


@pytest.mark.parametrize("command", [("run", "tiny.toml"), ("list",)])
def test_ctrl_c_while_a_command_loads_what_it_needs_is_an_interrupt(
    command: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(name: str, *given: Any, **more: Any) -> object:
        if name.startswith("qlab."):
            raise KeyboardInterrupt
        return importer(name, *given, **more)

    importer = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", interrupt)
    result = invoke(*command)
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_nothing_to_run_is_a_usage_error(project: Path) -> None:
    result = invoke("run")
    assert result.exit_code == 2
    assert "Missing argument" in result.stderr


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--trials"], ["ui"], ["explore"]], ids=" ".join)
def test_without_a_store_there_is_nothing_to_show(arguments: list[str], project: Path) -> None:
    message = refused(*arguments)
    assert "There is no store at" in message
    assert "qlab run" in message
    assert [path.name for path in project.iterdir()] == ["tiny.toml"]


def test_an_empty_store_says_so(project: Path, write_empty_store: Callable[[Path], str]) -> None:
    result = invoke("runs", "--tracking-uri", write_empty_store(project / "runs.db"))
    assert (result.exit_code, result.output) == (0, f"No runs in {project / 'runs.db'}.\n")


def test_a_deleted_experiment_is_explained_and_nothing_is_trained(
    project: Path, write_empty_store: Callable[[Path], str]
) -> None:
    store = Store(write_empty_store(project / "mlruns" / "mlflow.db"))
    store.client.delete_experiment(store.experiment_id("tiny"))
    message = refused("run", "tiny.toml")
    assert '"tiny" was deleted' in message


# A run of which a part fails


def test_a_run_with_failures_names_them_and_exits_with_1(
    project: Path, monkeypatch: pytest.MonkeyPatch, write_empty_store: Callable[[Path], str]
) -> None:
    (project / "own.py").write_text(
        "from qlab import MLP\n\n\nclass Breaks(MLP):\n"
        "    def forward(self, prepared):\n        if prepared.shape[-2] > 4:\n"
        "            raise RuntimeError('the kettle is dry')\n        return super().forward(prepared)\n"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", write_empty_store(project / "other" / "runs.db"))
    text = (project / "tiny.toml").read_text().replace('"MLP"', '"own:Breaks"')
    (project / "tiny.toml").write_text(text)
    result = invoke("run", "tiny.toml", "--set", "corruption.ratio=0.5", "--seeds", "1")
    assert result.exit_code == 1
    assert "[1/2] FAILED: RuntimeError: the kettle is dry" in result.output
    (named,) = [line for line in result.output.splitlines() if line.startswith("FAILED ")]
    assert "own:Breaks" in named
    assert "seed 0: RuntimeError: the kettle is dry" in named
    assert "1 trial trained" in result.output
    assert "Traceback" not in result.output
    store = Store()
    assert store.location == str(project / "other" / "runs.db")
    states = frames.trials(store, store.experiment_ids(["tiny"]))
    assert dict(zip(states["model.type"], states["status"], strict=True)) == {
        "own:Breaks": "FAILED",
        "PennyLaneQNN": "FINISHED",
    }


# Probes

PROBE = """
from qlab import LandscapeProbe, ProbeResult


class Height(LandscapeProbe):
    '''The loss at the centre.'''

    def compute(self, landscape):
        if landscape.seed == 1:
            raise ValueError("the [red]kettle[/red] is dry")
        return ProbeResult({"height": float(landscape.loss(landscape.theta))})
"""

PROBED = f"""
name = "probed"
about = "Four spins, and what is around them"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[[probe]]
type = "HessianProbe"
[[probe]]
type = "RougheningProbe"
[[probe]]
type = "own:Height"
[run]
seeds = 2
"""


@pytest.fixture(scope="module")
def probed_once(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> Studied:
    folder = tmp_path_factory.mktemp("probed")
    (folder / "probed.toml").write_text(PROBED)
    (folder / "own.py").write_text(PROBE)
    write_empty_store(folder / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return Studied(folder, invoke("run", "probed.toml"))


@pytest.fixture
def probed(probed_once: Studied, monkeypatch: pytest.MonkeyPatch) -> Studied:
    """The folder in which probes were taken, one of which failed, as the current one."""
    monkeypatch.chdir(probed_once.folder)
    return probed_once


def test_a_run_with_probes_tells_how_far_it_is(probed: Studied) -> None:
    lines = probed.result.output.splitlines()
    assert lines[0] == "probed: 4 trials, 0 in the store already, 4 to train in 1 ensemble"
    assert lines[1] == "6 probes, 0 in the store already, 6 to take"
    assert lines[2] == "[1/2] MLP on XXZ, LabelFlip: 4 trials, 2 epochs"
    assert lines[4] == "[2/2] landscapes of MLP on XXZ, LabelFlip: 2 models, 6 probes"
    assert re.fullmatch(r"\[2/2\] done in [0-9.]+ s: 1 failed", lines[5])
    assert "\x1b" not in probed.result.output


def test_a_run_with_probes_ends_with_a_table_for_each_kind(probed: Studied) -> None:
    output = probed.result.output
    for title in ("probed: HessianProbe", "probed: RougheningProbe", "probed: own:Height"):
        assert re.search(f"^{title} *$", output, re.MULTILINE)
    for heading in ("trace", "term A", "term B", "LRR", "trace polluted", "trace clean", "height", "kept"):
        assert heading in output
    # A roughening ratio has its interval: mean, deviation, and both ends.
    assert re.search(r"[0-9.]+ ± [0-9.]+ \[[0-9.]+, [0-9.]+\]", output)
    assert "1 of 2 (failed)" in output
    assert "4 trials trained, 0 from the store, 5 probes taken; " in output
    assert "probes.csv" in output


def test_a_run_with_a_probe_that_failed_names_it_and_exits_with_1(probed: Studied) -> None:
    assert probed.result.exit_code == 1
    (named,) = [line for line in probed.result.output.splitlines() if line.startswith("FAILED ")]
    said = "ValueError: the [red]kettle[/red] is dry [in own.py, line 10, in compute]"
    assert named == f"FAILED own:Height of MLP LabelFlip 0.5 seed 1: {said}"
    assert "Traceback" not in probed.result.output


def test_a_dry_run_says_which_probes_are_done(probed: Studied) -> None:
    result = invoke("run", "probed.toml", "--dry-run", "--seeds", "3")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[-2:] == [
        "6 trials: 4 done, 2 would run in 1 ensemble",
        "9 probes: 5 done, 4 would be taken",
    ]
    states = Counter(line.split()[0] for line in lines[1:-2] if " of " in line)
    assert states == {"done": 5, "failed": 1, "new": 3}
    assert any(re.fullmatch(r"failed +[0-9a-f]{16}  own:Height of MLP LabelFlip 0.5 seed 1", line) for line in lines)


@pytest.mark.parametrize(
    ("assignment", "left"),
    [("probe.n_samples=5", 6), ("probe.RougheningProbe.n_samples=5", 3), ("probe.samples=retain", 6)],
)
def test_fields_of_probes_are_set_on_the_command_line(probed: Studied, assignment: str, left: int) -> None:
    result = invoke("run", "probed.toml", "--dry-run", "--set", assignment)
    assert result.output.splitlines()[-1] == f"6 probes: {6 - left} done, {left} would be taken"


def test_probes_are_not_listed_as_trials(probed: Studied) -> None:
    assert invoke("runs", "--trials").output.count("LabelFlip") == 4
    assert "4 finished" in invoke("runs").output


def test_a_run_whose_probe_was_mended_takes_it_alone_and_exits_with_0(probed: Studied) -> None:
    (probed.folder / "own.py").write_text(PROBE.replace("landscape.seed == 1", "False"))
    try:
        result = invoke("run", "probed.toml")
    finally:
        (probed.folder / "own.py").write_text(PROBE)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[:2] == [
        "probed: 4 trials, 4 in the store already, 0 to train in 0 ensembles",
        "6 probes, 4 in the store already, 2 to take",
    ]
    assert "[1/1] landscapes of MLP on XXZ, LabelFlip: 2 models, 2 probes" in lines
    assert "2 probes taken" in result.output
    assert "FAILED" not in result.output


def test_a_dry_run_of_probes_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "probed.toml").write_text(PROBED)
    (tmp_path / "own.py").write_text(PROBE)
    result = invoke("run", "probed.toml", "--dry-run")
    assert result.output.splitlines()[-1] == "6 probes: 0 done, 6 would be taken"
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["own.py", "probed.toml"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Two models at four ratios with five seeds; the roughening ratio is for three ratios.
        ("xxz_hessian", ["40 trials: 0 done, 40 would run in 2 ensembles", "70 probes: 0 done, 70 would be taken"]),
        # Two models, their clean twins and their unlearned versions; six probes of each.
        ("xxz_landscape", ["4 trials: 0 done, 4 would run in 2 ensembles", "12 probes: 0 done, 12 would be taken"]),
    ],
)
def test_experiments_with_probes_ship(
    name: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("run", name, "--dry-run")
    assert result.exit_code == 0
    for line in expected:
        assert line in result.output.splitlines()
    assert list(tmp_path.iterdir()) == []


UNUSABLE_PROBES = {
    "an unknown point": ('at = "cleen"', ["probed.toml: probe[1]: unknown point", 'Did you mean "clean"?']),
    "an unknown key": ("n_sample = 3", ["probe[1]", 'Did you mean "n_samples"?']),
    "samples that make no sense": ('samples = "forget"', ["probe[1].samples", "forget_polluted"]),
    "more samples than there are": ("n_samples = 100", ["HessianProbe", "100", "16"]),
}


@pytest.mark.parametrize(("line", "expected"), UNUSABLE_PROBES.values(), ids=UNUSABLE_PROBES.keys())
def test_probes_that_cannot_be_taken_are_explained_and_nothing_is_trained(
    line: str,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_empty_store: Callable[[Path], str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "probed.toml").write_text(PROBED.replace('"HessianProbe"', f'"HessianProbe"\n{line}'))
    (tmp_path / "own.py").write_text(PROBE)
    write_empty_store(tmp_path / "mlruns" / "mlflow.db")
    message = refused("run", "probed.toml")
    for part in expected:
        assert part in message
    assert invoke("runs", "--trials").output.startswith("No runs in ")


# On a terminal


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
def test_on_a_terminal_the_display_is_live(project: Path, write_empty_store: Callable[[Path], str]) -> None:
    import pty

    write_empty_store(project / "mlruns" / "mlflow.db")
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "MLFLOW_TRACKING_URI"}}
    arguments = ["--seeds", "1", "--set", "corruption.ratio=0.5", "--set", "training.epochs=20"]
    process = subprocess.Popen(
        [sys.executable, "-m", "qlab.cli", "run", "tiny.toml", *arguments],
        cwd=project,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 90
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            read = b""
            with contextlib.suppress(OSError):  # the other end is closed
                read = os.read(ours, 65536)
            if not read:
                break
            shown += read
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    text = shown.decode()
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    for part in ("ensembles", "epochs", "0/2", "20/20", "loss", "validation accuracy", "left"):
        assert part in plain
    assert "1 of 1" in plain
    assert "Traceback" not in plain
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")
