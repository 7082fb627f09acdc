"""Models of users that more than one module of tests looks at."""

from __future__ import annotations

from qlab.models import MLP, Features


class Looped(MLP):
    """An MLP that is not run under vmap."""

    supports_vmap = False


class HalfFrozen(MLP):
    """The last layer alone learns, on random features."""

    def setup(self, features: Features) -> None:
        super().setup(features)
        for parameter in (*self.kernels[:-1], *self.biases[:-1]):
            parameter.requires_grad_(False)
