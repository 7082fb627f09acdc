"""What TeNPy is asked, for finite and infinite chains."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import numpy as np
from tenpy.models.spins import SpinModel
from tenpy.networks.mps import MPS

from qlab.tasks.dmrg.states import Wanted
from qlab.tasks.dmrg.symmetries import Matrix


def model_of(wanted: Wanted) -> SpinModel:
    """The Hamiltonian, with Sz conserved; a ring is folded (0, L - 1, 1, L - 2, ...), so that it has two ends."""
    if wanted.length is None:
        shape = {"L": 2, "bc_MPS": "infinite", "bc_x": "periodic"}
    elif wanted.periodic:
        shape = {"L": wanted.length, "bc_MPS": "finite", "bc_x": "periodic", "order": "folded"}
    else:
        shape = {"L": wanted.length, "bc_MPS": "finite", "bc_x": "open"}
    spins = {"S": 0.5, "conserve": "Sz", "sort_charge": True}  # spin operators are half of Pauli's
    return SpinModel({**shape, **spins, "Jx": 4.0, "Jy": 4.0, "Jz": 4.0 * wanted.delta})


def block_at(psi: MPS, first: int, sites: int) -> Matrix:
    """The density matrix of neighbouring positions, up before down as |0> before |1>, first position first."""
    theta = psi.get_theta(first, sites).to_ndarray()
    theta = theta.reshape(theta.shape[0], 2**sites, theta.shape[-1]).swapaxes(0, 1).reshape(2**sites, -1)
    return np.ascontiguousarray((theta @ theta.T)[::-1, ::-1])  # TeNPy puts down first


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TeNPy from printing: what matters of a state is in what is found."""
    logger = logging.getLogger("tenpy")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
