"""The paper's claims in the experiments that come with qlab."""

from __future__ import annotations

import pytest

from qlab.experiment.asking import schema
from qlab.resources import experiments

FILES = experiments()


def names(file: str) -> set[str]:
    return {claim.table.name for claim in schema.load(FILES[file]).claims}


@pytest.mark.parametrize("figure", ["fig2c", "fig2d", "fig3d"])
def test_both_settings_claim_the_same(figure):
    assert names(f"paper/{figure}") == names(f"released/{figure}") != {""}


@pytest.mark.parametrize("figure", ["fig3a", "fig3b"])
def test_released_models_share_the_claims_that_are_about_one_model(figure):
    together = names(f"released/{figure}_mlp") | names(f"released/{figure}_qnn")
    assert together == names(f"paper/{figure}")
    assert {claim.table.independent for claim in schema.load(FILES[f"released/{figure}_qnn"]).claims} == {"repeats"}


def test_claims_are_read_without_changing_what_is_trained():
    text = FILES["xxz_flip"].read_text(encoding="utf-8")
    with_claims = schema.parse(text, source="f.toml")
    without = schema.parse(text.partition("[[claim]]")[0], source="f.toml")
    assert len(with_claims.claims) == 2
    assert [trial.key for trial in with_claims.trials] == [trial.key for trial in without.trials]
