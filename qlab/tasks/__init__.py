"""Binary classification problems: one file per task."""

from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.xxz import XXZ

__all__ = ["XXZ", "Dataset", "Split", "Task"]
