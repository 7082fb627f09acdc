"""What jobs of one process share: loaded data, what trials are trained on, and what is prepared from them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

import torch

from qlab.corruptions import Knowledge
from qlab.errors import DataError
from qlab.experiment.asking.trial import Trial, content_hash
from qlab.models import Features, Model
from qlab.models.probe import check_model
from qlab.models.rows import prepare_features
from qlab.own_code import is_own
from qlab.tasks import Dataset, Split, Task
from qlab.tasks.base import digest, load_data
from qlab.tasks.files import digest_of
from qlab.training import Member

_MEMBER_BYTES = 2**28
"""Training splits are kept up to so much in all: a corruption that changes features makes a copy for each trial."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Setting:
    """How jobs are run, which their results do not depend on but for rounding.

    Args:
        device: where models train.
        evaluate_every: epochs from one evaluation to the next.
        checkpoint_seconds: from one state of a training to the next, at least.
    """

    device: str
    evaluate_every: int = 1
    checkpoint_seconds: float = 60.0


class Materials:
    """Data that are loaded once, and training splits that are corrupted once.

    Args:
        setting: how jobs are run.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.device = torch.device(setting.device)
        self._datasets: dict[str, Dataset] = {}
        self._members: OrderedDict[str, Member] = OrderedDict()
        self._member_bytes = 0
        self._checked: set[str] = set()
        self._digests: dict[int, str] = {}
        self._latest: dict[str, tuple[Hashable, Any]] = {}

    def dataset(self, task: Task) -> Dataset:
        """The data of a task, loaded once."""
        key = _key(task)
        if key not in self._datasets:
            self._datasets[key] = self.load(task)
        return self._datasets[key]

    def test(self, task: Task) -> Split:
        """The test split of a task.

        Raises:
            DataError: it has none.
        """
        found = self.dataset(task).test
        if found is None:
            raise DataError(
                f"{type(task).__name__} has no test split; give its load() a third split: Dataset(train, validation, "
                "test), or take another task."
            )
        return found

    def give(self, task: Task, dataset: Callable[[], Dataset]) -> None:
        """Takes the data of a task that another process has loaded, unless they are here."""
        if _key(task) not in self._datasets:
            self._datasets[_key(task)] = dataset()

    def load(self, task: Task) -> Dataset:
        """The data of a task, loaded anew.

        Raises:
            QlabError: the task does not load, or its files were edited since the experiment was read.
        """
        found = load_data(task)
        if task.files_digest is not None and digest_of(task) != task.files_digest:
            name = type(task).__name__
            raise DataError(f"The files of the task {name} were edited while the experiment was started; run it again.")
        return found

    def member(self, trial: Trial) -> Member:
        """What a trial is trained on."""
        if (found := self._members.get(trial.key)) is not None:
            self._members.move_to_end(trial.key)
            return found
        made = Member.of(trial.task, self.dataset(trial.task), trial.corruption, trial.seed)
        self._members[trial.key] = made
        self._member_bytes += self._own_bytes(trial, made)
        while self._member_bytes > _MEMBER_BYTES and len(self._members) > 1:
            _, dropped = self._members.popitem(last=False)
            self._member_bytes -= self._own_bytes(trial, dropped)
        return made

    def told(self, trial: Trial, knowledge: Knowledge) -> torch.Tensor:
        """Which rows of a trial methods are told to forget, ``[N]``, bool.

        Raises:
            DataError: none or all of them, or more false alarms than there are clean rows.
        """
        corrupted = self.member(trial).corrupted
        if knowledge.is_complete:
            return corrupted.mask
        task = trial.task.with_data(self.dataset(trial.task))
        with told_of(trial):
            return knowledge.rows(corrupted.mask, corrupted.split, task, trial.seed)

    def build(self, trial: Trial) -> Model:
        """A trial's model, built, after a check that it takes the trial's data."""
        model = trial.network.build(Features.of(self.dataset(trial.task), trial.corruption))
        x = self.member(trial).corrupted.split.x
        model.checked = trial.ensemble_key in self._checked
        check_model(model, x)
        self._checked.add(trial.ensemble_key)
        prepare_features(model, x[:1])
        return model

    def latest(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """What was made last of a kind, if it was for the same key; else it is made. One of each kind is kept."""
        known = self._latest.get(kind)
        if known is None or known[0] != key:
            self._latest.pop(kind, None)  # before the next one takes as much memory
            known = self._latest[kind] = (key, make())
        found: T = known[1]
        return found

    def data_digest(self, task: Task) -> str | None:
        """A digest of a task's data, before any corruption, which is the same wherever they are loaded.

        Of qlab's own tasks that read pictures: those of the training and the validation pictures as they are read, with
        a dash. None for those that are computed: the last digits differ between machines.
        """
        dataset = self.dataset(task)
        if not is_own(type(task)):
            return None if dataset.origin is None else "-".join(dataset.origin)
        return content_hash([self.digest(split) for split in dataset.splits.values()])

    def _own_bytes(self, trial: Trial, member: Member) -> int:
        split = member.corrupted.split
        own = isinstance(split.x, torch.Tensor) and split.x is not self.dataset(trial.task).train.x
        return (split.x.nbytes if own and isinstance(split.x, torch.Tensor) else 0) + split.y.nbytes

    def digest(self, split: Split) -> str:
        """A split's digest; features of loaded data sets, which trials share, are hashed once."""
        shared = any(split.x is part.x for data in self._datasets.values() for part in data.splits.values())
        features = self._digests.get(id(split.x)) if shared else None
        if features is None:
            features = digest(split.x)
            if shared:
                self._digests[id(split.x)] = features
        return content_hash([features, digest(split.y)])


@contextlib.contextmanager
def told_of(trial: Trial) -> Iterator[None]:
    """Has what is refused of the rows that methods are told name the table and the trial."""
    try:
        yield
    except DataError as error:
        raise DataError(f"corruption.{error} [{trial.label}]") from None


def _key(task: Task) -> str:
    # Classes that a function makes share a name; one object tells them apart as long as the experiment holds it.
    return json.dumps([id(type(task)), task.config()], sort_keys=True)
