"""`qlab export`: figures and tables as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import invoke


@pytest.fixture(scope="module")
def store(tmp_path_factory, write_empty_store, tiny):
    folder = tmp_path_factory.mktemp("export")
    (folder / "tiny.toml").write_text(tiny)
    uri = write_empty_store(folder / "mlruns" / "mlflow.db")
    invoke("run", folder / "tiny.toml", "--no-figures", "--tracking-uri", uri)
    return uri


def test_a_figure_and_a_table_are_written(store: str, tmp_path: Path) -> None:
    figure, table = tmp_path / "fig.pdf", tmp_path / "t.tex"
    result = invoke("export", "tiny", "--figure", figure, "--table", table, "--width", "86mm", "--tracking-uri", store)
    assert result.stdout.split() == [str(figure), str(table)]
    assert "tiny: 8 trials, 8 kept" in result.stderr
    assert figure.read_bytes().startswith(b"%PDF")
    assert "\\toprule" in table.read_text()


def test_another_axis_and_metric(store: str, tmp_path: Path) -> None:
    svg, md = tmp_path / "fig.svg", tmp_path / "t.md"
    options = ["--x", "training.epochs", "--y", "train_loss", "--by", "model", "--log-x", "--tracking-uri", store]
    invoke("export", "tiny", "--figure", svg, "--table", md, *options)
    assert "<svg" in svg.read_text()
    assert "training loss" in md.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is nothing to write; give --figure fig.pdf, --table table.tex, or --claims claims.tex."),
        (["--figure", "fig.jpeg"], "accepts a file that ends in .pdf, .svg, .png, .eps"),
        (["--figure", "fig.pdf", "--width", "3.4"], "accepts a length with one of the units in, cm, mm, pt, bp"),
        (["--figure", "fig.pdf", "--width", "1km"], "accepts a length with one of the units"),
        (["--figure", "fig.pdf", "--width", "0in"], "accepts a length from 1 to 40 inches"),
        (["--figure", "fig.pdf", "--x", "model.type"], "accepts a param whose values are numbers"),
        (["--figure", "fig.pdf", "--y", "validation_acuracy"], 'Did you mean "validation_accuracy"'),
        (["--figure", "fig.pdf", "--by", "modle"], "Did you mean"),
        (["--figure", "fig.pdf", "--of", "unlearning"], "There are no unlearning runs here."),
        (["--figure", "fig.pdf", "--of", "probe"], 'unknown kind "probe"'),
        (["--figure", "fig.pdf", "--log-x"], "log_x: corruption ratio has the value 0 (MLP), which a logarithmic axis"),
        (["--table", "nowhere/t.tex"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_written_is_explained(store: str, tmp_path: Path, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("export", "tiny", *arguments, "--tracking-uri", store, code=2)
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_experiment_is_explained(store: str) -> None:
    result = invoke("export", "tinny", "--table", "t.csv", "--tracking-uri", store, code=2)
    assert 'Did you mean "tiny"' in result.stderr
