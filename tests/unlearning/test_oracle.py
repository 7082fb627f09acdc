"""Oracles, and the distance to them: by hand, and against scikit-learn."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.models import MLP, Features, Model
from qlab.tasks import Split
from qlab.training import Member
from qlab.training.ensemble import initial_parameters
from qlab.unlearning import oracle


class Line(Model):
    """The logit is gain * x + offset."""

    def __init__(self) -> None:
        super().__init__()

    def setup(self, features: Features) -> None:
        self.gain = nn.Parameter(torch.empty((), dtype=self.dtype))
        self.offset = nn.Parameter(torch.empty((), dtype=self.dtype))

    def reset_parameters(self, generator: torch.Generator) -> None:
        nn.init.ones_(self.gain)
        nn.init.zeros_(self.offset)

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.dtype)

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        return self.gain * prepared[:, 0] + self.offset


SEEDS_OF_ORACLES = [oracle.seed_of(teacher, number) for teacher in range(5) for number in range(5)]
LINE = Line().build(Features(1, False, torch.ones(1, dtype=torch.bool)))


def lines(*pairs):
    gain, offset = torch.tensor(pairs, dtype=torch.float64).T
    return {"gain": gain, "offset": offset}


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def labels(*values):
    return torch.tensor(values)


def probe(**changed: Any) -> oracle.ComparedRows:
    rows = {"validation": ((-1.0, 2.0, 0.5, -3.0), (0, 1, 1, 0)), "forget": ((1.0,), (1,)), "unseen": ((1.0,), (0,))}
    given = {}
    for name, (x, y) in (rows | changed).items():
        given |= {f"{name}_x": column(*x), f"{name}_y": labels(*y)}
    return oracle.ComparedRows(**given)


def kl(q_logit, p_logit):
    q, p = (1.0 / (1.0 + math.exp(-z)) for z in (q_logit, p_logit))
    return q * math.log(q / p) + (1.0 - q) * math.log((1.0 - q) / (1.0 - p))


def mean_kl(q_line, p_line, xs=(-1.0, 2.0, 0.5, -3.0)):
    return statistics.fmean(kl(q_line[0] * x + q_line[1], p_line[0] * x + p_line[1]) for x in xs)


def test_an_oracle_is_trained_on_the_clean_rows_alone(small_task, small_data):
    for corruption in (LabelFlip(ratio=0.5), FeatureRandomization(ratio=0.5)):
        corrupted = Member.of(small_task, small_data, corruption, 4).corrupted
        member = oracle.retain_only(corrupted, 1_000_003)
        keep = ~corrupted.mask
        assert member.seed == 1_000_003
        assert len(member.corrupted.split) == int(keep.sum()) < len(small_data.train)
        assert torch.equal(member.corrupted.split.x, small_data.train.x[keep])
        assert torch.equal(member.corrupted.split.y, small_data.train.y[keep])
        assert torch.equal(member.corrupted.clean_y, small_data.train.y[keep])
        assert not bool(member.corrupted.mask.any())
        for name, values in small_data.train.about.items():
            assert torch.equal(member.corrupted.split.about[name], values[keep])


def test_accuracies_and_the_gap_by_hand():
    # The model has three rows of four right, the oracles four and two.
    found = oracle.oracle_distance(LINE, lines((1.0, -1.0)), lines((1.0, 0.0), (-1.0, -0.75)), probe())
    student = [x - 1.0 > 0 for x in (-1.0, 2.0, 0.5, -3.0)]
    second = [-x - 0.75 > 0 for x in (-1.0, 2.0, 0.5, -3.0)]
    truth = [False, True, True, False]
    own = statistics.fmean(a == b for a, b in zip(student, truth, strict=True))
    others = [1.0, statistics.fmean(a == b for a, b in zip(second, truth, strict=True))]
    assert own == 0.75
    assert found["oracle_accuracy"] == pytest.approx(statistics.fmean(others))
    assert found["oracle_accuracy_std"] == pytest.approx(statistics.stdev(others))
    assert found["oracle_gap"] == pytest.approx(own - statistics.fmean(others))


def test_divergences_by_hand():
    own, others = (0.5, 0.2), [(1.0, 0.0), (-2.0, 0.3), (0.7, -0.4)]
    found = oracle.oracle_distance(LINE, lines(own), lines(*others), probe())
    assert found["oracle_kl"] == pytest.approx(statistics.fmean(mean_kl(other, own) for other in others), abs=1e-12)
    floor = [mean_kl(a, b) for a in others for b in others if a != b]
    assert len(floor) == 6
    assert found["oracle_kl_floor"] == pytest.approx(statistics.fmean(floor), abs=1e-12)


def test_a_single_oracle_has_no_spread():
    found = oracle.oracle_distance(LINE, lines((0.5, 0.2)), lines((1.0, 0.0)), probe())
    assert "oracle_kl_floor" not in found
    assert "oracle_accuracy_std" not in found
    assert found["oracle_kl"] == pytest.approx(mean_kl((1.0, 0.0), (0.5, 0.2)), abs=1e-12)


def test_a_model_that_is_its_oracle_has_no_distance():
    found = oracle.oracle_distance(LINE, lines((1.3, 0.1)), lines((1.3, 0.1)), probe())
    assert found["oracle_gap"] == 0.0
    assert found["oracle_kl"] == pytest.approx(0.0, abs=1e-15)


def negative_loss(z, y):
    return -math.log1p(math.exp(-z if y else z))


ROWS = {
    "drawn": (9, 6),
    "one of each": (1, 1),
    "with ties": (40, 30),
    "ten times as many unseen": (5, 50),
}


@pytest.mark.parametrize("name", ROWS)
def test_membership_is_the_area_under_the_curve_of_scikit_learn(name):
    n, m = ROWS[name]
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n + m, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (n + m,), generator=generator)
    if name == "with ties":
        x, y = x.round(), torch.ones_like(y)
    rows = probe(
        forget=(x[:n].tolist(), y[:n].tolist()),
        unseen=(x[n:].tolist(), y[n:].tolist()),
    )
    points = [(1.0, 0.0), (-2.0, 0.5), (0.3, -1.0)]
    expected = [
        roc_auc_score(
            [1] * n + [0] * m,
            [negative_loss(gain * value + offset, label) for value, label in zip(x.tolist(), y.tolist(), strict=True)],
        )
        for gain, offset in points
    ]
    assert oracle.membership_auc(LINE, lines(*points), rows) == pytest.approx(expected, abs=1e-12)


def test_membership_by_hand():
    # Losses fall with the logit of a label: trained rows have the lower loss in three of four pairs.
    rows = probe(forget=((3.0, 1.0), (1, 1)), unseen=((2.0, -1.0), (1, 1)))
    assert oracle.membership_auc(LINE, lines((1.0, 0.0)), rows) == [0.75]
    same = probe(forget=((3.0, 1.0), (1, 1)), unseen=((3.0, 1.0), (1, 1)))
    assert oracle.membership_auc(LINE, lines((1.0, 0.0)), same) == [0.5]


def test_the_membership_of_oracles_is_their_mean():
    rows = probe(forget=((3.0, 1.0), (1, 1)), unseen=((2.0, -1.0), (1, 1)))
    found = oracle.oracle_distance(LINE, lines((1.0, 0.0)), lines((1.0, 0.0), (-1.0, 0.0)), rows)
    assert found["membership_auc"] == 0.75
    # The second oracle ranks the other way round: 0.25.
    assert found["membership_auc_oracle"] == pytest.approx(0.5)


def relearn_by_hand(gain, offset, x, y, learning_rate):
    """The steps that an ordinary loop takes until nine tenths of the labels are back."""
    weights = nn.Parameter(torch.tensor([gain, offset], dtype=torch.float64))
    optimizer = torch.optim.Adam([weights], lr=learning_rate)
    for step in range(1000):
        z = weights[0] * x + weights[1]
        if sum((value > 0) == bool(label) for value, label in zip(z.tolist(), y.tolist(), strict=True)) >= 0.9 * len(y):
            return step
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(z, y).backward()
        optimizer.step()
    raise AssertionError("the labels never come back")


def test_relearning_is_counted_for_each_member():
    x = torch.tensor([[1.0, 2.0, -1.0, -2.0]] * 3, dtype=torch.float64)
    y = torch.tensor([[1.0, 1.0, 0.0, 0.0]] * 3, dtype=torch.float64)
    points = [(2.0, 0.0), (-1.0, 0.0), (-3.0, 1.0)]
    found = oracle.relearn_steps(LINE, lines(*points), x[..., None], y, 0.1)
    assert found == [relearn_by_hand(*point, x[0], y[0], 0.1) for point in points]
    assert found[0] == 0 < found[1] < found[2]


def test_nine_tenths_are_enough():
    x = torch.tensor([[1.0] * 9 + [-1.0]], dtype=torch.float64)
    all_ones = torch.ones(1, 10, dtype=torch.float64)
    assert oracle.relearn_steps(LINE, lines((1.0, 0.0)), x[..., None], all_ones, 0.1) == [0]
    assert oracle.relearn_steps(LINE, lines((1.0, 0.0)), x[:, 1:, None], all_ones[:, 1:], 0.1) != [0]


def test_labels_that_contradict_each_other_do_not_come_back():
    x = torch.ones(2, 4, 1, dtype=torch.float64)
    y = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    found = oracle.relearn_steps(LINE, lines((1.0, 0.0), (-1.0, 0.0)), x, y, 0.1)
    assert found[0] is None
    assert found[1] == relearn_by_hand(-1.0, 0.0, x[1, :, 0], y[1], 0.1)


def test_a_model_that_is_not_finite_never_relearns_and_leaves_the_others_alone():
    x, y = torch.ones(2, 4, 1, dtype=torch.float64), torch.ones(2, 4, dtype=torch.float64)
    found = oracle.relearn_steps(LINE, lines((float("nan"), 0.0), (-1.0, 0.0)), x, y, 0.1)
    assert found == [None, relearn_by_hand(-1.0, 0.0, x[1, :, 0], y[1], 0.1)]


def test_relearning_leaves_the_model_as_it_was():
    given = lines((-1.0, 0.0))
    oracle.relearn_steps(LINE, given, torch.ones(1, 4, 1, dtype=torch.float64), torch.ones(1, 4).double(), 0.1)
    assert (given["gain"].item(), given["offset"].item()) == (-1.0, 0.0)
    assert not given["gain"].requires_grad


def test_oracles_share_no_initial_parameters_with_teachers():
    model = MLP(hidden=(3,)).build(Features(4, False, torch.ones(4, dtype=torch.bool)))
    teachers = initial_parameters(model, range(5))["kernels.0"]
    oracles = initial_parameters(model, SEEDS_OF_ORACLES)["kernels.0"]
    for drawn in oracles:
        assert not any(torch.equal(drawn, other) for other in teachers)


def test_every_oracle_of_every_teacher_has_a_seed_of_its_own():
    """An unlucky draw is then one oracle's, and means over teachers average over draws."""
    assert len(set(SEEDS_OF_ORACLES)) == 25
    assert min(SEEDS_OF_ORACLES) >= oracle.FIRST_SEED


def test_without_unseen_rows_there_is_no_membership_to_infer():
    found = oracle.oracle_distance(LINE, lines((1.0, -1.0)), lines((1.0, 0.0), (-1.0, -0.75)), probe(unseen=((), ())))
    expected = oracle.oracle_distance(LINE, lines((1.0, -1.0)), lines((1.0, 0.0), (-1.0, -0.75)), probe())
    assert found == {name: value for name, value in expected.items() if not name.startswith("membership")}


def test_rows_of_an_oracle_keep_their_order():
    split = Split(column(0.0, 1.0, 2.0, 3.0), labels(0, 1, 0, 1), {"delta": torch.arange(4)})
    corrupted = LabelFlip(ratio=0.5).apply(split, None, torch.Generator().manual_seed(0))
    kept = oracle.retain_only(corrupted, 0).corrupted.split
    assert kept.x[:, 0].tolist() == sorted(kept.x[:, 0].tolist()) == kept.about["delta"].tolist()
