"""What to cite: every source has its entry, and the output is BibTeX."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from qlab.citations.bibliography import cited, entries, ids_in
from qlab.cli import main
from qlab.registry import KINDS, available
from qlab.training import Trainer
from qlab.version import __version__

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

ROOT = Path(__file__).parents[2]
BUILT_IN = [(kind, name, cls) for kind in KINDS for name, cls in available(kind).items()]


def balanced(text, start):
    """The position after the brace that closes the one at ``start``."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    raise AssertionError(f"a brace is never closed: {text[start : start + 40]}")


def parsed(text):
    """Entries by key: type and fields. What stands between entries is a comment, and has no @."""
    found, place = {}, 0
    while (at := text.find("@", place)) >= 0:
        head = re.compile(r"@(\w+)\{([^,{}\s]+),").match(text, at)
        assert head, text[at : at + 60]
        end = balanced(text, text.index("{", at))
        body, fields, inside = text[head.end() : end - 1], {}, 0
        while field := re.compile(r"\s*(\w+)\s*=\s*\{").match(body, inside):
            close = balanced(body, field.end() - 1)
            assert field[1] not in fields
            fields[field[1]] = body[field.end() : close - 1]
            comma = re.compile(r"\s*,").match(body, close)
            inside = comma.end() if comma else close
        assert not body[inside:].strip(), body[inside:]
        assert head[2] not in found
        found[head[2]] = (head[1], fields)
        place = end
    return found


def cite(*arguments, code=0):
    result = CliRunner().invoke(main, ["cite", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


@pytest.mark.parametrize(("kind", "name", "cls"), BUILT_IN, ids=[name for _, name, _ in BUILT_IN])
def test_every_id_that_a_source_names_has_an_entry(kind, name, cls):
    _, missing = cited(cls.source)
    assert not missing, f"add entries for {missing} to qlab/citations/references.bib, with facts that you have checked"


def test_so_have_the_trainer_and_what_docstrings_of_settings_name():
    assert not cited(Trainer.source)[1]
    assert {"1412.6980", "1711.05101", "1207.0580"} <= {item for entry in entries() for item in entry.ids}


def test_the_bibliography_is_bibtex_with_what_a_reference_needs():
    found = parsed((ROOT / "qlab/citations/references.bib").read_text(encoding="utf-8"))
    assert set(found) == {entry.key for entry in entries()}
    for key, (kind, fields) in found.items():
        assert {"author", "title", "year"} <= set(fields), key
        assert kind in {"misc", "article", "inproceedings"}
        if "eprint" in fields:
            assert re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}", fields["eprint"])
            assert fields["archiveprefix"] == "arXiv"
            # The year and month of a preprint are the beginning of its id.
            assert abs(int(fields["year"]) - (2000 + int(fields["eprint"].rpartition("/")[2][:2]))) <= 1, key
    ids = [item for entry in entries() for item in entry.ids]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ("arXiv:2508.02422, Eq. 3", ["2508.02422"]),
        ("BadNets (arXiv:1708.06733); doi 10.1038/s41467-026-70420-4.", ["1708.06733", "10.1038/s41467-026-70420-4"]),
        ("Good, J. R. Stat. Soc. B 14 (1952) 107", []),
    ],
)
def test_ids_are_read_out_of_sources(source, ids):
    assert ids_in(source) == ids


def test_a_file_that_ships_with_qlab():
    found = parsed(cite("released/fig3b_qnn"))
    assert set(found) == {
        *("qlab", "chen2025superior", "chen2026superior", "kingma2014adam"),
        *("paszke2019pytorch", "zaharia2018mlflow", "bergholm2018pennylane", "kurmanji2023towards"),
    }
    assert found["chen2026superior"][1]["doi"] == "10.1038/s41467-026-70420-4"
    assert found["qlab"][1]["version"] == __version__
    assert "bergholm2018pennylane" not in parsed(cite("released/fig3b_mlp"))


SETTINGS = """\
name = "many"
[task]
type = "Sklearn"
name = "iris"
[[corruption]]
type = "Backdoor"
ratio = 0.2
target = 1
[[model]]
type = "MLP"
dropout = 0.1
training = { optimizer = "AdamW", schedule = "cosine", loss = { type = "CrossEntropy", label_smoothing = 0.1 } }
[[model]]
type = "sklearn.svm:SVC"
[[model]]
type = "own:Halves"
[[metric]]
type = "CalibrationError"
[run]
seeds = 1
"""

OWN = '''\
import torch

from qlab import MLP


class Halves(MLP):
    """As the other."""

    source = "me@home; arXiv:1412.6544, and a talk"
'''


def test_settings_metrics_packages_and_classes_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("many.toml").write_text(SETTINGS.replace("target = 1\n", ""), encoding="utf-8")
    Path("own.py").write_text(OWN, encoding="utf-8")
    text = cite("many.toml")
    assert set(parsed(text)) >= {
        *("gu2017badnets", "hinton2012improving", "loshchilov2017decoupled", "loshchilov2016sgdr", "kingma2014adam"),
        *("szegedy2015rethinking", "pedregosa2011scikit", "guo2017calibration", "goodfellow2014qualitatively"),
    }
    assert "%   own:Halves: me(at)home; arXiv:1412.6544, and a talk" in text
    assert "% own:Halves\n@misc{goodfellow2014qualitatively" in text


def test_an_experiment_of_the_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "small.toml").write_text(
        'name = "small"\n[task]\ntype = "Digits"\n[corruption]\ntype = "LabelFlip"\nratio = 0.2\n'
        '[[model]]\ntype = "own:Halves"\nhidden = [2]\ntraining = { epochs = 1 }\n'
        '[[metric]]\ntype = "ROCAUC"\n[run]\nseeds = 1\n',
        encoding="utf-8",
    )
    assert CliRunner().invoke(main, ["run", "small.toml", "--no-figures"]).exit_code == 0
    for name in ("small.toml", "own.py"):
        (tmp_path / name).unlink()
    text = cite("small")
    assert {"pedregosa2011scikit", "chen2026superior", "kingma2014adam"} <= set(parsed(text))
    assert "%   own:Halves: a model of your own" in text
    assert "%   ROCAUC: Hanley and McNeil" in text
    cite("small", "-o", "refs.bib")
    assert parsed((tmp_path / "refs.bib").read_text(encoding="utf-8")).keys() == parsed(text).keys()


def test_what_is_not_there_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, said in (
        ("nothing", "nothing: there is no such file, and no such experiment"),
        ("nothing.toml", "nothing.toml: there is no such file"),
    ):
        message = cite(given, code=2)
        assert message.startswith(f"Error: {said}")
        assert message.count("\n") == 1
    assert "--output: got none/a.bib" in cite("xxz_flip", "-o", "none/a.bib", code=2)


def test_the_citation_file_says_this_version_and_the_published_paper():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == __version__
    [article] = found["references"]
    assert article["doi"] == parsed(cite("xxz_flip"))["chen2026superior"][1]["doi"]
