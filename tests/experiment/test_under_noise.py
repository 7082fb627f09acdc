"""The probe UnderNoise in experiment files: swept, claimed, drawn; and what is refused before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.experiments import TASK

import qlab
from qlab.cli import main
from qlab.errors import ConfigError
from qlab.experiment.asking import schema

CIRCUIT = '[[model]]\ntype = "PennyLaneQNN"\ndepth = 2\n'
NETWORK = '[[model]]\ntype = "MLP"\nhidden = [4]\n'
COMMON = f"""
name = "mismatch"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.0, 0.5]
[training]
epochs = 2
[run]
seeds = 2
"""
PROBE = """
[[probe]]
type = "UnderNoise"
noise = [{ channel = "BitFlip", p = [0.0, 0.3] }]
[[probe]]
type = "UnderNoise"
"""
CLAIM = """
[[claim]]
text = "Bit flips cost accuracy"
metric = "landscape_accuracy"
at = { "corruption.ratio" = 0.0 }
of = { "probe.noise.1.p" = 0.3 }
than = { "probe.noise" = [] }
statement = "below"
"""


def test_it_is_swept_claimed_tabled_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mismatch.toml").write_text(COMMON + CIRCUIT + NETWORK + PROBE + CLAIM)
    result = CliRunner().invoke(main, ["run", "mismatch.toml"])
    assert result.exit_code == 0, result.output
    assert "MLP has no noise to replace" in " ".join(result.output.split())
    results = qlab.results("mismatch")
    probes = results.probes
    assert len(probes) == 3 * 2 * 2
    assert set(probes["probe.label"]) == {"without noise", "BitFlip p=0.0", "BitFlip p=0.3"}
    same = probes[probes["probe.label"] != "BitFlip p=0.3"]
    assert (same["accuracy_change"].abs() < 1e-12).all()
    exact = results.frame[results.frame["model.type"] == "PennyLaneQNN"]
    by_trial = exact.set_index(["seed", "corruption.ratio"])["validation_accuracy"]
    for row in same.to_dict("records"):
        assert row["landscape_accuracy"] == pytest.approx(by_trial[row["seed"], row["corruption.ratio"]])
    assert set(results.claims["verdict"]) <= {"supported", "contradicted", "undecided"}
    table = results.table("landscape_accuracy", of="probes")
    assert table["probe"].nunique() == 3
    assert results.plot(of="probes") is not None


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("model", "noise", "said"),
    [
        (NETWORK, "[]", "probe: UnderNoise: MLP has no noise to replace: it takes a model with the field noise"),
        (
            CIRCUIT,
            '[{ channel = "BitFlip", p = 0.1, after = "CNOT" }]',
            'probe UnderNoise: PennyLaneQNN: noise[1].after: got "CNOT", and the circuit has no such gate',
        ),
        (CIRCUIT, '[{ channel = "BitFlip", p = 0.1, wires = [7] }]', "noise[1].wires: got 7, accepts wires of the"),
        (CIRCUIT, '[{ channel = "BitFlip", p = 2.0 }]', "probe.noise[1].p: got 2.0, accepts a number in [0, 1]"),
        (CIRCUIT, "[]\nshots = 0", "probe.shots: got 0, accepts an integer in [1, 1e+12]"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, noise: str, said: str, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mismatch.toml").write_text(f'{COMMON}{model}[[probe]]\ntype = "UnderNoise"\nnoise = {noise}\n')
    result: Any = CliRunner().invoke(main, ["run", "mismatch.toml", *options])
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert "to train" not in result.output


def test_claims_know_what_it_measures() -> None:
    text = COMMON + CIRCUIT + PROBE + CLAIM.replace("landscape_accuracy", "lrr")
    with pytest.raises(ConfigError, match="UnderNoise does not measure lrr"):
        schema.parse(text, source="mismatch.toml")
