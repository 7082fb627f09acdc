"""What docs/cost.md says a million trials cost is what its unit costs come to."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "cost.md").read_text(encoding="utf-8")
[CODE] = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def ran(code):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/cost.md", "exec"), {})
    return printed.getvalue().splitlines()


def test_the_tables_are_what_the_unit_costs_come_to():
    lines = ran(CODE)
    assert len(lines) == 8
    assert [line for line in lines if f"\n{line}\n" not in PAGE] == []


def test_other_unit_costs_have_other_tables():
    changed = ran(CODE.replace('"circuit": 0.27', '"circuit": 0.36'))
    assert "| circuit | 100.0 h | 6.2 h | 1.9 h |" in changed
    assert changed[1] not in PAGE


def test_parameters_are_those_of_the_models():
    """Of the circuit and of the networks of the paper; PauliLinear has 4^4 coefficients."""
    counts = dict(re.findall(r'^    "([\w, ]+)": ([\d_]+) \* \d', CODE, flags=re.MULTILINE))
    network = {inputs: inputs * 64 + 64 + 64 * 16 + 16 + 16 + 1 for inputs in (1848, 8192)}
    expected = {"circuit": 4 * (3 * 12 + 11), "MLP": network[1848], "MLP, random features": network[8192]}
    assert {name: int(count) for name, count in counts.items()} == expected | {"PauliLinear": 4**4}
