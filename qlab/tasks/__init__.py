"""Tasks: one file per problem."""

from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.digits import Digits
from qlab.tasks.mnist import KMNIST, MNIST, FashionMNIST
from qlab.tasks.preprocessing import Preprocessing
from qlab.tasks.xxz import XXZ

__all__ = ["KMNIST", "MNIST", "XXZ", "Dataset", "Digits", "FashionMNIST", "Preprocessing", "Split", "Task"]
