"""Ground states and prepared features of the whole XXZ task. Target on 2 cores: 396 states of 12 spins under 3 s."""

from __future__ import annotations

import time

import pytest

from qlab import XXZ, Features, PennyLaneQNN


@pytest.mark.parametrize("entangler", ["chain", "ring"])
def test_prepare_396_states(entangler, capsys):
    start = time.perf_counter()
    dataset = XXZ().load()
    loaded = time.perf_counter()
    model = PennyLaneQNN(entangler=entangler).build(Features.of(dataset))
    prepared = [model.prepare(split.x) for split in (dataset.train, dataset.validation)]
    done = time.perf_counter()
    with capsys.disabled():
        print(
            f"\n{entangler}: ground states {loaded - start:.2f} s, light cone and Pauli expectation values "
            f"{done - loaded:.2f} s"
        )
    assert sum(len(part) for part in prepared) == 396
