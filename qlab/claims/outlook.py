"""What a claim's test will be able to find, said before it runs."""

from __future__ import annotations

from qlab.claims.asked import Claim
from qlab.claims.power import detectable, detectable_within
from qlab.claims.tests import least_p


def foreseen(claim: Claim, n: int, family: int) -> str:
    """The power of a claim's test: "5 seeds, t test: 80 % power for effects 1.4 s.d. beyond the margin".

    Of "within" it is the margin that it takes, if there is no effect. The unit is the standard deviation of paired
    differences or values; of groups that are not paired it is the root of the sum of both variances.

    Args:
        claim: the claim.
        n: how many observations there will be.
        family: how many claims are corrected for together.
    """
    table = claim.table
    paired = table.paired or isinstance(claim.than, float)
    strict = table.level / (family if table.correction == "holm" else 1)
    said = f"{n} {table.independent}, {table.test} test, level {table.level:g}"
    if strict < table.level:
        said += f", Holm over {family} claims"
    if (least := least_p(table.test, n, paired=paired)) > strict:
        return f"{said}: too few, as no p-value is below {least:.2g}, and {strict:.2g} is needed" + (
            " if no other claim is decided" if strict < table.level else ""
        )
    within = table.statement == "within"
    least_found = detectable_within if within else detectable
    found = [least_found(n, level, paired=paired) for level in dict.fromkeys((table.level, strict))]
    limits = " to ".join(f"{effect:.1f}" if effect >= 0.1 else f"{effect:.1g}" for effect in found)
    spread = "s.d. of the values" if isinstance(claim.than, float) else "s.d. of the paired differences"
    if not paired:
        spread = "times the root of the sum of both groups' variances"
    if within:
        nothing = "ratio of 1" if table.effect == "ratio" else "difference of 0"
        return f"{said}: 80 % power for a true {nothing} if the margin is {limits} {spread}"
    return f"{said}: 80 % power for effects {limits} {spread} beyond the margin"
