"""PyTorch devices to train on."""

from __future__ import annotations

import torch

from qlab.errors import ConfigError


def parse_device(name: str) -> torch.device:
    """The PyTorch device of that name, whether or not it is here.

    Raises:
        ConfigError: not the name of a device that models train on.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f'device: got "{name}", accepts "cpu", "cuda" or "cuda:N".')
    return device


def training_device(name: str) -> torch.device:
    """The PyTorch device of that name.

    Raises:
        ConfigError: no such device here.
    """
    device = parse_device(name)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise ConfigError(
            f'device: got "{name}", but PyTorch sees {count} CUDA devices here (PyTorch {torch.__version__}); '
            'use "cpu", or install a CUDA build of PyTorch on a machine with a GPU.'
        )
    return device
