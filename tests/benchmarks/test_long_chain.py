"""The whole XXZ task on 20 spins, as a user runs it. Target on 2 cores: 396 states and six trainings under 3 GB."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import pytest

from qlab import XXZ, Features, PennyLaneQNN
from qlab.models.rows import prepare_features
from qlab.tasks.symmetric_sector import SymmetricSector

EXPERIMENT = """
[task]
type = "XXZ"
length = 20

[corruption]
type = "{corruption}"
ratio = [0.0, 0.2]

[[model]]
type = "PennyLaneQNN"
depth = 4
training = {{ epochs = 200, learning_rate = 0.03 }}

[run]
seeds = 3
"""


@pytest.mark.parametrize("corruption", ["LabelFlip", "FeatureRandomization"])
def test_training_on_396_states_of_20_spins(tmp_path, capsys, corruption):
    (tmp_path / "long.toml").write_text(EXPERIMENT.format(corruption=corruption))
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "qlab", "run", "long.toml"], cwd=tmp_path, capture_output=True, check=True)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    with capsys.disabled():
        print(f"\n{corruption} on 20 spins, six trainings: {seconds:.0f} s, at most {memory:.2f} GB")
    assert memory < 3.0


def test_ground_states_and_prepared_features_of_20_spins(capsys):
    start = time.perf_counter()
    sector = SymmetricSector(20)
    built = time.perf_counter()
    for delta in range(20):
        sector.ground_state(delta / 10 - 0.95)
    solved = time.perf_counter()
    data = XXZ(length=20).load()
    model = PennyLaneQNN(depth=4).build(Features.of(data))
    loaded = time.perf_counter()
    for split in (data.train, data.validation):
        prepare_features(model, split.x)
    done = time.perf_counter()
    with capsys.disabled():
        print(
            f"\n20 spins: sector {built - start:.2f} s, {50 * (solved - built):.1f} ms a ground state, task "
            f"{loaded - solved:.1f} s, Pauli expectation values of 396 states {done - loaded:.1f} s"
        )
    assert sector.n_orbits == 2518
