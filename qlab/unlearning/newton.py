"""Removing the influence of rows by Newton steps on what remains."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

import annotated_types as at
import torch
from torch import Tensor

from qlab.errors import ConfigError
from qlab.fields import NonNegativeFloat, PositiveInt
from qlab.losses import Loss
from qlab.models import Model, PennyLaneQNN
from qlab.unlearning.base import UnlearningData
from qlab.unlearning.certificate import Smoothness, check_certifiable, check_loss, gaussian_epsilon, newton_bound
from qlab.unlearning.closed_form import ClosedForm
from qlab.unlearning.learner import Learner, check_hessian_size

EXACT_PARAMETERS: Final = 2_000
"""A Hessian of more parameters is not decomposed unless that is asked for: it takes P^3 steps a member."""


class NewtonStep(ClosedForm):
    """A damped Newton step on the retain set, which removes the influence of the forget set.

    The objective is the mean trained loss of the retain set plus the L2 penalty of training, (w / 2) |theta|^2. At a
    minimum of the objective on all rows, its gradient g is - (n_f / n_r) times that of the forget set, so the step is
    the influence of the forget set. For a convex model with damping 0, a few steps reach the minimum: the oracle.

    The source requires ``damping`` above the spectral norm of H. Where it is so small that an eigenvalue of H + w I +
    damping I is below damping / 2, all are raised by mu = max(0, -lambda_min - damping / 2) to reach it, so that the
    step leads downhill; for convex models mu is 0. The loss is differentiated exactly, at a cost of n_r P^2; noise is
    added once, after the last step.

    Args:
        steps: the number of steps.
        damping: lambda, added to all eigenvalues of the Hessian: the larger it is, the shorter the step.
        solver: "exact" forms the Hessian, up to 1 GiB, and decomposes it, at a cost of P^3 for each model (minutes at P
            = 9,000); "cg" solves by conjugate gradients from Hessian products, and stops where it meets negative
            curvature, as truncated Newton methods do, instead of raising the Hessian; "auto" is "exact" for models of
            up to 2,000 parameters, and "cg" for larger ones.
        iterations: the most iterations of "cg"; never more than there are parameters.
        noise: standard deviation of the Gaussian noise that is added to each parameter at the end.
        certify: log what the noise is worth: ``certificate_bound``, the largest possible distance of the student from
            where retraining ends; ``certificate_trivial``, the bound on that distance without any unlearning; and
            ``certificate_epsilon`` for ``delta``, see :mod:`qlab.unlearning.certificate`. A bound that is no smaller
            than the trivial one is vacuous. For a circuit, the bound is that of the source, which requires ``damping``
            above ``certificate_hessian_norm`` (otherwise the bound is NaN), and which is always vacuous unless all
            eigenvalues of the Hessian are above M C; for PauliLinear with weight decay w it is |gradient| / w of the
            student's objective on the retain set, and the trivial one that of the teacher. Other models are refused.
        delta: delta of the certificate.
    """

    formula: ClassVar[str] = "theta - (H + w I + mu I + damping I)^-1 (g + w theta), H and g of the retain set"
    source: ClassVar[str] = "Zhang et al., arXiv:2408.00920; influence functions: Koh and Liang, arXiv:1703.04730"

    damping: NonNegativeFloat = 0.1
    solver: Literal["auto", "exact", "cg"] = "auto"
    iterations: PositiveInt = 100
    noise: NonNegativeFloat = 0.0
    certify: bool = False
    delta: Annotated[float, at.Gt(0.0), at.Lt(1.0)] = 1e-5

    def update(self, student: Learner, teacher: Learner, data: UnlearningData) -> Tensor:
        """The student after a step."""
        theta = self._stepped(student, data)
        if self.noise and data.step == self.steps:
            theta = theta + self.noise * data.randn(theta.shape)
        return theta

    def measure(self, student: Learner, teacher: Learner, data: UnlearningData) -> dict[str, Tensor]:
        """The certificate, if there is to be one: of the student as it was without noise."""
        if not self.certify:
            return {}
        model, decay = student.model, data.weight_decay
        found = {}
        if isinstance(model, PennyLaneQNN):
            values = torch.linalg.eigvalsh(teacher.hessian(data.retain))
            found["certificate_hessian_norm"] = values.abs().amax()
            smoothness = Smoothness.of(model)
            bound = newton_bound(smoothness, self.damping + _raised_by(values[0], self.damping), values[0])
            bound = torch.where(values.abs().amax() < self.damping, bound, torch.nan)
            trivial = torch.full_like(bound, smoothness.diameter)
        else:
            ended = teacher
            for _ in range(self.steps):
                ended = ended.at(self._stepped(ended, data))
            bound, trivial = (
                (point.gradient(data.retain) + decay * point.theta).norm() / decay for point in (ended, teacher)
            )
        epsilon = gaussian_epsilon(bound.double(), self.noise, self.delta)
        return {
            **found,
            "certificate_bound": bound,
            "certificate_trivial": trivial,
            "certificate_epsilon": epsilon.to(bound),
        }

    def _stepped(self, student: Learner, data: UnlearningData) -> Tensor:
        theta, decay = student.theta, data.weight_decay
        slope = student.gradient(data.retain) + decay * theta
        if self._solver_for(len(theta)) == "exact":
            return theta - _exact(student.hessian(data.retain), slope, decay, self.damping)
        return theta - _conjugate_gradients(student, slope, data, decay + self.damping, self.iterations)

    def _solver_for(self, n_parameters: int) -> Literal["exact", "cg"]:
        """How the step is solved for, of a model with so many parameters."""
        if self.solver == "auto":
            return "exact" if n_parameters <= EXACT_PARAMETERS else "cg"
        return self.solver

    def check_training(self, model: Model, loss: Loss, weight_decay: float) -> None:
        """A certificate must have a loss that it can be given for.

        Raises:
            ConfigError: it does not, or there is no noise to certify.
        """
        if not self.certify:
            return
        if not self.noise:
            raise ConfigError("certify: there is nothing to certify without noise; give noise a value above 0.")
        check_loss(loss, weight_decay, model)

    def check_model(self, model: Model) -> None:
        """The Hessian must fit, or not be written down; and a certificate must be possible, if there is to be one.

        Raises:
            DataError: it does not, or the model cannot be differentiated twice.
            ConfigError: assumptions of a certificate do not hold.
        """
        model.check_twice_differentiable()
        solver = self._solver_for(model.n_parameters())
        if self.certify:
            check_certifiable(model, steps=self.steps, damping=self.damping, solver=solver)
        if solver == "exact":
            check_hessian_size(model, model.n_parameters(), 'set solver = "cg"')


def _exact(hessian: Tensor, slope: Tensor, decay: float, damping: float) -> Tensor:
    # One member that is not finite must not fail the decomposition of all.
    finite = hessian.isfinite().all()
    values, vectors = torch.linalg.eigh(torch.where(finite, hessian, torch.eye(len(slope)).to(hessian)))
    values = values + decay
    raised = values + damping + _raised_by(values[0], damping)
    # Where there is no curvature, to rounding, the loss has no slope either: no step is taken.
    zero = len(slope) * torch.finfo(slope.dtype).eps * raised[-1]
    inverse = torch.where(raised > zero, 1.0 / raised, 0.0)
    step = vectors @ (inverse * (vectors.mT @ slope))
    return torch.where(finite, step, torch.nan)


def _raised_by(lowest: Tensor, damping: float) -> Tensor:
    """mu."""
    return (-lowest - damping / 2).clamp(min=0.0)


def _conjugate_gradients(
    student: Learner, slope: Tensor, data: UnlearningData, shift: float, iterations: int
) -> Tensor:
    """(H + shift I)^-1 slope, truncated."""
    step, residual = torch.zeros_like(slope), slope
    direction, size = slope, slope @ slope
    first = size
    going = torch.ones((), dtype=torch.bool, device=slope.device)
    multiply = student.hessian_operator(data.retain)
    for _ in range(min(iterations, len(slope))):
        product = multiply(direction) + shift * direction
        curvature = direction @ product
        # Members that are done stay where they are while others go on.
        going = going & (curvature > 0.0) & (size > torch.finfo(size.dtype).eps ** 2 * first)
        length = torch.where(going, size / torch.where(going, curvature, 1.0), 0.0)
        step, residual = step + length * direction, residual - length * product
        new = residual @ residual
        direction = residual + new / torch.where(size > 0.0, size, 1.0) * direction
        size = new
    return step
