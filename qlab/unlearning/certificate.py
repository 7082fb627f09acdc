"""Certificates: how well noise hides the difference between an unlearned model and a retrained one.

A method that ends at theta adds noise N(0, sigma^2) to each parameter, as retraining would. If theta is at most
``bound`` away from where retraining ends, the two can be told apart with (epsilon, delta) at most:
P(A) <= exp(epsilon) P'(A) + delta for all A, and the other way round. Bounds here hold for the rows at hand; those of
certified removal hold for all sets of rows.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from qlab.errors import ConfigError
from qlab.losses import CrossEntropy, Loss
from qlab.models import Model, PauliLinear, PennyLaneQNN

_BISECTIONS = 100

# Of cross-entropy as a function of the logit: |l'| <= 1, |l''| <= 1/4, |l'''| <= 1/(6 sqrt 3).
_SLOPE, _BEND, _TWIST = 1.0, 0.25, 1.0 / (6.0 * math.sqrt(3.0))


@dataclasses.dataclass(frozen=True)
class Smoothness:
    """What is known of the mean cross-entropy of a circuit, wherever its P weights are, for all states of norm one.

    <O> has values in [-1, 1], and each weight is the angle of one rotation, so that by the parameter-shift rule all
    partial derivatives of <O>, of any order, are in [-1, 1], too: |grad| <= P^(1/2), |Hessian| <= P and |third
    derivatives| <= P^(3/2). With the chain rule for logit s <O>:

    Args:
        gradient: a Lipschitz constant of the gradient, L = P (s^2 / 4 + s): no Hessian has a larger norm.
        hessian: a Lipschitz constant of the Hessian, M = P^(3/2) (s^3 / (6 sqrt 3) + 3 s^2 / 4 + s).
        diameter: 2 C, how far apart two circuits are at most: pi P^(1/2), as angles are known up to 2 pi.
    """

    gradient: float
    hessian: float
    diameter: float

    @classmethod
    def of(cls, model: PennyLaneQNN) -> Smoothness:
        """That of a built circuit; weights that its readout does not see do not count."""
        reached = model.reached_parameters()
        n, s = model.n_parameters() if reached is None else int(reached.sum()), abs(model.scale)
        third = _TWIST * s**3 + 3.0 * _BEND * s**2 + _SLOPE * s
        return cls(n * (_BEND * s**2 + _SLOPE * s), n**1.5 * third, math.pi * math.sqrt(n))


def check_certifiable(model: Model, *, steps: int, damping: float, solver: str) -> None:
    """Whether assumptions of a certificate hold for a model.

    Args:
        model: built.
        steps: Newton steps.
        damping: theirs.
        solver: theirs.

    Raises:
        ConfigError: one does not; the message says which.
    """
    name = type(model).__name__
    if type(model) is PauliLinear:
        if model.bound != "none":
            raise ConfigError(
                'a certificate of PauliLinear assumes that nothing but the loss decides where it ends; got bound = "'
                f'{model.bound}", use "none".'
            )
        return
    if type(model) is not PennyLaneQNN:
        reason = "its Hessian need not be Lipschitz" if not isinstance(model, PennyLaneQNN) else "its ansatz is its own"
        raise ConfigError(
            f"a certificate assumes Lipschitz constants of the loss that are known, and those of {name} are not: "
            f"{reason}. Use PennyLaneQNN, or PauliLinear with weight_decay; or certify = false."
        )
    if type(model).observable is not PennyLaneQNN.observable or model.config()["readout"] != "fixed":
        raise ConfigError(
            "a certificate assumes that logits are bounded, which a trained readout does not do; use "
            'readout = "fixed", or certify = false.'
        )
    if steps != 1 or damping <= 0.0 or solver != "exact":
        raise ConfigError(
            "a certificate of a circuit assumes one exact step with damping above the norm of the Hessian; got "
            f'steps = {steps}, damping = {damping:g}, solver = "{solver}".'
        )


def check_loss(loss: Loss, weight_decay: float, model: Model) -> None:
    """Whether assumptions of a certificate hold for what a model was trained with.

    Raises:
        ConfigError: one does not; the message says which.
    """
    if not isinstance(loss, CrossEntropy):
        raise ConfigError(
            f"a certificate assumes that models are trained with CrossEntropy, whose derivatives are bounded; got "
            f"{type(loss).__name__}."
        )
    if isinstance(model, PauliLinear) and weight_decay <= 0.0:
        raise ConfigError(
            "a certificate of PauliLinear assumes a strongly convex loss: train it with weight_decay above 0 (Adam or "
            "SGD; that of AdamW is no part of the loss)."
        )
    if isinstance(model, PennyLaneQNN) and weight_decay > 0.0:
        raise ConfigError(
            "a certificate of a circuit assumes that angles matter up to 2 pi only, which an L2 penalty does not know; "
            f"got weight_decay = {weight_decay:g}, train it without."
        )


def newton_bound(smoothness: Smoothness, damping: Tensor | float, lowest: Tensor) -> Tensor:
    """How far a Newton step with damping ends at most from any stationary point of the retain set's loss.

    2 C (M C + damping) / (damping + lambda_min) (arXiv:2408.00920, for damping above the norm of the Hessian). For
    theta* stationary and H(theta) = integral of H between the two, theta - (H + damping)^-1 g - theta* =
    (H + damping)^-1 [(H - mean H) + damping] (theta - theta*), with |H - mean H| <= M |theta - theta*| / 2. It is never
    below 2 C, the largest distance that there is, unless lambda_min > M C.

    Args:
        smoothness: of the loss.
        damping: of the step.
        lowest: lambda_min, the lowest eigenvalue of the Hessian.
    """
    radius = smoothness.diameter / 2.0
    return 2.0 * radius * (smoothness.hessian * radius + damping) / (damping + lowest)


def gaussian_epsilon(bound: Tensor, sigma: float, delta: float) -> Tensor:
    """The least epsilon for which noise of deviation ``sigma`` hides a distance of ``bound``, at some delta.

    The root of Phi(a / 2 - epsilon / a) - exp(epsilon) Phi(-a / 2 - epsilon / a) = delta with a = bound / sigma. It is
    exact for every epsilon (Balle and Wang, arXiv:1805.06083); the usual sqrt(2 log(1.25 / delta)) a only below 1.

    Returns:
        0 where even epsilon = 0 suffices; not finite where ``bound`` is not.
    """
    a = bound / sigma
    low = torch.zeros_like(a)
    high = a.square() / 2.0 + a * math.sqrt(2.0 * math.log(1.0 / delta))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        below = _delta(middle, a) <= delta
        low, high = torch.where(below, low, middle), torch.where(below, middle, high)
    return torch.where(_delta(torch.zeros_like(a), a) <= delta, torch.zeros_like(a), high)


def _delta(epsilon: Tensor, a: Tensor) -> Tensor:
    away = epsilon / a.clamp(min=1e-300)
    tail = a / 2.0 + away
    # exp(epsilon) Phi(-tail), whose factors are beyond all numbers for large a.
    rest = torch.exp(epsilon - tail.square() / 2.0) * torch.special.erfcx(tail / math.sqrt(2.0)) / 2.0
    return torch.special.ndtr(a / 2.0 - away) - rest
