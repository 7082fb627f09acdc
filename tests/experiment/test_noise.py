"""Noise in experiment files: swept, part of identities, trained, unlearned and probed like anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.noisy import BASE, trials

import qlab
from qlab.cli import main
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.models import PennyLaneQNN
from qlab.noise import AmplitudeDamping, DepolarizingChannel, ReadoutError
from qlab.registry import restored
from qlab.tasks import XXZ

SWEPT = """noise = [
    { channel = "DepolarizingChannel", p = [0.0, 0.1], after = "all" },
    { channel = "ReadoutError", p = 0.02 },
]"""


def test_strengths_are_swept() -> None:
    one, other = trials(SWEPT)
    assert one.network.config()["noise"][0]["p"] == 0.0
    assert [trial.model.field_values()["noise"] for trial in (one, other)] == [
        (DepolarizingChannel(p=0.0), ReadoutError(p=0.02)),
        (DepolarizingChannel(p=0.1), ReadoutError(p=0.02)),
    ]
    assert one.key != other.key
    assert one.ensemble_key != other.ensemble_key
    assert one.params["model.noise.1.channel"] == "DepolarizingChannel"
    assert [trial.params["model.noise.1.p"] for trial in (one, other)] == ["0.0", "0.1"]
    assert one.params["model.noise.2.p"] == "0.02"
    assert restored(type(one.model), one.config["model"])["noise"] == one.model.field_values()["noise"]


def test_lists_of_lists_are_swept_and_no_noise_is_as_before() -> None:
    swept = trials('noise = [[], ["ReadoutErrorX"]]'.replace('["ReadoutErrorX"]', '[{ channel = "BitFlip", p = 0.1 }]'))
    [bare] = trials("")
    assert swept[0].key == bare.key
    assert "noise" not in bare.config["model"]
    assert not any("noise" in name for name in bare.params)
    assert len(swept) == 2


OWN = """
import pennylane as qml
from qlab.noise import Channel

class Twirl(Channel):
    strength: float = 0.1

    def on(self, wires):
        return qml.PhaseDamping(self.strength, wires=wires)
"""


def test_a_channel_of_ones_own_counts_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(OWN)
    [trial] = trials('noise = ["my:Twirl"]', tmp_path)
    table = trial.config["model"]["noise"][0]
    assert (table["channel"], table["strength"], len(table["code"])) == ("my:Twirl", 0.1, 12)


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (
            'noise = [{ channel = "BitFlop", p = 0.1 }]',
            'model.noise[1].channel: unknown channel "BitFlop". Did you mean',
        ),
        (
            'noise = [{ type = "BitFlip", p = 0.1 }]',
            "model.noise[1].channel: got nothing, accepts the name of a channel",
        ),
        ('noise = [{ channel = "BitFlip", p = 1.1 }]', "model.noise[1].p: got 1.1, accepts a number in [0, 1]"),
        ('noise = [{ channel = "BitFlip" }]', "model.noise[1].p: missing; accepts a number in [0, 1]"),
        ('noise = [{ channel = "BitFlip", gamma = 0.1 }]', 'model.noise[1]: unknown BitFlip key "gamma"'),
        ('noise = { channel = "BitFlip", p = 0.1 }', "model.noise: got {"),
        (
            'noise = [{ channel = "ThermalRelaxationError", t1 = 1.0, t2 = 2.5, tg = 0.1 }]',
            "model.noise[1]: t2: got 2.5, accepts at most 2 t1 = 2.",
        ),
    ],
)
def test_bad_tables_are_refused_by_place(noise: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trials(noise)
    assert said in str(caught.value)


def test_networks_have_no_noise() -> None:
    text = BASE.replace('"PennyLaneQNN"\ndepth = 2', '"MLP"') + 'noise = [{ channel = "BitFlip", p = 0.1 }]'
    with pytest.raises(ConfigError, match='model: unknown MLP key "noise"'):
        schema.parse(text, source="given.toml", default_name="given")


def invoke(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, *options: str) -> Any:
    monkeypatch.chdir(folder)
    (folder / "noisy.toml").write_text(text)
    return CliRunner().invoke(main, ["run", "noisy.toml", *options])


def test_an_experiment_under_noise_is_trained_unlearned_probed_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = '\n[[unlearner]]\ntype = "Scrub"\nsteps = 2\n[[probe]]\ntype = "HessianProbe"\n'
    result = invoke(tmp_path, monkeypatch, BASE + SWEPT + more)
    assert result.exit_code == 0, result.output
    assert "noise channels" in result.output
    frame = qlab.results("noisy").frame
    assert sorted(frame["model.noise.1.p"]) == [0.0, 0.1]
    again = CliRunner().invoke(main, ["run", "noisy.toml"])
    assert again.exit_code == 0, again.output
    assert len(qlab.results("noisy").frame) == 2


TABLE = BASE.replace(
    BASE[: BASE.index("[corruption]")],
    """
[task]
type = "Table"
path = "rows.csv"
label = "y"
scale = "none"
pad = true
normalize = true
""",
)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
@pytest.mark.parametrize("base", [BASE, BASE.replace("length = 4", "length = 20"), TABLE])
def test_a_gate_that_the_circuit_lacks_is_said_before_anything_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, options: tuple[str, ...]
) -> None:
    rows = "".join(f"{n % 7 + 1},{n % 5 + 1},{n % 3 + 1},{n % 2}\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"a,b,c,y\n{rows}")
    noise = 'noise = [{ channel = "BitFlip", p = 0.1, after = "CNOT" }]'
    result = invoke(tmp_path, monkeypatch, base + noise, *options)
    assert result.exit_code == 2
    assert 'noise[1].after: got "CNOT", and the circuit has no such gate' in result.stderr
    assert "to train" not in result.output


SLOW = """
from qlab import Task

class Unloaded(Task):
    def load(self):
        raise AssertionError("loaded")

    def random_features(self, n, generator):
        raise AssertionError("drawn")
"""

CIRCUIT = """
import pennylane as qml
from qlab.models import PennyLaneQNN

class Own(PennyLaneQNN):
    def weight_shapes(self):
        return {"angles": (self.n_wires,)}

    def ansatz(self, angles):
        qml.CNOT(wires=[0, 1])
        for wire in range(self.n_wires):
            qml.RX(angles[wire], wires=wire)
"""


@pytest.mark.parametrize(
    ("model", "noise", "said"),
    [
        ("PennyLaneQNN", '{ channel = "BitFlip", p = 0.1, after = "CNOT" }', 'noise[1].after: got "CNOT", and the cir'),
        ("PennyLaneQNN", '{ channel = "BitFlip", p = 0.1, after = 3, wires = [7] }', "got 3, and the circuit has no"),
        (
            "PennyLaneQNN",
            '{ channel = "BitFlip", p = [[0.1, 0.2, 0.3, 0.4]] }, { channel = "PhaseFlip", p = [[0.1, 0.1]] }',
            "noise[2].p: got 2 strengths for 4 wires",
        ),
        ("my:Own", '{ channel = "TwoQubitDepolarizing", p = 0.1, after = "start" }', "acts on 2 qubits at once; accep"),
        ("my:Own", '{ channel = "BitFlip", p = 0.1 }], device = "default.qubit', "keeps pure states and has no noise"),
        ("my:Own", '{ channel = "BitFlip", p = 0.1, after = "CNOT" }', ""),
        ("PennyLaneQNN", '{ channel = "BitFlip", p = 0.1, wires = [7] }', ""),
    ],
)
def test_what_does_not_depend_on_data_is_said_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, noise: str, said: str
) -> None:
    (tmp_path / "my.py").write_text(SLOW + CIRCUIT)
    text = BASE.replace(BASE[: BASE.index("[corruption]")], '[task]\ntype = "my:Unloaded"\n')
    text = text.replace('type = "PennyLaneQNN"\ndepth = 2', f'type = "{model}"')
    lines = f"noise = [{noise}" + ("" if "device" in noise else "]")
    lines = lines.replace('], device = "default.qubit', ']\ndevice = "default.qubit"')
    result = invoke(tmp_path, monkeypatch, text + lines, "--dry-run")
    assert result.exit_code == (2 if said else 0), result.output
    assert said in result.stderr


def test_a_dry_run_of_noise_that_fits_loads_no_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(task: XXZ) -> None:
        raise AssertionError(task)

    monkeypatch.setattr(XXZ, "load", refuse)
    result = invoke(tmp_path, monkeypatch, BASE.replace("length = 4", "length = 12") + SWEPT, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "2 trials: 0 done, 2 would run" in result.output


def test_in_python_channels_are_objects_and_a_table_is_answered_with_what_to_write() -> None:
    with pytest.raises(ConfigError) as caught:
        PennyLaneQNN(noise=({"channel": "AmplitudeDamping", "gamma": 0.1}, "DepolarizingChannel"))
    assert str(caught.value).endswith(
        "In Python: from qlab.noise import AmplitudeDamping, DepolarizingChannel; "
        "noise=(AmplitudeDamping(gamma=0.1), DepolarizingChannel())"
    )
    for given in ({"channel": "Nothing"}, {"type": "AmplitudeDamping"}, 3):
        with pytest.raises(ConfigError, match=r"in Python an object\)\.$"):
            PennyLaneQNN(noise=(given,))
    made = PennyLaneQNN(noise=(AmplitudeDamping(gamma=0.1),))
    assert made.config()["noise"] == [{"channel": "AmplitudeDamping", "gamma": 0.1, "after": "all", "wires": []}]
    assert isinstance(AmplitudeDamping(gamma=0.1), qlab.Channel)
