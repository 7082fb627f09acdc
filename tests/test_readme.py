"""The commands and examples of the README and of the pages in docs/, run as they stand there."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from support.commands import words
from support.documents import ROOT, TEXTS, blocks, commands

from qlab.cli import main
from qlab.noise import DeviceNoise

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

EVERY = "\n".join(TEXTS.values())
FILES = {re.search(r'^name = "(\w+)"', text, flags=re.MULTILINE)[1]: text for text in blocks("toml")}


ELSEWHERE = ("qlab ui", "qlab explore", "qlab report")  # tested in tests/apps and tests/cli
COMMANDS = sorted(
    {
        line: None
        for text in blocks("sh")
        for line in commands(text)
        if line.startswith("qlab ") and not line.startswith(ELSEWHERE) and not re.fullmatch(r"qlab run [\w/ ]+", line)
    },
    key=lambda line: not line.startswith("qlab run"),  # others read what is in the store
)
"""What the pages say to type. Experiments that ship and are run as they are come later: reading them is enough."""


def qlab(*arguments, cwd):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_empty_store):
    """A folder with the files that readers are told to write: one store for all pages."""
    path = tmp_path_factory.mktemp("readme")
    write_empty_store(path / "mlruns" / "mlflow.db")
    for name, text in FILES.items():
        (path / f"{name}.toml").write_text(text, encoding="utf-8")
    (path / "cells.csv").write_bytes((ROOT / "tests/support/cells.csv").read_bytes())
    for text in blocks("python"):
        if found := re.match(r"# (\w+\.py)\n", text):
            (path / found[1]).write_text(text, encoding="utf-8")
    return path


def test_first_command_installs_and_runs_the_main_experiment():
    install = blocks("sh", "README.md")[0].strip()
    assert install.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install . && ")
    assert install.endswith("qlab run experiments/xxz_flip.toml")
    assert (ROOT / "experiments/xxz_flip.toml").is_file()


def test_second_command_is_what_ci_runs():
    if not (ROOT / ".ci/run").is_file():
        pytest.skip("no .ci/run here")
    command = blocks("sh", "README.md")[-1].strip().removeprefix("pip install ")
    assert command in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.usefixtures("figures")
def test_first_experiment(folder):
    """In a process of its own, with figures."""
    command = [sys.executable, "-m", "qlab", "run", "depth.toml"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "30 trials trained" in result.stdout
    assert "depth=3" in result.stdout
    assert "hidden=[8, 2]" in result.stdout
    assert list((folder / "mlruns").rglob("summary/accuracy.png"))


def test_own_table(folder):
    result = qlab("run", "my_cells.toml", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "30 trials trained" in result.stdout
    assert "test accuracy" in result.stdout


def test_own_classes(folder):
    result = qlab("run", "mine.toml", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "12 trials trained" in result.stdout
    described = qlab("describe", "my_parts:Blobs", cwd=folder)
    assert "between their centres" in described.stdout


def test_circuits(folder):
    planned = qlab("run", "cells.toml", "--dry-run", cwd=folder)
    assert "sees 2 of 30 features" in planned.stdout
    result = qlab("run", "cells.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("sees 2 of 30 features") == 1
    assert "2 trials trained" in result.stdout
    assert "observable=mean_Z" in result.stdout


def test_own_unlearner(folder):
    result = qlab("run", "relabel.toml", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "8 unlearning runs" in result.stdout
    for method in (
        "Finetune",
        "my_unlearner:Relabel weight=0.5",
        "my_unlearner:Relabel weight=1",
        "my_unlearner:Descend",
    ):
        assert method in words(result.stdout)


def test_an_audit(folder):
    planned = qlab("run", "audit.toml", "--dry-run", cwd=folder)
    assert "audits take 20 oracles (0 in the store, 20 to train) and 20 shadow models (0 in the" in planned.stdout
    assert "2 unlearning runs would be repeated on 20 models each" in planned.stdout
    result = qlab("run", "audit.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.stderr
    assert "KLoM, forget rows" in result.stdout
    assert "4 audits: 4 done, 0 would be taken" in qlab("run", "audit.toml", "--dry-run", cwd=folder).stdout
    (text,) = [text for text in blocks("python", "docs/audits.md") if 'qlab.results("audit")' in text]
    with contextlib.chdir(folder):
        found = {}
        exec(text, found)
    assert len(found["figure"]) == 1
    assert set(found["table"]["rows"]) == {"forget", "retain"}


def test_methods_with_equal_budgets(folder):
    result = qlab("run", "equal.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "6 unlearning runs" in result.stdout


def test_settings_of_methods_are_chosen(folder):
    planned = qlab("run", "chosen_method.toml", "--dry-run", cwd=folder)
    assert "4 unlearning runs to choose from" in planned.stdout
    assert "then, with what is chosen by utility_and_forgetting: 8 unlearning runs to report" in planned.stdout
    result = qlab("run", "chosen_method.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "chosen: MLP, ratio 0.3, LabelFlip, known 0.25, GradientAscent: beta" in result.stdout


def test_some_rows_are_known(folder):
    result = qlab("run", "partly.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "2 trials trained" in result.stdout
    assert "4 unlearning runs" in result.stdout
    assert all(f"known={known} " in words(result.stdout) for known in ("0.25", "1"))


@pytest.mark.parametrize("text", [text for text in blocks("python") if "Trainer" in text])
def test_notebook(text, folder):
    result = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) >= 3


def test_results_in_a_notebook(folder):
    result = qlab("run", "depth.toml", cwd=folder)
    assert result.exit_code == 0, result.output
    found = [text for text in blocks("python") if 'qlab.results("depth")' in text]
    assert len(set(found)) == 1  # two pages have it
    text = found[0]
    result = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "depth: 30 trials, 30 kept" in result.stdout
    (call,) = re.findall(r'`(qlab\.run\("depth\.toml", seeds=2\))`', TEXTS["docs/results.md"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert len(eval(call, {"qlab": __import__("qlab")}).frame) == 30


def test_exports(folder):
    assert qlab("run", "depth.toml", cwd=folder).exit_code == 0
    texts = [text for text in blocks("sh") if "qlab export depth --table" in text]
    assert texts
    for line in filter(None, "\n".join(texts).splitlines()):
        result = qlab(*line.split("#")[0].split()[1:], cwd=folder)
        assert result.exit_code == 0, result.output
        assert (folder / result.stdout.strip().split(": ")[0]).is_file()


def test_controls(folder):
    result = qlab("run", "controls.toml", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "45 trials trained" in result.stdout
    for model in ("SVC C=0.1", "SVC C=1", "RandomForestClassifier"):
        assert model in words(result.stdout)


def test_claims(folder):
    planned = qlab("run", "claimed.toml", "--dry-run", cwd=folder)
    assert "8 seeds, t test, level 0.05, Holm over 2 claims: 80 % power for effects" in planned.stdout
    result = qlab("run", "claimed.toml", cwd=folder)
    assert result.exit_code == 0, result.output
    shown = words(result.stdout)
    assert "48 trials trained" in shown
    assert "claimed: claims" in shown
    (command,) = re.findall(r"`qlab (export claimed --claims claims\.tex)`", EVERY)
    assert qlab(*command.split(), cwd=folder).exit_code == 0
    assert "flipped labels & " in (folder / "claims.tex").read_text(encoding="utf-8")


def test_what_models_are_given(folder):
    result = qlab("run", "seen.toml", cwd=folder)
    assert result.exit_code == 0, result.output
    shown = words(result.stdout)
    assert "70 trials trained" in shown
    for name in ("PauliLinear bound=operator", "MLP inputs=pauli", "DensityKernelSVC"):
        assert name in shown


def test_classifiers_for_scikit_learn(folder):
    (text,) = [text for text in blocks("python") if "QNNClassifier" in text]
    result = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert "qnnclassifier__depth" in result.stdout


def test_own_probe(folder):
    described = qlab("describe", "my_probe:Sharpness", cwd=folder)
    assert "of the ball" in described.stdout
    probe = '\n[[probe]]\ntype = "my_probe:Sharpness"\nradius = [0.1, 0.5]\n'
    (folder / "sharp.toml").write_text((folder / "relabel.toml").read_text() + probe, encoding="utf-8")
    result = qlab("run", "sharp.toml", "--set", "name=sharp", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "4 probes taken" in result.stdout


@pytest.fixture(scope="module")
def filled(folder):
    """The folder with a store that has the first experiment and one with a claim."""
    for name in ("depth", "claimed"):
        assert qlab("run", f"{name}.toml", "--no-figures", cwd=folder).exit_code == 0
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_do_what_the_pages_say(line, filled):
    command = line.split()
    if command[1] == "run" and "--dry-run" not in command:
        command.append("--dry-run")
    result = qlab(*command[1:], cwd=filled)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "name",
    sorted({name for text in blocks("sh") for name in re.findall(r"^qlab run ([\w/]+)(?:\s|$)", text, re.MULTILINE)}),
)
def test_experiments_that_are_named_ship(name):
    from qlab.experiment.asking import schema
    from qlab.resources import experiment_file

    assert schema.load(experiment_file(name)).trials


def test_every_command_of_the_command_line_is_mentioned():
    for name in main.commands:
        assert f"qlab {name}" in EVERY


def test_a_learning_rate_is_chosen_and_a_metric_of_ones_own_reported(folder):
    result = qlab("run", "fair.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "forget attack" in result.output
    assert "chosen: MLP, ratio 0.3: learning_rate 0." in result.output
    assert "8 trials compared to choose, 4 trials trained" in result.output


def test_the_experiment_under_noise_sweeps_three_strengths(folder):
    planned = qlab("run", "noisy.toml", "--dry-run", cwd=folder)
    assert planned.exit_code == 0, planned.output
    assert all(f"noise.1.p={p} " in planned.output for p in ("0", "0.01", "0.1"))


def test_a_device_is_named_in_place_of_channels(folder):
    planned = qlab("run", "machine.toml", "--dry-run", cwd=folder)
    assert planned.exit_code == 0, planned.output
    assert "PennyLaneQNN noise.1=ibm_kingston noise.1.qubits=[5, 6, 7, 8, 9, 10] LabelFlip 0.3 seed 0" in planned.output
    [own] = [text for text in blocks("text") if text.startswith('name = "mine"')]
    (folder / "mine_device.toml").write_text(own, encoding="utf-8")
    assert DeviceNoise.read("mine_device.toml", folder=folder).qubits == (0, 1)


def test_trained_circuits_are_evaluated_under_other_noise(folder):
    result = qlab("run", "mismatched.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "32 probes taken" in result.output
    assert "without noise, 100 shots" in words(result.stdout)


def test_long_chains_are_trained_on_and_a_task_of_ones_own_hands_over_density_matrices(folder):
    result = qlab("run", "sizes.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "12 trials trained" in result.stdout
    own = "\n".join(line for line in FILES["sizes"].splitlines() if not line.startswith(("length", "block_sites")))
    for before, after in (
        ('"sizes"', '"tilted"'),
        ('type = "TransverseIsing"', 'type = "my_states:Tilted"'),
        ("depth = 4", "depth = 2"),
        ('type = "PauliLinear"', 'type = "PauliLinear"\nsites = 2'),
        ('inputs = "pauli"', 'inputs = "pauli"\nsites = 2'),
    ):
        assert before in own
        own = own.replace(before, after)
    (folder / "tilted.toml").write_text(own, encoding="utf-8")
    result = qlab("run", "tilted.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "6 trials trained" in result.stdout


def test_losses_are_compared(folder):
    result = qlab("run", "trained.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "4 trials trained" in result.output
    assert "loss=GeneralizedCrossEntropy" in words(result.stdout)


def test_ranges_are_searched(folder):
    pytest.importorskip("optuna")
    planned = qlab("run", "searched.toml", "--dry-run", cwd=folder)
    assert "2 configurations of training.learning_rate 0.0001 to 0.3 (log)" in planned.stdout
    result = qlab("run", "searched.toml", "--no-figures", cwd=folder)
    assert result.exit_code == 0, result.output
    assert "2 trials compared to choose, 2 trials trained" in result.output


def test_a_circuit_is_taken_out(folder):
    assert qlab("run", "cells.toml", "--no-figures", cwd=folder).exit_code == 0
    (text,) = [text for text in blocks("python") if "to_qnode" in text]
    result = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    numbers, _, program = result.stdout.partition("OPENQASM 2.0;")
    outside, inside = map(float, numbers.split()[-2:])
    assert outside == pytest.approx(inside, abs=1e-6)
    assert "qelib1.inc" in program


@pytest.mark.parametrize("name", FILES)
def test_every_experiment_file_is_accepted(name, folder):
    from qlab.experiment.asking import schema

    assert schema.load(folder / f"{name}.toml").trials


def test_files_of_all_pages_have_names_of_their_own():
    assert len(FILES) == len(blocks("toml"))


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```", "", TEXTS[page], flags=re.DOTALL))
    for link in links:
        assert "://" in link or (ROOT / page).parent.joinpath(link).exists(), link


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page, text in TEXTS.items():
        for entries in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
            for entry in entries.split():
                below = ROOT / "docs" / entry[1:] if entry.startswith("/") else (ROOT / page).parent / entry
                listed.add(below.resolve().relative_to(ROOT).as_posix() + ".md")
    pages = {page for page in TEXTS if page.startswith("docs/")} - {"docs/index.md"}
    assert pages - listed == set(), "add it to the toctree of docs/guides/index.md, or where it belongs"
