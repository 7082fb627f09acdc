"""Any table for LaTeX: what is special is escaped, numbers are as they are, means and deviations as qlab's own."""

from __future__ import annotations

import pandas as pd

from qlab.reading.latex import any_table


def test_what_is_special_to_latex_is_escaped() -> None:
    text = any_table(pd.DataFrame({"a_b": ["50 % & more", "#1_{x}^2~\\input{/etc/passwd}"], "n": [1, 2]}), "A & B_1")
    assert r"50 \% \& more & 1 \\" in text
    assert r"\#1\_\{x\}\textasciicircum{}2\textasciitilde{}\textbackslash{}input\{/etc/passwd\} & 2 \\" in text
    assert r"\caption{A \& B\_1}" in text
    assert r"\label{tab:a-b-1}" in text
    assert r"\begin{tabular}{lr}" in text
    assert r"a b & n \\" in text


def test_numbers_are_written_as_people_do() -> None:
    table = pd.DataFrame({"x": [0.5, -1.25, 1.5e-7, float("nan"), float("inf")], "name": ["a", None, "c", "d", "e"]})
    rows = [line for line in any_table(table, "t").splitlines() if line.endswith(r"\\")][1:]
    assert rows == [
        r"0.5 & a \\",
        r"$-1.25$ & -- \\",
        r"$1.5\times 10^{-7}$ & c \\",
        r"-- & d \\",
        r"$\infty$ & e \\",
    ]


def test_means_and_deviations_are_written_as_in_qlabs_own_tables() -> None:
    own = {"model": ["MLP"], "accuracy_mean": [0.9523], "accuracy_std": [0.013], "kept": [5], "runs": [5]}
    text = any_table(pd.DataFrame({**own, "left_out": [""]}), "study")
    assert "0.952(13)" in text
    assert "siunitx" in text
