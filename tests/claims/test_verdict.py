"""Verdicts, Holm's correction, what would decide a claim, and the words for all of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from qlab.claims import Claim, ClaimTable, judge
from qlab.claims.effects import Effect
from qlab.claims.history import matched, written
from qlab.claims.outlook import foreseen
from qlab.claims.overview import blocks, cell
from qlab.claims.table import claim_table, short
from qlab.claims.verdict import Observed, holm
from qlab.claims.wording import sentence

VALUES = np.array([-1.2, -0.4, 0.1, 0.5, 1.0])
VALUES = (VALUES - VALUES.mean()) / VALUES.std(ddof=1)
"""Mean zero, deviation one."""


def claimed(statement="above", margin=0.0, **fields) -> Claim:
    table = ClaimTable(text="It holds", metric="validation_accuracy", statement=statement, margin=margin, **fields)
    return Claim(table, {"model.type": "MLP"}, {"model.type": "PennyLaneQNN"})


def observed(mean, statement="above", margin=0.0, deviation=1.0, **fields) -> Observed:
    claim = claimed(statement, margin, **fields)
    return Observed(claim, Effect(mean + deviation * VALUES, 0.0, test=claim.table.test), 5, 5)


@pytest.mark.parametrize(
    ("mean", "statement", "verdict"),
    [
        *((5.0, "above", "supported"), (-5.0, "above", "contradicted"), (1.0, "above", "undecided")),
        *((-5.0, "below", "supported"), (5.0, "below", "contradicted")),
        *((0.5, "within", "undecided"), (5.0, "within", "contradicted"), (-5.0, "within", "contradicted")),
        *((-5.0, "not above", "supported"), (5.0, "not above", "contradicted"), (1.2, "not above", "undecided")),
        *((5.0, "not below", "supported"), (-5.0, "not below", "contradicted"), (-1.2, "not below", "undecided")),
    ],
)
def test_statements(mean, statement, verdict):
    (found,) = judge([observed(mean, statement, margin=1.0)])
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(mean)


def test_within_is_supported_if_both_sides_are():
    (found,) = judge([observed(0.0, "within", margin=1.0, deviation=0.5)])
    assert found.verdict == "supported"
    assert -1.0 < found.low < found.high < 1.0


def test_margins_of_ratios_are_fractions():
    claim = claimed("below", 0.25, effect="ratio")
    assert claim.limits == (0.8, 1.25)


def test_holms_adjusted_p_values():
    # Holm's: smallest times 4, then max with next times 3, ...
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_claims_are_corrected_together_unless_they_say_otherwise():
    one = observed(1.0)  # p about 0.045
    assert judge([one])[0].verdict == "supported"
    together = judge([one, observed(0.2), observed(0.3, correction="none")])
    assert together[0].verdict == "undecided"
    assert together[0].p_supported == pytest.approx(2 * judge([one])[0].p_supported)
    assert judge([observed(1.0, correction="none"), observed(0.2)])[0].verdict == "supported"


def test_any_of_many_false_claims_is_supported_in_one_of_twenty_files_at_most():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(500):
        found += min(holm([Effect(rng.normal(size=5), 0.0).p_above(0.0) for _ in range(6)])) <= 0.05
    assert found / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_undecided_says_how_many_seeds_would_decide_it_and_how():
    (found,) = judge([observed(0.5)])
    assert (found.verdict, found.needed, found.towards) == ("undecided", 27, "supported")
    (found,) = judge([observed(-0.5)])
    assert (found.needed, found.towards) == (27, "contradicted")
    (found,) = judge([observed(1e-9)])
    assert found.needed is None
    (found,) = judge([observed(0.0, "within", margin=0.5)])
    assert found.towards == "supported"
    assert found.needed > 27
    few = Observed(claimed(), Effect(np.full(3, 0.5), 0.0), 3, 3)
    assert judge([few])[0].needed == 5  # 2^-5 < 0.05


def test_too_few_values_are_untested():
    (found,) = judge([Observed(claimed(), None, 1, 5, "4 diverged")])
    assert (found.verdict, found.n, found.left_out) == ("untested", 1, "4 diverged")
    assert json.dumps(found.as_json(), allow_nan=False)


def test_outlook_names_power_or_that_seeds_are_too_few():
    assert foreseen(claimed(), 10, 1) == (
        "10 seeds, t test, level 0.05: 80 % power for effects 0.9 s.d. of the paired differences beyond the margin"
    )
    assert "Holm over 4 claims: 80 % power for effects 0.9 to 1.1 s.d." in foreseen(claimed(), 10, 4)
    few = foreseen(claimed(test="wilcoxon"), 4, 1)
    assert few == "4 seeds, wilcoxon test, level 0.05: too few, as no p-value is below 0.062, and 0.05 is needed"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"statement": "above", "margin": 0.1}, "is above that of PennyLaneQNN by more than 0.1"),
        ({"statement": "below"}, "is below that of PennyLaneQNN"),
        ({"statement": "within", "margin": 0.1}, "is within 0.1 of that of PennyLaneQNN"),
        ({"statement": "not below", "margin": 0.1}, "is below that of PennyLaneQNN by less than 0.1, if at all"),
        ({"statement": "not above"}, "is not above that of PennyLaneQNN"),
        ({"statement": "above", "margin": 9.0, "effect": "ratio"}, "is more than 10 times that of PennyLaneQNN"),
        ({"statement": "not below", "margin": 0.25, "effect": "ratio"}, "is more than 0.8 times that of PennyLaneQNN"),
    ],
)
def test_sentences(fields, words):
    assert sentence(claimed(**fields).stated) == f"validation accuracy of MLP {words}"


def entry(claim, verdict=None, runs=0):
    kept = written(claim, None, runs, "2026-01-01T00:00:00+00:00")
    return {**kept, "verdict": None if verdict is None else verdict.as_json()}


def test_experiments_that_claim_the_same_stand_side_by_side():
    named = claimed(name="plateau"), claimed(name="other")
    verdict = judge([observed(5.0)])[0]
    tables = [
        claim_table([entry(named[0], verdict), entry(named[1])], "paper"),
        claim_table([entry(claimed())], "alone"),
        claim_table([entry(named[0], judge([observed(-5.0)])[0])], "controls"),
        claim_table([], "nothing"),
    ]
    (first, rows), (second, _) = blocks(tables)
    assert first == ["paper", "controls"]
    assert second == ["alone"]
    assert [row["claim"] for row in rows] == ["It holds", "It holds"]
    assert {name: row["verdict"] for name, row in rows[0]["cells"].items()} == {
        "paper": "supported",
        "controls": "contradicted",
    }
    assert list(rows[1]["cells"]) == ["paper"]
    assert cell(rows[0]["cells"]["paper"]) == "supported: +5 [+4.05, +5.95], n = 5 of 5"


def test_marks_are_said_with_the_text_before():
    kept = entry(claimed())
    edited = ClaimTable(text="It holds a little", metric="validation_accuracy", statement="above")
    claim = Claim(edited, {"model.type": "MLP"}, 0.5)
    assert matched([claim], [kept]) == [kept]  # by its place
    now = written(claim, kept, 7, "2026-01-02T00:00:00+00:00")
    assert short(claim_table([now], "x"))["note"].tolist() == [
        "edited after its runs; before: It holds (validation accuracy of MLP is above that of PennyLaneQNN)"
    ]
    late = short(claim_table([entry(claimed(), runs=3)], "x"))
    assert late["note"].tolist() == ["written after its runs"]


EQUAL = np.full(5, 0.9)


def equal(statement, margin, difference, **fields) -> Observed:
    """Five equal differences."""
    claim = claimed(statement, margin, **fields)
    return Observed(claim, Effect(EQUAL + difference, EQUAL, test=claim.table.test, paired=claim.table.paired), 5, 5)


@pytest.mark.parametrize("test", ["t", "bootstrap", "permutation", "wilcoxon"])
@pytest.mark.parametrize(
    ("statement", "margin", "difference", "verdict"),
    [
        ("above", 0.1, 0.15, "supported"),
        ("above", 0.1, 0.05, "contradicted"),
        ("above", 0.1, 0.1, "undecided"),  # at the margin
        ("within", 0.05, 0.0, "supported"),
        ("within", 0.05, 0.02, "supported"),
        ("within", 0.05, 0.05, "undecided"),
        ("within", 0.05, 0.2, "undecided"),  # against both ends its p counts twice
        ("not above", 0.05, 0.0, "supported"),
        ("below", 0.0, 0.0, "undecided"),
    ],
)
def test_equal_differences_are_decided_by_their_number_alone(test, statement, margin, difference, verdict):
    """A t of them would be infinite, and its p 0: it is the sign test's 1/32, at any distance from the margin."""
    (found,) = judge([equal(statement, margin, difference, test=test)])
    assert (found.verdict, found.by_sign) == (verdict, True)
    assert (found.estimate, found.low, found.high) == pytest.approx((difference,) * 3)
    if verdict == "supported":
        assert found.p_supported == pytest.approx(1 / 32)


def test_equal_differences_among_many_claims_say_what_they_lack():
    """Five are too few for seven claims, though their interval is a point; eight would do."""
    claims = [equal("within", 0.05, 0.0), *(observed(0.2) for _ in range(6))]
    found = judge(claims)[0]
    assert (found.verdict, found.low, found.high, found.needed) == ("undecided", 0.0, 0.0, 8)
    assert found.p_supported == pytest.approx(7 / 32)
    (row,) = short(claim_table([entry(claims[0].claim, found)], "flips")).to_dict("records")
    assert row["effect"] == "0 [0, 0]"
    assert row["note"] == (
        "all 5 seeds agree exactly, so only their number counts: corrected p = 0.219; about 8 seeds would support it"
    )


def test_rounding_is_no_spread():
    """0.3 less 0.1 is not 0.2 in all digits, nor is it as far from 0.2 as it looks in units of its deviation."""
    values = np.array([0.1, 0.7, 0.3, 0.9, 0.5])
    effect = Effect(values + 0.2, values)
    assert np.ptp(effect.of - values) > 0.0
    assert not effect.has_spread
    assert effect.p_above(0.2) == effect.p_below(0.2) == 1.0
    assert (effect.distance(0.2), effect.distance(0.1)) == (0.0, math.inf)


@pytest.mark.parametrize(
    ("effect", "has_spread"),
    [
        (Effect(EQUAL, 0.5), False),
        (Effect(EQUAL + VALUES, EQUAL), True),
        (Effect(EQUAL + VALUES, EQUAL + VALUES), False),
        (Effect(EQUAL, EQUAL - 0.1, paired=False), False),
        (Effect(EQUAL, EQUAL + VALUES, paired=False), True),
        (Effect(EQUAL, EQUAL / 2.0, ratio=True), False),
        (
            Effect(2.0 * (9.0 + VALUES), 9.0 + VALUES, ratio=True),
            True,
        ),  # the ratio is one, the difference from 1.5 is not
        (Effect(2.0 * (9.0 + VALUES), 9.0 + VALUES, ratio=True, geometric=True), False),
    ],
)
def test_what_has_spread(effect, has_spread):
    assert effect.has_spread is has_spread
    assert effect.p_above(-5.0 if not effect.ratio else 0.5) <= 1 / 32
