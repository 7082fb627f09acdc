"""Files of tensors, stacked: taken out as they were put in, and open to any reader of safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from qlab.tracking.grouped.stack import NotStackable, Place, Stack, Stacked

PATH = "checkpoint/model.safetensors"


@settings(deadline=None, max_examples=25)
@given(
    values=st.lists(st.lists(st.floats(allow_nan=True, width=32), min_size=3, max_size=3), min_size=1, max_size=4),
    shared=st.booleans(),
)
def test_files_are_the_same_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[float]], shared: bool
) -> None:
    mask = torch.tensor([True, False])
    files = [
        save(
            {"weight": torch.tensor(row), "mask": mask if shared else mask ^ bool(number), "none": torch.empty(0, 2)},
            {"qlab": '{"format": 1, "ä": 2}'},
        )
        for number, row in enumerate(values)
    ]
    stack = Stack()
    places = [stack.add(PATH, content) for content in files]
    file = tmp_path_factory.mktemp("stack") / "stack.safetensors"
    stack.save(file)
    again = Stacked(file)
    assert [again.content(place) for place in places] == files


def test_any_reader_opens_the_stacked_file_and_equal_tensors_are_kept_once(tmp_path: Path) -> None:
    stack = Stack()
    for number in range(3):
        stack.add(PATH, save({"weight": torch.full((2, 2), float(number)), "mask": torch.ones(1000)}))
    stack.save(tmp_path / "x.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(found["model.0/weight"], np.arange(3.0)[:, None, None] * np.ones((3, 2, 2)))
    assert found["model.0/mask"].shape == (1000,)


def test_files_of_other_forms_stand_beside_each_other(tmp_path: Path) -> None:
    files = [save({"a": torch.ones(2)}), save({"a": torch.ones(3)}), save({"b": torch.ones(2, dtype=torch.int8)})]
    stack = Stack()
    places = [stack.add(PATH, content) for content in files]
    assert places == [Place(0, 0), Place(1, 0), Place(2, 0)]
    stack.save(tmp_path / "x.safetensors")
    assert [Stacked(tmp_path / "x.safetensors").content(place) for place in places] == files
    assert safetensors.numpy.load_file(tmp_path / "x.safetensors")["model.1/a"].shape == (1, 3)


@pytest.mark.parametrize("content", [b"", b"\x02\x00\x00\x00\x00\x00\x00\x00[]", b"no tensors at all, but long enough"])
def test_what_is_no_file_of_tensors_is_not_taken(content: bytes) -> None:
    with pytest.raises(NotStackable):
        Stack().add(PATH, content)
