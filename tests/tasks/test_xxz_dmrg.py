"""XXZ chains by DMRG against exact diagonalisation of the whole register; how states are kept, and what is refused."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math

import numpy as np
import pytest
import threadpoolctl
import torch

from qlab import making
from qlab.circuits.blocks import Block
from qlab.circuits.pauli import pauli_expectations
from qlab.errors import ConfigError, DataError
from qlab.models import Features, PennyLaneQNN
from qlab.tasks import XXZ
from qlab.tasks.base import load_data
from qlab.tasks.dmrg import finding, kept
from qlab.tasks.dmrg.states import Found, Wanted

HAS_TENPY = importlib.util.find_spec("tenpy") is not None
needs_tenpy = pytest.mark.skipif(not HAS_TENPY, reason='TeNPy is not installed: pip install "qlab-unlearning[mps]"')


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "data"))


@functools.cache
def bonds(length, periodic):
    """X X + Y Y and Z Z summed over bonds, dense, site 0 the leftmost factor."""
    states = np.arange(2**length)
    exchange, alignment = np.zeros((2**length, 2**length)), np.zeros(2**length)
    for site in range(length if periodic else length - 1):
        both = (1 << (length - 1 - site)) | (1 << (length - 1 - (site + 1) % length))
        bits = states & both
        differ = (bits != 0) & (bits != both)
        alignment += np.where(differ, -1.0, 1.0)
        exchange[states[differ] ^ both, states[differ]] += 2.0
    return exchange, alignment


def exact(length, periodic, delta):
    exchange, alignment = bonds(length, periodic)
    values, vectors = np.linalg.eigh(exchange + np.diag(delta * alignment))
    return values[0], torch.from_numpy(vectors[:, :1].T.copy())


def small(**fields):
    grids = {"gapless": (-0.5, 0.7, 1.2), "gapped": (1.02, 3.0, 1.98), "validation": (-0.9, 1.5, 2.4)}
    return XXZ(**({"length": 8, "solver": "dmrg", **grids} | fields))


@needs_tenpy
@pytest.mark.parametrize(
    ("length", "periodic", "sites", "where"),
    [
        (8, True, 4, "last"), (10, False, 3, "last"), (10, True, 3, "around"), (4, False, 4, "last"),
    ],
)  # fmt: skip
def test_states_are_those_of_exact_diagonalisation(length, periodic, sites, where):
    task = small(length=length, periodic=periodic, block_sites=sites, where=where)
    data = load_data(task)
    for split in (data.train, data.validation):
        for row, delta in enumerate(split.about["delta"].tolist()):
            energy, state = exact(length, periodic, delta)
            assert split.about["energy"][row].item() == pytest.approx(energy, abs=1e-8)
            expected = pauli_expectations(state, task.block.sites, length)
            np.testing.assert_allclose(split.x[row : row + 1].numpy(), expected.numpy(), atol=1e-6)
    assert data.train.y.tolist() == [0, 0, 1, 1]
    assert float(data.train.about["truncation_error"].max()) < 1e-9


@pytest.mark.slow
@needs_tenpy
@pytest.mark.parametrize("periodic", [True, False])
def test_20_spins_are_those_of_the_exact_solver(periodic):
    fields = {"length": 20, "gapless": (-0.9, 0.9, 0.3), "gapped": (1.02, 3.0, 0.33), "validation": (0.95, 1.05, 0.1)}
    data = load_data(XXZ(solver="dmrg", periodic=periodic, bond_dimension=512 if periodic else 128, **fields))
    if not periodic:
        assert float(data.train.about["truncation_error"].max()) < 1e-14
        return
    states = load_data(XXZ(**fields))
    for found, split in ((data.train, states.train), (data.validation, states.validation)):
        np.testing.assert_allclose(found.about["energy"], split.about["energy"], rtol=0, atol=1e-8)
        for row in range(len(split)):  # 16 MB each: 20 spins are not held
            state = split.x[row : row + 1].dense().to(torch.complex128)
            np.testing.assert_allclose(found.x[row : row + 1], pauli_expectations(state, range(16, 20), 20), atol=1e-6)


@needs_tenpy
def test_states_have_the_symmetries_of_the_ground_state():
    """No string that is odd under the flip of all spins, X, and real: none with an odd number of Y or of Z."""
    data = load_data(small(length=12, gapped=(3.0, 3.0, 2.0), periodic=False))
    odd = [sum(letter in "YZ" for letter in string) % 2 for string in itertools.product("IXYZ", repeat=4)]
    assert float(data.train.x[:, np.flatnonzero(odd)].abs().max()) < 1e-12


@needs_tenpy
def test_a_broken_state_has_its_last_spin_down_and_tells_the_class_by_it():
    grids = {"gapless": (0.0, 0.0, 1.0), "gapped": (20.0, 20.0, 1.0), "validation": (0.0, 20.0, 20.0)}
    task = XXZ(length=24, solver="dmrg", periodic=False, block_sites=2, symmetry="broken", bond_dimension=24, **grids)
    data = load_data(task)
    z = [task.block.strings.index(string) for string in ("IZ", "ZI")]
    assert data.train.x[1, z[0]] < -0.8
    assert data.train.x[1, z[1]] > 0.8
    assert data.train.x[0, z].abs().max() < 0.1
    kept_whole = load_data(XXZ(**(task.field_values() | {"symmetry": "kept"})))
    assert kept_whole.train.x[:, z].abs().max() < 1e-12
    zz = task.block.strings.index("ZZ")
    np.testing.assert_allclose(kept_whole.train.x[:, zz], data.train.x[:, zz], atol=1e-5)


@needs_tenpy
def test_an_infinite_heisenberg_chain_has_the_energy_of_the_bethe_ansatz():
    """1/4 - ln 2 for each bond in units of spins, 1 - 4 ln 2 in Pauli matrices, a third from each."""
    energy = 1.0 - 4.0 * math.log(2.0)
    found = finding.ground_states([Wanted(None, True, 1.0, 3, 32, False)])[0]
    assert found.energy == pytest.approx(energy, abs=5e-5)
    block = Block.of_infinite(3)
    by_string = dict(zip(block.strings, found.pauli, strict=True))
    for letters in ("XX", "YY", "ZZ"):
        assert by_string[f"I{letters}"] == pytest.approx(energy / 3.0, abs=1e-3)
        assert by_string[f"{letters}I"] == pytest.approx(by_string[f"I{letters}"], abs=1e-9)
    assert by_string["ZII"] == pytest.approx(0.0, abs=1e-9)


@needs_tenpy
def test_an_infinite_chain_where_most_is_cut_has_the_energy_of_the_bethe_ansatz():
    """Of the bundled grids this delta is the worst. e = delta - 4 sin g I, delta = cos g, where I is the integral of
    sinh((pi - g) w) / (sinh(pi w) cosh(g w)) (Yang and Yang, Phys. Rev. 150, 327 (1966))."""
    delta = -0.16
    gamma = math.acos(delta)
    w = np.linspace(1e-9, 40.0, 400_001)
    integrand = np.sinh((math.pi - gamma) * w) / (np.sinh(math.pi * w) * np.cosh(gamma * w))
    energy = delta - 4.0 * math.sin(gamma) * float(np.trapezoid(integrand, w))
    found = finding.ground_states([Wanted(None, True, delta, 2, 32, False)])[0]
    assert found.energy == pytest.approx(energy, abs=5e-5)
    assert found.energy > energy


def test_an_infinite_chain_is_a_block_without_a_length():
    task = small(length="infinite", block_sites=3, where="around")
    assert task.expected_features == (64, False)
    assert task.block.words == "3 neighbours on an infinite chain"
    built = PennyLaneQNN(depth=2).build(Features(64, False, torch.ones(64, dtype=torch.bool), block=task.block))
    assert "light cone of 2 of infinitely many qubits" in built.engine_name
    assert torch.equal(task.random_features(2, torch.Generator())[:, 1:].abs() < 1e-12, torch.ones(2, 63).bool())


@needs_tenpy
def test_states_are_found_once_and_read_without_tenpy(monkeypatch):
    task = small(length=6)
    first = load_data(task)
    files = {path: path.stat().st_mtime_ns for path in kept.folder().iterdir()}
    assert len(files) == 6
    monkeypatch.setattr(finding.importlib.util, "find_spec", lambda name: None)
    again = load_data(small(length=6))
    assert torch.equal(first.train.x, again.train.x)
    assert torch.equal(first.train.about["energy"], again.train.about["energy"])
    assert files == {path: path.stat().st_mtime_ns for path in kept.folder().iterdir()}
    with pytest.raises(
        ConfigError, match=r'solver: got "dmrg", which needs TeNPy: pip install "qlab-unlearning\[mps\]"'
    ):
        small(length=6, block_sites=3)


@needs_tenpy
def test_a_damaged_file_is_made_again():
    first = load_data(small(length=6))
    files = sorted(kept.folder().iterdir())
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].unlink()
    again = load_data(small(length=6))
    np.testing.assert_allclose(again.train.x, first.train.x, atol=1e-9)
    assert sorted(kept.folder().iterdir()) == files


@needs_tenpy
def test_processes_find_the_same_states_and_it_is_told():
    first = load_data(small(length=6, gapless=(-0.9, 0.9, 0.3)))
    for path in kept.folder().iterdir():
        path.unlink()
    told = []
    with making.made(2, told.append):
        again = load_data(small(length=6, gapless=(-0.9, 0.9, 0.3)))
    np.testing.assert_allclose(again.train.x, first.train.x, atol=1e-9)
    assert told[0] == f"XXZ: 10 ground states of a ring of 6 spins by DMRG, kept in {kept.folder()}, 2 processes"


@needs_tenpy
@pytest.mark.parametrize(("length", "delta"), [(6, 0.5), (None, 3.0)])
def test_blas_has_one_thread_while_a_state_is_found(monkeypatch, length, delta):
    """With more, processes beside each other would wait for each other's; afterwards there are as many as before."""
    from qlab.tasks.dmrg import finite, infinite

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    module, seen = (finite, []) if length else (infinite, [])
    real = module.ground_state
    monkeypatch.setattr(module, "ground_state", lambda *given: seen.append(threads()) or real(*given))
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        finding.ground_states([Wanted(length, True, delta, 2, 16, False)])
        assert threads() == {2}
    assert seen == [{1}]


@needs_tenpy
def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be kept in .*file.*QLAB_DATA names another folder"):
        load_data(small(length=4, block_sites=2))


@needs_tenpy
def test_what_does_not_converge_is_refused_before_other_states_are_tried(monkeypatch):
    task = small(length=24, bond_dimension=48)
    monkeypatch.setattr("qlab.tasks.dmrg.states.LARGEST_TRUNCATION", 1e-9)
    with pytest.raises(DataError, match=r"did not converge at delta = 1.02 \(truncation error .*bond_dimension = 48"):
        load_data(task)
    assert len(list(kept.folder().iterdir())) == 1


def test_states_that_did_not_converge_are_named_by_delta():
    good = Found(np.eye(4)[0], -1.0, 1e-9, 64, 1e-9, 0.0, 3)
    bad = Found(np.eye(4)[0], -1.0, 2e-5, 64, 1e-9, 0.0, 40)
    for delta, found in ((0.5, good), (0.7, bad), (0.2, bad)):
        kept.write(Wanted(64, True, delta, 1, 64, False), found)
    with pytest.raises(
        DataError, match=r"at delta = 0.2 \(trunc.*; delta = 0.7 \(trunc.*bond_dimension = 64: take 128"
    ):
        finding.ground_states([Wanted(64, True, delta, 1, 64, False) for delta in (0.7, 0.5, 0.2)])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"length": 13}, "length: got 13, accepts an integer in [4, 512] divisible by 2"),
        ({"length": 514}, "length: got 514, accepts an integer in [4, 512]"),
        ({"bond_dimension": 8, "length": 64}, "bond_dimension: got 8 for a ring of 64 spins, accepts at least"),
        ({"block_sites": 6, "length": 4}, "block_sites: got 6 of 4 spins, accepts 1 to 4"),
        ({"where": "around"}, 'where: got "around" for block_sites = 4 of a ring, accepts it for an odd number'),
        ({"where": "around", "block_sites": 3, "periodic": False}, "of an open chain"),
        ({"gauge": "fixed"}, 'gauge: got "fixed" with solver = "dmrg"'),
        ({"layout": "real-imaginary"}, 'layout: got "real-imaginary" with solver = "dmrg"'),
        ({"solver": "exact", "symmetry": "broken"}, 'symmetry: got "broken" with solver = "exact"'),
        ({"solver": "exact", "periodic": False}, 'periodic: got false with solver = "exact"'),
        ({"solver": "exact", "length": 64}, 'got 64, accepts an integer in [4, 20] divisible by 2 for amplitudes'),
        ({"solver": "DMRG"}, 'solver: got "DMRG", accepts one of "exact", "dmrg"'),
    ],
)  # fmt: skip
def test_bad_fields_are_refused_by_name(fields, said):
    with pytest.raises(ConfigError) as caught:
        small(**fields)
    assert str(caught.value).startswith("XXZ: ")
    assert said in str(caught.value)
