"""Each method's loss against its formula, written out on probabilities."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
import torch
from torch.distributions import Bernoulli
from torch.distributions import kl_divergence as torch_kl

from qlab.unlearning import (
    NPO,
    AlternatingScrub,
    Finetune,
    GradientAscent,
    PureAscent,
    Retrain,
    Samples,
    Scrub,
    Unlearner,
    UnlearningData,
)

RETAIN, FORGET = slice(0, 7), slice(7, 12)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Two models as tables of logits: the features of a row are its number."""

    student: torch.Tensor
    teacher: torch.Tensor
    y: torch.Tensor

    @classmethod
    def drawn(cls, seed: int) -> Table:
        generator = torch.Generator().manual_seed(seed)
        student, teacher = 3.0 * torch.randn(2, 12, generator=generator, dtype=torch.float64)
        y = torch.randint(2, (12,), generator=generator).double()
        return cls(student.requires_grad_(), teacher, y)

    def loss(self, unlearner: Unlearner, step: int = 1) -> torch.Tensor:
        rows = torch.arange(12)
        data = UnlearningData(
            retain=Samples(rows[RETAIN], self.y[RETAIN]),
            forget_polluted=Samples(rows[FORGET], self.y[FORGET]),
            forget_clean=Samples(rows[FORGET], 1.0 - self.y[FORGET]),
            step=step,
        )
        return unlearner.loss(lambda x: self.student[x], lambda x: self.teacher[x], data)

    def cross_entropy(self, rows: slice) -> torch.Tensor:
        return -Bernoulli(logits=self.student[rows]).log_prob(self.y[rows]).mean()

    def divergence(self, rows: slice) -> torch.Tensor:
        return torch_kl(Bernoulli(logits=self.teacher[rows]), Bernoulli(logits=self.student[rows])).mean()

    def ratios(self) -> torch.Tensor:
        """How likely the student finds each polluted label, over how likely the teacher does."""
        chances = [
            torch.where(self.y[FORGET] == 1.0, z.sigmoid(), 1.0 - z.sigmoid())
            for z in (self.student[FORGET], self.teacher[FORGET])
        ]
        return chances[0] / chances[1]


FORMULAS = {
    "Retrain": (Retrain(), lambda t: t.cross_entropy(RETAIN)),
    "Finetune": (Finetune(), lambda t: t.cross_entropy(RETAIN)),
    "Eq. 7": (GradientAscent(beta=0.7), lambda t: t.cross_entropy(RETAIN) - 0.7 * t.cross_entropy(FORGET)),
    "Eq. 7 as in the supplement": (
        GradientAscent(),
        lambda t: t.cross_entropy(RETAIN) - 0.2 * t.cross_entropy(FORGET),
    ),
    "pure ascent": (PureAscent(), lambda t: -t.cross_entropy(FORGET)),
    "Eq. 8": (
        Scrub(lambda_ce=0.3, lambda_kl=1.7, lambda_fo=0.9),
        lambda t: 0.3 * t.cross_entropy(RETAIN) + 1.7 * t.divergence(RETAIN) - 0.9 * t.divergence(FORGET),
    ),
    "Eq. 8 as in the supplement": (Scrub(), lambda t: t.cross_entropy(RETAIN) - 0.2 * t.divergence(FORGET)),
    "NPO": (
        NPO(beta=0.4, retain_weight=0.6),
        lambda t: 0.6 * t.cross_entropy(RETAIN) + 5.0 * (1.0 + t.ratios() ** 0.4).log().mean(),
    ),
    "NPO with its defaults": (NPO(), lambda t: t.cross_entropy(RETAIN) + 2.0 * (1.0 + t.ratios()).log().mean()),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("unlearner", "formula"), FORMULAS.values(), ids=FORMULAS.keys())
def test_losses_and_their_gradients_follow_the_formulas(unlearner, formula, seed):
    table = Table.drawn(seed)
    found, expected = table.loss(unlearner), formula(table)
    assert found.shape == ()
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    [gradient] = torch.autograd.grad(found, table.student)
    [gradient_expected] = torch.autograd.grad(expected, table.student)
    torch.testing.assert_close(gradient, gradient_expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("unlearner", "formula"), FORMULAS.values(), ids=FORMULAS.keys())
def test_the_number_of_the_step_does_not_matter(unlearner, formula):
    table = Table.drawn(0)
    assert table.loss(unlearner, 1).item() == table.loss(unlearner, 17).item()


@pytest.mark.parametrize(("max_steps", "away"), [(0, set()), (1, {1}), (4, {1, 3}), (5, {1, 3, 5}), (50, {1, 3, 5, 7})])
def test_alternating_scrub_says_at_each_step_which_objective_it_has(max_steps, away):
    table = Table.drawn(1)
    unlearner = AlternatingScrub(alpha=0.8, gamma=1.3, max_steps=max_steps)
    nearer = 0.8 * table.divergence(RETAIN) + 1.3 * table.cross_entropy(RETAIN)
    for step in range(1, 9):
        expected = -table.divergence(FORGET) if step in away else nearer
        torch.testing.assert_close(table.loss(unlearner, step), expected, atol=1e-12, rtol=0)


def test_alternating_scrub_gives_each_objective_the_rows_it_needs_and_no_others():
    table = Table.drawn(2)
    [away] = torch.autograd.grad(table.loss(AlternatingScrub(), 1), table.student)
    [near] = torch.autograd.grad(table.loss(AlternatingScrub(), 2), table.student)
    assert float(away[RETAIN].abs().max()) == 0.0 < float(away[FORGET].abs().min())
    assert float(near[FORGET].abs().max()) == 0.0 < float(near[RETAIN].abs().min())


def forgetting(unlearner, distance):
    """Loss and gradient on the forget set where the student's logits are ``distance`` on the wrong side of every
    polluted label, and the retain set is learnt perfectly."""
    table = Table.drawn(3)
    right = 2.0 * table.y - 1.0
    student = torch.cat([1e3 * right[RETAIN], -distance * right[FORGET]]).requires_grad_()
    table = dataclasses.replace(table, student=student)
    loss = table.loss(unlearner)
    [gradient] = torch.autograd.grad(loss, student)
    return loss.item(), float(gradient[FORGET].abs().max())


def test_npo_is_bounded_below_and_stops_pulling():
    losses, gradients = zip(*(forgetting(NPO(), distance) for distance in (1.0, 5.0, 20.0, 100.0, 1e6)), strict=True)
    assert list(losses) == sorted(losses, reverse=True)
    assert min(losses) >= 0.0
    assert losses[-1] == pytest.approx(0.0, abs=1e-12)
    assert list(gradients) == sorted(gradients, reverse=True)
    assert gradients[-1] == 0.0


@pytest.mark.parametrize("unlearner", [PureAscent(), GradientAscent()], ids=["PureAscent", "GradientAscent"])
def test_plain_ascent_is_unbounded_and_never_stops_pulling(unlearner):
    (near, _), (far, pull), (farther, farther_pull) = (forgetting(unlearner, distance) for distance in (1e2, 1e4, 1e6))
    assert far < 90 * near < 0
    assert farther < 90 * far
    assert farther_pull == pytest.approx(pull) != 0.0


@pytest.mark.parametrize("beta", [0.01, 1.0, 20.0])
def test_npo_weighs_plain_ascent_by_a_number_between_zero_and_two(beta):
    for seed in range(5):
        table = Table.drawn(seed)
        [npo] = torch.autograd.grad(table.loss(NPO(beta=beta)), table.student)
        [ascent] = torch.autograd.grad(table.loss(PureAscent()), table.student)
        weights = npo[FORGET] / ascent[FORGET]
        expected = 2.0 * table.ratios() ** beta / (1.0 + table.ratios() ** beta)
        torch.testing.assert_close(weights, expected.detach(), atol=1e-10, rtol=1e-8)
        assert bool(((weights >= 0.0) & (weights <= 2.0 + 1e-12)).all())


def test_npo_becomes_plain_ascent_as_beta_goes_to_zero():
    table = Table.drawn(4)
    [npo] = torch.autograd.grad(table.loss(NPO(beta=1e-7)), table.student)
    [ascent] = torch.autograd.grad(table.loss(PureAscent()), table.student)
    torch.testing.assert_close(npo[FORGET], ascent[FORGET], atol=1e-6, rtol=0)


@pytest.mark.parametrize("unlearner", [GradientAscent(), PureAscent(), NPO()], ids=lambda item: type(item).__name__)
def test_ascent_moves_away_from_the_polluted_labels(unlearner):
    table = Table.drawn(5)
    [gradient] = torch.autograd.grad(table.loss(unlearner), table.student)
    towards_polluted = -gradient[FORGET] * (2.0 * table.y[FORGET] - 1.0)
    assert bool((towards_polluted < 0.0).all())


DEFAULTS = {
    GradientAscent: {"beta": 0.2},
    Scrub: {"lambda_ce": 1.0, "lambda_kl": 0.0, "lambda_fo": 0.2},
    Retrain: {"start_fresh": True},
    Finetune: {"start_fresh": False},
    AlternatingScrub: {"start_fresh": False},
    PureAscent: {"start_fresh": False},
    NPO: {"start_fresh": False},
}


@pytest.mark.parametrize(("cls", "own"), DEFAULTS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_defaults_are_those_of_the_supplement(cls, own):
    common = {"steps": 50, "learning_rate": 0.01, "optimizer": "Adam", "batch_size": 0}
    config = cls().config()
    assert {name: config[name] for name in common | own} == common | own


NAMES = {
    Retrain: ["exact unlearning"],
    Finetune: ["catastrophic forgetting"],
    GradientAscent: ["NegGrad+"],
    Scrub: ["nothing is distilled on the retain set", "AlternatingScrub"],
    AlternatingScrub: ["SCRUB", "Kurmanji"],
    PureAscent: ["gradient ascent"],
    NPO: ["Negative preference optimisation", "arXiv:2404.05868"],
}


@pytest.mark.parametrize(("cls", "said"), NAMES.items(), ids=lambda value: getattr(value, "__name__", None))
def test_every_method_says_what_the_literature_calls_it(cls, said):
    text = " ".join(f"{inspect.getdoc(cls)} {cls.source}".split())
    assert not [name for name in said if name not in text]
