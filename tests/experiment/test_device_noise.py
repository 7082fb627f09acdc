"""Noise of a device in experiment files: swept, part of identities, in the store, and refused by place."""

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
from qlab.experiment.asking.trial import Trial
from qlab.models import PennyLaneQNN
from qlab.noise import BitFlip, DeviceNoise
from qlab.registry import restored
from qlab.tracking.params import LONGEST
from qlab.views.labels import label_models, varying

TOY = """
name = "toy"
date = 2026-01-01
source = "made up"
chain = [0, 1, 2, 3]
[gates]
one_qubit = ["sx"]
two_qubit = ["cx"]
[qubits]
"""
TOY += "".join(
    f"{k} = {{ t1_us = 50, t2_us = 60, p1_given_0 = 0.01, p0_given_1 = 0.02, sx = {{ error = 0.01, time_ns = 40 }} }}\n"
    for k in range(4)
)
TOY += "[pairs]\n" + "".join(f"{k}-{k + 1} = {{ cx = {{ error = 0.05, time_ns = 300 }} }}\n" for k in range(3))


def noise_of(trial: Trial) -> tuple[Any, ...]:
    return tuple(trial.model.field_values()["noise"])


def test_a_device_is_named_where_a_list_of_channels_stands_else() -> None:
    [trial] = trials('noise = { device = "kingston", qubits = [3, 4, 5, 6] }')
    assert noise_of(trial) == (DeviceNoise.read("kingston", [3, 4, 5, 6]),)
    assert trial.params["model.noise.1.device"] == "ibm_kingston"
    assert trial.params["model.noise.1.qubits"] == "[3, 4, 5, 6]"
    assert restored(type(trial.model), trial.config["model"])["noise"] == noise_of(trial)
    python = PennyLaneQNN(depth=2, noise=DeviceNoise.read("kingston", [3, 4, 5, 6]))
    assert python.config() == trial.network.config()


def test_devices_qubits_and_lists_of_channels_are_swept() -> None:
    swept = trials(
        'noise = [[], { device = "kingston", qubits = [[0, 1, 2, 3], [4, 5, 6, 7]] },'
        ' [{ channel = "BitFlip", p = [0.1, 0.2] }], { device = ["kingston", "kingston.toml"] }]'.replace(
            ', "kingston.toml"', ""
        )
    )
    assert [noise_of(trial) for trial in swept] == [
        (),
        (DeviceNoise.read("kingston", [0, 1, 2, 3]),),
        (DeviceNoise.read("kingston", [4, 5, 6, 7]),),
        (BitFlip(p=0.1),),
        (BitFlip(p=0.2),),
        (DeviceNoise.read("kingston"),),
    ]
    assert len({trial.key for trial in swept}) == 6
    assert swept[0].key == trials("")[0].key


def test_probes_evaluate_under_a_devices_noise_and_have_short_names() -> None:
    text = BASE + '[[probe]]\ntype = "UnderNoise"\nnoise = [[], { device = "kingston", qubits = [3, 4, 5, 6] }]\n'
    runs = schema.parse(text, source="given.toml", default_name="given").probe_runs
    assert [run.probe.label for run in runs] == ["without noise", "ibm_kingston 3, 4, 5, 6"]
    assert DeviceNoise.read("kingston").in_short == "ibm_kingston 0, 1, 2, 3, 4, 5 and 27 more"


def test_what_is_in_the_file_is_part_of_the_trial_and_where_it_lies_is_not(tmp_path: Path) -> None:
    keys = []
    for place, text in (("a", TOY), ("b", f"# a comment\n{TOY}"), ("c", TOY.replace("error = 0.05", "error = 0.06"))):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{place}.toml").write_text(text)
        keys.append(trials(f'noise = {{ device = "{place}.toml" }}', tmp_path / place)[0].key)
    assert keys[0] == keys[1] != keys[2]


def test_params_are_short_enough_for_the_store_and_names_for_people() -> None:
    every = trials('noise = [[], { device = "kingston" }, { device = "kingston", qubits = [3, 4, 5, 6] }]')
    assert max(len(value) for trial in every for value in trial.params.values()) < LONGEST
    assert [trial.model_name for trial in every][::2] == [
        "PennyLaneQNN",
        "PennyLaneQNN noise.1=ibm_kingston noise.1.qubits=[3, 4, 5, 6]",
    ]


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ('{ device = "toy.tml" }', 'model.noise.device: got "toy.tml", and there is no file'),
        ('{ device = "toy", qubits = [0, 1, 7] }', "toy.toml: qubits: got 7, accepts qubits of the device: 0 to 3."),
        (
            '{ device = "toy", qubits = [0, 1.5] }',
            "model.noise.qubits: got [0, 1.5], accepts the device's qubits by",
        ),
        ('{ device = "toy", qubits = 3 }', "model.noise.qubits: got 3, accepts the device's qubits by wire"),
        ("{ device = 3 }", "model.noise.device: got 3, accepts a TOML file, or the name of a device."),
        ("{ device = [] }", "model.noise.device: got [], accepts a TOML file, or the name of a device."),
        ('{ device = "toy", p = 0.1 }', 'model.noise: unknown key of a device\'s noise "p". Choices: device, qubits.'),
        (
            '[{ channel = "BitFlip", p = 0.1 }, { device = "toy" }]',
            "model.noise[1]: a device has noise of all kinds, and stands alone: noise = { device = ... }.",
        ),
        ('"kingston"', 'Or the noise of a device: { device = "kingston" }.'),
        ('[[{ device = "toy" }]]', "model.noise[1]: a device has noise of all kinds, and stands alone"),
        ('{ device = "broken" }', "broken.toml: is not TOML"),
        ('{ device = "warm" }', "warm.toml: qubits.0.t2_us: got 200, accepts at most 2 t1_us = 100."),
    ],
)
def test_bad_tables_are_refused_by_place(tmp_path: Path, noise: str, said: str) -> None:
    (tmp_path / "toy.toml").write_text(TOY)
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "warm.toml").write_text(TOY.replace("t2_us = 60", "t2_us = 200", 1))
    with pytest.raises(ConfigError) as caught:
        trials(f"noise = {noise}", tmp_path)
    assert said in str(caught.value)


def test_networks_have_no_device() -> None:
    text = BASE.replace('"PennyLaneQNN"\ndepth = 2', '"MLP"') + 'noise = { device = "kingston" }'
    with pytest.raises(ConfigError, match='model: unknown MLP key "noise"'):
        schema.parse(text, source="given.toml", default_name="given")


def invoke(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, *options: str) -> Any:
    monkeypatch.chdir(folder)
    (folder / "machine.toml").write_text(text)
    return CliRunner().invoke(main, ["run", "machine.toml", *options])


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_pair_that_the_file_lacks_is_said_before_anything_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    (tmp_path / "toy.toml").write_text(TOY.replace("1-2 =", "0-2 =").replace("chain = [0, 1, 2, 3]", "chain = [0, 1]"))
    result = invoke(tmp_path, monkeypatch, BASE + 'noise = { device = "toy", qubits = [0, 1, 2, 3] }', *options)
    assert result.exit_code == 2
    assert "toy.toml: pairs.1-2: missing; the circuit has IsingZZ on wires 1 and 2" in result.stderr
    assert "to train" not in result.output


def test_an_experiment_on_a_device_is_trained_probed_and_read_when_the_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy.toml").write_text(TOY)
    probe = '\n[[probe]]\ntype = "HessianProbe"\n'
    result = invoke(tmp_path, monkeypatch, BASE + 'noise = [[], { device = "toy" }]' + probe)
    assert result.exit_code == 0, result.output
    frame = qlab.results("machine").frame
    noisy = frame[frame["model.noise.1.device"] == "toy"]
    assert len(frame) == 2
    assert 0.5 < float(noisy["noise_attenuation"].iloc[0]) < 1.0
    assert sorted(label_models(frame)) == ["PennyLaneQNN", "PennyLaneQNN noise.1=toy"]
    assert not any("t1_us" in name for name in varying(frame))
    again = CliRunner().invoke(main, ["run", "machine.toml"])
    assert "2 in the store already, 0 to train" in again.output
    (tmp_path / "toy.toml").unlink()
    model = qlab.results("machine").model(str(noisy["run_id"].iloc[0]))
    assert noise_in(model).device == "toy"


def noise_in(model: Any) -> DeviceNoise:
    [found] = model.field_values()["noise"]
    assert isinstance(found, DeviceNoise)
    return found
