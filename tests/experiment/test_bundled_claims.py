"""The paper's claims in the experiments that come with qlab."""

from __future__ import annotations

import re

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


def test_every_strength_of_the_map_of_noise_has_its_control():
    """The comments say which scale belongs to which strength; both are trained."""
    file = FILES["noise/map"]
    found = re.findall(r"^#   (\w+) +(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    said = {
        (channel, key, float(strength)): float(scale)
        for channel, pairs in found
        for key, strength, scale in re.findall(r"(\w+) = ([\d.]+): ([\d.]+)", pairs)
    }
    models = [trial.model.field_values() for trial in schema.load(file).trials]
    strengths = set()
    for [channel] in (fields["noise"] for fields in models if fields["noise"]):
        key = "gamma" if "gamma" in channel.field_values() else "p"
        strengths.add((type(channel).__name__, key, getattr(channel, key)))
    assert len(strengths) == 20
    assert said.keys() == strengths
    assert set(said.values()) | {5.0} == {fields["scale"] for fields in models if not fields["noise"]}
    assert len(models) == 6 * 5 * (1 + 20 + len(set(said.values())))
