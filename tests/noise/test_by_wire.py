"""Strengths that differ from wire to wire."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qlab import PennyLaneQNN
from qlab.circuits.observables import named_observable
from qlab.errors import ConfigError
from qlab.experiment.asking import schema
from qlab.fields import fields_of
from qlab.noise import (
    AmplitudeDamping,
    BitFlip,
    Channel,
    GeneralizedAmplitudeDamping,
    PauliError,
    ReadoutError,
    ResetError,
    ThermalRelaxationError,
)
from qlab.noise.placement import Placement
from tests.support.circuits import on_qubits

N = 3


def built(**fields: Any) -> PennyLaneQNN:
    return on_qubits(N, PennyLaneQNN(depth=2, observable="mean_Z", **fields))


def logits(*noise: Channel, device: str = "lightcone") -> torch.Tensor:
    model = built(noise=noise, device=device)
    x = torch.randn(2, 2**N, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    z: torch.Tensor = model(model.prepare(x)).detach()
    return z


@pytest.mark.parametrize("after", ["all", "RX", 2, "start", "readout"])
def test_each_wire_has_its_own_as_with_a_table_for_each(after: Any) -> None:
    strengths = (0.1, 0.3, 0.05)
    found = logits(BitFlip(p=strengths, after=after))
    apart = [BitFlip(p=p, wires=(wire,), after=after) for wire, p in enumerate(strengths)]
    torch.testing.assert_close(found, logits(*apart))
    torch.testing.assert_close(found, logits(BitFlip(p=strengths, after=after), device="default.mixed"))
    assert not torch.allclose(found, logits(BitFlip(p=0.15, after=after)))


def test_strengths_belong_to_the_wires_beside_them_in_their_order() -> None:
    found = logits(GeneralizedAmplitudeDamping(gamma=(0.3, 0.1), p=0.2, wires=(2, 0)))
    apart = [GeneralizedAmplitudeDamping(gamma=gamma, p=0.2, wires=(wire,)) for wire, gamma in ((2, 0.3), (0, 0.1))]
    torch.testing.assert_close(found, logits(*apart))


def test_times_differ_together() -> None:
    found = logits(ThermalRelaxationError(t1=(1.0, 2.0, 3.0), t2=(1.5, 1.0, 0.5), tg=0.1))
    apart = [
        ThermalRelaxationError(t1=t1, t2=t2, tg=0.1, wires=(wire,))
        for wire, (t1, t2) in enumerate([(1.0, 1.5), (2.0, 1.0), (3.0, 0.5)])
    ]
    torch.testing.assert_close(found, logits(*apart))


def test_readout_errors_differ() -> None:
    """Z_i becomes (1 - p_i - p1_i) Z_i + (p1_i - p_i)."""
    p, p1 = (0.1, 0.2, 0.0), (0.3, 0.0, 0.1)
    measured = ReadoutError(p=p, p1=p1).measured(named_observable("mean_Z", N))
    found = {word: value for value, word in measured.terms}
    for wire in range(N):
        assert found[((wire, "Z"),)] == pytest.approx((1 - p[wire] - p1[wire]) / N)
    assert found[()] == pytest.approx(sum(b - a for a, b in zip(p, p1, strict=True)) / N)
    one = ReadoutError(p=p).measured(named_observable("mean_Z", N))
    assert {word: value for value, word in one.terms}[((1, "Z"),)] == pytest.approx(0.6 / N)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BitFlip(p=(0.1, 0.2), wires=(0, 1, 2)), "p: got 2 strengths for 3 wires, [0, 1, 2]"),
        (lambda: BitFlip(p=(0.1, 0.2), wires=(1, 1)), "wires: got [1, 1], accepts each wire once"),
        (lambda: BitFlip(p=(0.1, 1.2)), "p: got [0.1, 1.2], accepts a number in [0, 1], or one for each wire"),
        (lambda: AmplitudeDamping(gamma=()), "gamma: got [], accepts a number in [0, 1]"),
        (lambda: ResetError(p0=(0.1, 0.2), p1=(0.1,)), "p0, p1: got 2 and 1 strengths, accepts as many of both"),
        (lambda: ResetError(p0=(0.1, 0.7), p1=0.5), "wire 1: p0, p1: got 0.7 and 0.5"),
        (lambda: ThermalRelaxationError(t1=1.0, t2=(1.0, 2.5), tg=0.1, wires=(2, 0)), "wire 0: t2: got 2.5, accepts"),
        (lambda: PauliError(operators="ZZ", p=(0.1, 0.1, 0.1)), "p: got a list, but PauliError acts on 2 qubits"),
    ],
)
def test_strengths_that_do_not_fit_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)


def test_a_register_of_another_size_is_refused_with_both_counts() -> None:
    with pytest.raises(ConfigError, match=r"PennyLaneQNN: noise\[2\]\.p: got 2 strengths for 3 wires of the register"):
        built(noise=(BitFlip(p=0.1), BitFlip(p=(0.1, 0.2))))
    with pytest.raises(ConfigError, match=r"noise\[1\]\.p: got 4 strengths for 3 wires"):
        Placement("Model", (ReadoutError(p=(0.1, 0.1, 0.1, 0.1)),), N)


BASE = """
[task]
type = "XXZ"
length = 4
[model]
type = "PennyLaneQNN"
noise = [{ channel = "BitFlip", p = %s }]
"""


def strengths(text: str) -> list[Any]:
    experiment = schema.parse(BASE % text, source="given.toml", default_name="given")
    return [trial.model.field_values()["noise"][0].p for trial in experiment.trials if trial.seed == 0]


def test_one_bracket_in_a_file_sweeps_and_two_are_strengths_by_wire() -> None:
    assert strengths("0.1") == [0.1]
    assert strengths("[0.1, 0.2, 0.3, 0.4]") == [0.1, 0.2, 0.3, 0.4]
    assert strengths("[[0.1, 0.2, 0.3, 0.4]]") == [(0.1, 0.2, 0.3, 0.4)]
    assert strengths("[0.1, [0.1, 0.2, 0.3, 0.4]]") == [0.1, (0.1, 0.2, 0.3, 0.4)]
    for wrong in ("[]", "[[]]", "[[[0.1]]]", '["0.1"]'):
        with pytest.raises(ConfigError, match=r"model\.noise\[1\]\.p: got"):
            strengths(wrong)


def test_strengths_by_wire_are_params_and_part_of_the_identity() -> None:
    one, other = (
        schema.parse(BASE % text, source="given.toml", default_name="given").trials[0]
        for text in ("[[0.1, 0.2, 0.3, 0.4]]", "0.1")
    )
    assert one.params["model.noise.1.p"] == "[0.1, 0.2, 0.3, 0.4]"
    assert other.params["model.noise.1.p"] == "0.1"
    assert one.key != other.key
    assert fields_of(BitFlip)["p"].accepts.startswith("a number in [0, 1], or one for each wire")
