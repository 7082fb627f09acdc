"""Checkpoints: a trained model in one safetensors file, with what it takes to build it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from qlab.circuits.blocks import Block
from qlab.errors import DataError
from qlab.models.base import Model
from qlab.models.features import Features
from qlab.registry import find, restored
from qlab.tasks.preprocessing import Preprocessing

_ACTIVE, _CORE = "features.active", "features.core"
_PREPROCESSING = "features.preprocessing."
_FORMAT = 1


def save(path: Path, model: Model, state: Mapping[str, Tensor], type_name: str) -> None:
    """Writes a checkpoint.

    Args:
        path: the file.
        model: see :func:`content_of`.
        state: see there.
        type_name: see there.
    """
    path.write_bytes(content_of(model, state, type_name))


def content_of(model: Model, state: Mapping[str, Tensor], type_name: str) -> bytes:
    """What is in the file of a checkpoint.

    Args:
        model: a built model; its own parameters are not written.
        state: the parameters and buffers to write.
        type_name: how experiment files name the model's class.
    """
    features = model.features
    if features is None:
        raise DataError("A checkpoint is made of a built model; this one has no features yet.")
    metadata = {
        "format": _FORMAT,
        "model": {"type": type_name, **model.config()},
        "features": {"dimension": features.dimension, "is_complex": features.is_complex},
    }
    if features.block is not None:
        metadata["block"] = {"length": features.block.length, "sites": list(features.block.sites)}
    masks = {_ACTIVE: features.active} | ({} if features.core is None else {_CORE: features.core})
    fitted: dict[str, Tensor] = {}
    if features.preprocessing is not None:
        metadata["preprocessing"] = features.preprocessing.described()
        fitted = {f"{_PREPROCESSING}{name}": part for name, part in features.preprocessing.tensors().items()}
    tensors = {name: tensor.contiguous() for name, tensor in {**state, **masks, **fitted}.items()}
    return bytes(safetensors.torch.save(tensors, {"qlab": json.dumps(metadata)}))


def load(path: Path, folder: Path | None = None, *, imports: bool = True) -> Model:
    """The model in a checkpoint, built, with its trained parameters, on the CPU.

    Args:
        path: a file that :func:`save` wrote.
        folder: where ``module:Class`` names look for files.
        imports: whether such names are followed, see :func:`qlab.registry.find`.

    Raises:
        DataError: not a checkpoint of this version, or one that does not fit its own description.
        ConfigError: its model class is not to be found.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            described: Any = json.loads((file.metadata() or {})["qlab"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if described["format"] != _FORMAT:
            raise DataError(f"{path} is a checkpoint of format {described['format']}; this qlab reads {_FORMAT}.")
        fields = dict(described["model"])
        cls = find("model", fields.pop("type"), folder, imports=imports)
        core = tensors.pop(_CORE, None)
        fitted = {
            name.removeprefix(_PREPROCESSING): tensors.pop(name)
            for name in list(tensors)
            if name.startswith(_PREPROCESSING)
        }
        features = Features(
            **described["features"],
            active=tensors.pop(_ACTIVE).to(torch.bool),
            core=None if core is None else core.to(torch.bool),
            preprocessing=(
                Preprocessing.restored(described["preprocessing"], fitted) if "preprocessing" in described else None
            ),
            block=_block(described["block"]) if "block" in described else None,
        )
        model: Model = cls(**restored(cls, fields, folder if imports else None)).build(features)
        model.load_state_dict(tensors)
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, DataError) or type(error).__module__.startswith("qlab"):
            raise
        raise DataError(f"{path} is not a checkpoint that this qlab can read: {error}") from error
    return model


def _block(described: Mapping[str, Any]) -> Block:
    return Block(int(described["length"]), tuple(map(int, described["sites"])))


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors by name, such as a training trajectory."""
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads what :func:`save_tensors` wrote.

    Raises:
        DataError: not a readable file of tensors.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{path} is not a file of tensors that this qlab can read: {error}") from error
