"""Small models with landscapes that can be written down, and dense Hessians to hold them against."""

from __future__ import annotations

import itertools
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qlab.models import MLP, Features, Model
from qlab.tasks import Split


class Linear(Model):
    """The logit is w x + b: the loss of logistic regression."""

    def __init__(self) -> None:
        super().__init__()

    def setup(self, features):
        self.w = nn.Parameter(torch.empty(features.dimension, dtype=self.dtype))
        self.b = nn.Parameter(torch.empty(1, dtype=self.dtype))

    @torch.no_grad()
    def reset_parameters(self, generator):
        for parameter in self.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

    def prepare(self, x):
        return x.to(self.dtype)

    def forward(self, prepared):
        return prepared @ self.w + self.b


class Homogeneous(Linear):
    """The logit is w x: in one dimension the paper's single neuron."""

    def setup(self, features):
        self.w = nn.Parameter(torch.empty(features.dimension, dtype=self.dtype))

    def forward(self, prepared):
        return prepared @ self.w


class Bend(Linear):
    """The logit is out . tanh(x kernel): smooth, with second derivatives of either sign."""

    def setup(self, features):
        self.kernel = nn.Parameter(torch.empty(features.dimension, 3, dtype=self.dtype))
        self.out = nn.Parameter(torch.empty(3, dtype=self.dtype))

    def forward(self, prepared):
        return torch.tanh(prepared @ self.kernel) @ self.out


class Loop(Bend):
    """The same logit, row by row in Python, as in a model that calls some other library."""

    supports_vmap = False

    def forward(self, prepared):
        rows = []
        for row in prepared:
            assert row.detach().sum().item() == row.detach().sum().item()  # .item() fails under vmap
            rows.append(torch.tanh(row @ self.kernel) @ self.out)
        return torch.stack(rows)


class Square(Linear):
    """The logit is theta^2 x: two minima at opposite parameters."""

    def setup(self, features):
        self.theta = nn.Parameter(torch.empty(features.dimension, dtype=self.dtype))

    def forward(self, prepared):
        return prepared @ self.theta**2


class Logarithm(Square):
    """The logit is log(theta) x: not a number for negative parameters."""

    def forward(self, prepared):
        return prepared @ torch.log(self.theta)


def features(dimension, is_complex=False):
    return Features(dimension, is_complex, torch.ones(dimension, dtype=torch.bool))


def real_split(n, dimension, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dimension, generator=generator, dtype=torch.float64)
    return Split(x, torch.randint(2, (n,), generator=generator))


def states(n, n_wires, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2**n_wires, generator=generator, dtype=torch.complex128)
    return Split(x / torch.linalg.vector_norm(x, dim=1, keepdim=True), torch.randint(2, (n,), generator=generator))


def build(model, split, seed=0, spread=1.0):
    """A model built for a split, every parameter drawn from N(0, spread^2)."""
    built = model.build(features(split.x.shape[1], split.x.is_complex()))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return built


def dead_mlp(split, output_bias=0.0, hidden=(4, 3)):
    """A perceptron whose first ReLUs are all off: its output is its last bias."""
    model = build(MLP(hidden=hidden, dtype="float64"), split, seed=5)
    with torch.no_grad():
        for bias in list(model.biases)[:-1]:
            bias.fill_(-1e3)
        model.biases[-1].fill_(output_bias)
    return model


def mlp_logits(widths, x):
    """Logits of a perceptron as function of the flat vector: kernels first, then biases."""
    pairs = list(itertools.pairwise(widths))

    def logits(flat):
        sizes = [a * b for a, b in pairs] + [b for _, b in pairs]
        parts = flat.split(sizes)
        hidden = x
        for layer, (fan_in, fan_out) in enumerate(pairs):
            if layer:
                hidden = hidden * (hidden > 0)
            hidden = hidden @ parts[layer].reshape(fan_in, fan_out) + parts[len(pairs) + layer]
        return hidden[:, 0]

    return logits


def cross_entropy(logits, y):
    """-[y log p + (1 - y) log(1 - p)], mean over rows, written out."""
    p = 1.0 / (1.0 + torch.exp(-logits))
    return -(y * torch.log(p) + (1.0 - y) * torch.log(1.0 - p)).mean()


def dense_terms(logits, theta, y):
    """A and B of Tr H = A + B as dense matrices by torch.autograd.functional: B is what A leaves of the Hessian."""
    y = y.double()
    whole = torch.autograd.functional.hessian(lambda flat: cross_entropy(logits(flat), y), theta)
    jacobian = torch.autograd.functional.jacobian(logits, theta)
    p = torch.sigmoid(logits(theta)).detach()
    a = torch.einsum("n,ni,nj->ij", p * (1.0 - p), jacobian, jacobian) / len(y)
    return a, whole - a


@pytest.fixture(scope="session")
def toys():
    """Classes and functions of this file."""
    return SimpleNamespace(
        Linear=Linear,
        Homogeneous=Homogeneous,
        Bend=Bend,
        Loop=Loop,
        Square=Square,
        Logarithm=Logarithm,
        features=features,
        real_split=real_split,
        states=states,
        build=build,
        dead_mlp=dead_mlp,
        mlp_logits=mlp_logits,
        cross_entropy=cross_entropy,
        dense_terms=dense_terms,
    )


@pytest.fixture(scope="session", autouse=True)
def _forward_mode_warned_already():
    """curvlinops and the first forward-mode derivative both run torch.jit.script once, which warns of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import curvlinops  # noqa: F401

        torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))
