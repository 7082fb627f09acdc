"""Errors of users' code: what they say, and where they come from."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from torch import nn

from qlab import LabelFlip, Unlearner, own_code
from qlab.errors import ConfigError, DataError
from qlab.tasks import Split


def caught(call):
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def silent():
    assert 1 == 2


def test_a_message_has_type_text_file_line_and_function():
    def boom():
        raise ValueError("no")

    assert re.fullmatch(r"ValueError: no \[in test_own_code\.py, line \d+, in boom\]", own_code.described(caught(boom)))


def test_the_innermost_frame_of_a_user_counts_and_not_the_library():
    said = own_code.described(caught(lambda: torch.ones(2) @ torch.ones(3)))
    assert "[in test_own_code.py, line " in said.split("\n")[0]


def test_the_layer_is_named_with_its_widths():
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(16, 1)))
    said = own_code.described(caught(lambda: model(torch.ones(2, 3))))
    assert said.endswith("; layer 1.0 (Linear 16 -> 1)]")


def test_a_place_is_in_the_first_500_characters_however_long_an_error_is():
    def boom():
        raise RuntimeError("x" * 2000 + "\nmore")

    said = own_code.described(caught(boom))
    assert "in test_own_code.py, line" in said.split("\n")[0][:500]
    assert said.count("x") >= 2000
    assert said.endswith("\nmore")


def test_an_error_without_words_shows_its_line():
    said = own_code.described(caught(silent))
    assert "assert 1 == 2" in said


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit(0), "SystemExit: the code ends the program itself"),
        (MemoryError(), "MemoryError: there is not enough memory"),
        (KeyError("q"), "KeyError: 'q'"),
    ],
)
def test_what_ends_programs_is_told_truthfully(error, message):
    def boom():
        raise error

    assert own_code.described(caught(boom)).startswith(message)


def test_an_interrupt_is_no_error_of_the_code():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        own_code.calling("it", stop)


def test_errors_of_qlab_keep_their_type_and_say_the_place_once():
    def load():
        return Split(torch.ones(2), torch.ones(2))

    with pytest.raises(DataError, match=r"^A split takes x .*\[in test_own_code\.py, line \d+, in load\]$"):
        own_code.calling("it", lambda: own_code.calling("it", load))


def test_a_lack_of_memory_is_left_to_who_knows_what_needs_it():
    def boom():
        raise MemoryError

    with pytest.raises(MemoryError):
        own_code.calling("it", boom, memory=True)
    with pytest.raises(ConfigError, match="it: MemoryError: there is not enough memory"):
        own_code.calling("it", boom)


def test_cells_of_notebooks_are_called_so():
    code = compile("def boom():\n    raise ValueError('no')\n", "/tmp/ipykernel_17/3141592.py", "exec")
    space = {"__name__": "__main__"}
    exec(code, space)
    assert "[in a notebook cell, line 2, in boom]" in own_code.described(caught(space["boom"]))


def test_classes_of_qlab_have_no_place_and_those_of_users_do():
    assert own_code.method(LabelFlip, "apply") == "LabelFlip.apply"
    assert re.fullmatch(r"Half\.loss \(test_own_code\.py, line \d+\)", own_code.method(Half, "loss"))
    assert sys.modules["qlab"] is not None


class Half(Unlearner):
    """Half of something."""

    def loss(self, student, teacher, data):
        return torch.ones(())
