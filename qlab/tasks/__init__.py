"""Tasks: one file per problem."""

from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.digits import Digits
from qlab.tasks.mnist import KMNIST, MNIST, FashionMNIST
from qlab.tasks.preprocessing import Preprocessing
from qlab.tasks.sklearn_data import Sklearn
from qlab.tasks.table import Table
from qlab.tasks.transverse_ising import TransverseIsing
from qlab.tasks.xxz import XXZ

__all__ = [
    "KMNIST",
    "MNIST",
    "XXZ",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "Preprocessing",
    "Sklearn",
    "Split",
    "Table",
    "Task",
    "TransverseIsing",
]
