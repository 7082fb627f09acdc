"""By how much noise shrinks what a circuit measures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.observables import PauliSum


def norm_of(observable: PauliSum) -> float:
    """The root of the summed squares of an observable's Pauli coefficients, the identity left out.

    Gates do not change it, noise does.
    """
    return math.sqrt(sum(coefficient**2 for coefficient, word in observable.terms if word))


class EvolvedNorm:
    """The same of the observable that an engine has evolved to the beginning of the circuit.

    Parts of an observable with light cones of their own may end in the same Pauli strings, which are added first.

    Args:
        engine: evolves the observable.
    """

    def __init__(self, engine: HeisenbergEngine) -> None:
        self._engine = engine
        cones = engine.evolved_wires
        every = sorted({wire for wires in cones for wire in wires})
        strings = []
        for wires in cones:
            letters = np.zeros((4 ** len(wires), len(every)), dtype=np.uint8)
            letters[:, [every.index(wire) for wire in wires]] = list(itertools.product(range(4), repeat=len(wires)))
            strings.append(letters)
        _, place = np.unique(np.concatenate(strings), axis=0, return_inverse=True)
        self._place = torch.from_numpy(place.reshape(-1))  # the identity comes first

    @torch.no_grad()
    def at(self, flat: Tensor) -> float:
        """At some weights ``[n_weights]``."""
        coefficients = self._engine.observable(flat).double().cpu()
        joined = torch.zeros(int(self._place.max()) + 1, dtype=torch.float64)
        joined.index_add_(0, self._place, coefficients)
        return float(torch.linalg.vector_norm(joined[1:]))
