"""Tables as files: rounded as physicists do, ready for LaTeX, with what is left out named."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

import qlab
from qlab.errors import ConfigError
from qlab.reading.table_files import escaped, latex, markdown
from qlab.views.numerals import rounded


@pytest.mark.parametrize(
    ("mean", "deviation", "short", "plain"),
    [
        (0.95123, 0.0214, "0.95(2)", "0.95 ± 0.02"),
        (0.95123, 0.0134, "0.951(13)", "0.951 ± 0.013"),
        (0.95123, 0.0962, "0.95(10)", "0.95 ± 0.10"),
        (0.95123, 0.0199, "0.95(2)", "0.95 ± 0.02"),
        (12.3, 4.1, "12(4)", "12 ± 4"),
        (1234.5, 87.0, "1234(87)", "1234 ± 87"),
        (1.0, 0.0, "1.000(0)", "1.000 ± 0.000"),
        (0.5, np.nan, "0.500", "0.500"),
        (-0.25, 0.03, "-0.25(3)", "-0.25 ± 0.03"),
        (2.5e-7, 3e-8, "2.5(3)e-7", "(2.5 ± 0.3) x 10^-7"),
        (np.nan, 0.1, "", "-"),
        (0.0, 0.0, "0.000(0)", "0.000 ± 0.000"),
    ],
)
def test_numbers_have_as_many_digits_as_their_deviation(mean, deviation, short, plain):
    assert rounded(mean, deviation).short == short
    assert rounded(mean, deviation).plain == plain


@given(st.floats(-1e9, 1e9), st.floats(1e-12, 1e9))
def test_what_is_written_is_the_number_to_its_deviation(mean, deviation):
    found = rounded(mean, deviation)
    power = 10.0**found.power
    assert abs(float(found.mean) * power - mean) <= 0.6 * deviation + 1e-9 * abs(mean)
    assert float(found.deviation) * power == pytest.approx(deviation, rel=0.35)


@given(st.text())
def test_text_for_tex_has_no_bare_special_characters(text):
    commands = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textquotedbl|ldots)\{\}"
    bare = re.sub(commands, "", escaped(text)).replace(r"\ensuremath{\pm}", "")
    assert not re.search(r"(?<!\\)[&%$#_{}~^\\]", re.sub(r"\\[&%$#_{}]", "", bare))


def test_the_latex_table_is_of_booktabs_and_siunitx(study: qlab.Results, tmp_path: Path) -> None:
    text = study.save_table(tmp_path / "t.tex", by="model").read_text()
    head, body = text.split("\\midrule")
    assert re.search(r"\\begin\{tabular\}\{lllS\[table-format=\d\.\d+\(\d\)\]S\[table-format=\d\.\d+\(\d\)\]l\}", head)
    assert "mean and sample standard deviation (n - 1) over seeds; 12 of 12 runs kept" in head
    assert "{training accuracy} & {validation accuracy} & kept" in head
    rows = body.split("\\bottomrule")[0].strip().splitlines()
    table = study.table(by="model")
    assert len(rows) == len(table) == 4
    for line, row in zip(rows, table.to_dict("records"), strict=True):
        cells = [cell.strip() for cell in line.removesuffix("\\\\").split("&")]
        assert cells[0] == row["model"]
        assert cells[3] == rounded(row["train_accuracy_mean"], row["train_accuracy_std"]).short
        assert cells[5] == f"{row['kept']} of {row['trials']}"


HOSTILE = pd.DataFrame(
    {
        "model": ["a_b & 50 % \\input{x}", "x|y\nz"],
        "ratio": [0.1, np.nan],
        "loss_mean": [0.5, np.nan],
        "loss_std": [0.01, np.nan],
        "kept": [2, 0],
        "runs": [2, 3],
        "left_out": ["", "diverged, failed"],
    }
)


def test_names_and_reasons_are_written_as_text() -> None:
    text = latex(HOSTILE, "my_study #1")
    assert r"a\_b \& 50 \% \textbackslash{}input\{x\}" in text
    assert r"my\_study \#1" in text
    assert r"\label{tab:my-study-1}" in text
    assert "2 of 5 runs kept; left out: diverged, failed." in text
    assert "{--}" in text
    assert "{loss}" in text
    lines = markdown(HOSTILE, "study").splitlines()
    assert lines[3].startswith("| x\\|y z | - | - | 0 of 3 | diverged, failed |")
    assert "2 of 5 runs kept" in lines[-1]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_the_latex_table_compiles(study: qlab.Results, tmp_path: Path) -> None:
    study.save_table(tmp_path / "t.tex")
    (tmp_path / "h.tex").write_text(latex(HOSTILE, "a_b"))
    packages = r"\usepackage{booktabs}\usepackage{siunitx}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}\input{{t}}\input{{h}}\end{{document}}"
    (tmp_path / "d.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_csv_has_the_numbers_themselves(study: qlab.Results, tmp_path: Path) -> None:
    read = pd.read_csv(io.StringIO(study.save_table(tmp_path / "t.csv").read_text()), keep_default_na=False)
    pd.testing.assert_frame_equal(read, study.table(), check_dtype=False)


@pytest.mark.parametrize("of", ["trials", "unlearning", "probes"])
def test_every_kind_is_written_and_counted(study: qlab.Results, tmp_path: Path, of: str) -> None:
    for suffix in ("tex", "md", "csv"):
        text = study.save_table(tmp_path / f"t.{suffix}", of=of).read_text()
        assert suffix == "csv" or "12 of 12 runs kept" in text


@pytest.mark.parametrize(
    ("path", "message"),
    [("t.xlsx", "accepts a file that ends in .tex, .csv, .md"), ("nowhere/t.tex", "there is no folder")],
)
def test_another_kind_of_file_or_a_missing_folder_is_refused(study, tmp_path, path, message):
    with pytest.raises(ConfigError, match=message):
        study.save_table(tmp_path / path)
