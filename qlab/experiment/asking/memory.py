"""The memory that models trained together may take: as given, or a share of what the machine has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from qlab.errors import ConfigError
from qlab.fields import show

SHARE = 0.7
"""The share of the available memory that models may take by default: estimates are rough, and other programs run."""

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_LARGEST = 1e15
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")


def parse_size(text: str) -> int:
    """Bytes from a size such as "500MB" or "4GiB".

    Raises:
        ConfigError: not a size.
    """
    found = _SIZE.fullmatch(text)
    by_lower = {unit.lower(): scale for unit, scale in _UNITS.items()}
    if found is None or found[2].lower() not in by_lower or not 0.0 < float(found[1]) < _LARGEST:
        raise ConfigError(
            f"memory: got {show(text)}, accepts a number above 0 with a unit of {', '.join(_UNITS)}, such as "
            '"500MB" or "4GiB".'
        )
    return int(float(found[1]) * by_lower[found[2].lower()])


def budget(text: str | None, device: torch.device) -> int:
    """Bytes that models trained together may take.

    Args:
        text: a size; None for :data:`SHARE` of what is available.
        device: where they train.
    """
    if text is not None:
        return parse_size(text)
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[0])
    return int(SHARE * available())


def available(root: Path = Path("/")) -> int:
    """Bytes this process may still take: what the machine has available, or its control group leaves, if that is less.

    Args:
        root: where the control groups' ``proc`` and ``sys`` are mounted.
    """
    # psutil sees the machine, not the limits of a container.
    return max(0, min([int(psutil.virtual_memory().available), *_control_groups(root)]))


def _control_groups(root: Path) -> Iterator[int]:
    """What each control group above this process leaves, version 1 and 2: a parent's limit holds for its children."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mount, limit, usage = root / "sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            usage = "memory.usage_in_bytes"
        else:
            continue
        here = mount / path.lstrip("/")
        # A container may see its own group at the mount point, whatever the path says.
        folders = {folder: None for folder in (here, *here.parents) if folder == mount or mount in folder.parents}
        for folder in folders:
            left = _left(folder / limit, folder / usage, folder / "memory.stat")
            if left is not None:
                yield left


def _left(limit: Path, usage: Path, stat: Path) -> int | None:
    """A limit minus what is used; pages of files that can be dropped are not counted. None without a limit."""
    try:
        most, used = int(limit.read_text()), int(usage.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None
    try:
        cached = re.findall(r"^(?:total_)?inactive_file (\d+)", stat.read_text(), re.MULTILINE)
    except OSError:
        cached = []
    return most - used + max([0, *map(int, cached)])
