"""Claims on the command line: what a dry run says, what is refused, how verdicts look."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from qlab.claims import Claim, ClaimTable, judge
from qlab.claims.effects import Effect
from qlab.claims.history import written
from qlab.claims.table import claim_table
from qlab.claims.verdict import Observed
from qlab.cli import main
from qlab.console import claims_table

CLAIM = """
[[claim]]
text = "The circuit keeps its accuracy"
metric = "validation_accuracy"
of = { model = "PennyLaneQNN", ratio = 0.5 }
than = { model = "MLP", ratio = 0.5 }
statement = "above"
margin = 0.1
"""


def test_a_dry_run_says_what_effects_the_seeds_suffice_for(project: Path) -> None:
    (project / "tiny.toml").write_text((project / "tiny.toml").read_text() + CLAIM)
    result = CliRunner().invoke(main, ["run", "tiny.toml", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(
        "claim: The circuit keeps its accuracy\n"
        "    validation accuracy of PennyLaneQNN, ratio 0.5 is above that of MLP, ratio 0.5 by more than 0.1\n"
        "    2 seeds, t test, level 0.05: 80 % power for effects 5.8 s.d. of the paired differences "
        "beyond the margin\n"
    )


def test_a_claim_about_nothing_is_refused_before_anything_runs(project: Path) -> None:
    (project / "tiny.toml").write_text((project / "tiny.toml").read_text() + CLAIM.replace("0.5", "0.4"))
    result = CliRunner().invoke(main, ["run", "tiny.toml"])
    assert result.exit_code == 2
    assert "claim.of: corruption.ratio = 0.4: the file makes 0.0, 0.5. Nearest: 0.0, 0.5." in result.stderr
    assert not (project / "mlruns").exists()
    result = CliRunner().invoke(main, ["run", "tiny.toml", "--set", "corruption.ratio=[0.1]", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "left out: claim (The circuit keeps its accuracy): " in result.stdout


def test_fields_of_claims_are_described() -> None:
    described = CliRunner().invoke(main, ["describe", "claim"]).stdout
    assert '"above", "below", "within", "not above", "not below"' in described
    assert "Holm" in described or "holm" in described


@pytest.mark.parametrize(("shift", "words"), [(0.4, "supported"), (-0.4, "contradicted"), (0.01, "undecided")])
def test_verdicts_as_a_table(shift: float, words: str) -> None:
    table = ClaimTable(text="It holds", metric="validation_accuracy", statement="above")
    claim = Claim(table, {"model.type": "MLP"}, 0.5)
    (verdict,) = judge(
        [Observed(claim, Effect(0.5 + shift + np.array([0.0, 0.02, 0.04, -0.06]), 0.5), 4, 5, "1 failed")]
    )
    shown = claims_table(claim_table([{**written(claim, None, 0, ""), "verdict": verdict.as_json()}], "x"), "x: claims")
    stream = StringIO()
    Console(file=stream, width=140).print(shown)
    assert words in stream.getvalue()
    assert "4 of 5; 1 failed" in stream.getvalue()
    assert ("seeds would support it" in stream.getvalue()) == (words == "undecided")
