"""Choosing before reporting: the stages of an experiment with a selection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qlab.errors import DataError
from qlab.experiment.asking.experiment import Experiment, compared
from qlab.experiment.asking.selection import Group, Selection
from qlab.experiment.asking.space import SearchTable
from qlab.experiment.asking.trial import Trial, Unlearning
from qlab.experiment.asking.values import with_values
from qlab.experiment.jobs.materials import Materials
from qlab.experiment.planning.choosing import Choice, Scored, Scores, choose, reported
from qlab.experiment.planning.searching import check_installed, proposals
from qlab.experiment.recording.failures import UNCHOSEN
from qlab.experiment.recording.recorder import Recorder
from qlab.experiment.recording.selections import is_written, supersede, write_selection


def check_reportable(selection: Selection, trials: Iterable[Trial], materials: Materials) -> None:
    """Makes sure that what is chosen can be reported.

    Args:
        selection: what is chosen.
        trials: that are reported.
        materials: their data.

    Raises:
        DataError: a task has no test split.
        MissingExtraError: what proposes configurations is not installed.
    """
    if isinstance(selection.table, SearchTable):
        check_installed()
    if selection.table.report == "validation":
        return
    for trial in {trial.names["task"]: trial for trial in trials}.values():
        if materials.dataset(trial.task).test is None:
            raise DataError(
                f"select: {trial.names['task']} has no test split, so that what is chosen on validation rows could "
                "not be reported on rows that chose nothing; take a task with a test split, or report the clean "
                'validation rows: report = "validation".'
            )


class Choosing:
    """First the candidates, then what is chosen among them.

    Args:
        recorder: of the experiment.
        experiment: as it is asked for.

    Attributes:
        choices: for each group, when all is chosen.
        is_over: whether the last stage has begun.
    """

    def __init__(self, recorder: Recorder, experiment: Experiment) -> None:
        assert experiment.selection is not None
        self._recorder = recorder
        self._experiment = experiment
        self._selection: Selection = experiment.selection
        self._options = {group.label: list(group.options) for group in self._selection.groups}
        self._scores: Scores | None = None
        self.choices: Sequence[Choice] = ()
        self.is_over = False

    def check(self, materials: Materials) -> None:
        """See :func:`check_reportable`."""
        check_reportable(self._selection, self._experiment.trials, materials)

    def stage(self) -> Experiment:
        """What is compared first: all of it, or the first of a search that are not known yet."""
        recorder = self._recorder
        with recorder.tracking():
            if (found := recorder.store.find_experiment(self._experiment.name)) is not None:
                self._look(found)
        while self._extend(attempted=False):
            pass
        return compared(self._experiment, self.candidates)

    def next(self, parent: str) -> Experiment:
        """What is compared next; or what is reported, when all is compared: the choices are then written."""
        recorder = self._recorder
        with recorder.tracking():
            self._look(recorder.experiment_id)
        if self._extend(attempted=True):
            while self._extend(attempted=False):
                pass
            return compared(self._experiment, self.candidates)
        with recorder.tracking():
            self.choices = [choose(self._selection, group, self._scored(group)) for group in self._selection.groups]
            recorder.experiment = reported(self._experiment, self.choices)
            for choice in self.choices:
                if choice.option is None:
                    recorder.failed[f"{UNCHOSEN}{choice.group.label}"] = (choice.group.label, choice.why)
            recorder.confirm()
            if recorder.lock.held or self._has_changed(parent):
                write_selection(recorder, parent, self.choices, self.candidates)
                supersede(recorder, self._possible())
        self.is_over = True
        return recorder.experiment

    def _look(self, experiment_id: str) -> None:
        self._scores = Scores(self._selection, self._recorder.store, experiment_id)

    def _scored(self, group: Group) -> list[Scored]:
        if self._scores is None:
            return []
        return [self._scores.scored(group, option) for option in self._options[group.label]]

    def _extend(self, *, attempted: bool) -> bool:
        """Adds what is compared next; False if there is nothing, or what is compared has to be known first.

        Args:
            attempted: whether all that was compared so far has been tried now, so that what has no score failed.
        """
        begun = False
        for group in self._selection.groups:
            options, table = self._options[group.label], self._selection.table
            if not group.space or not isinstance(table, SearchTable) or len(options) >= table.configurations:
                continue
            known = self._scored(group)
            if not attempted and (len(known) < len(options) or any(item.is_open for item in known)):
                continue
            higher = self._selection.higher_is_better
            options += proposals(table, group.space, group.label, known, higher_is_better=higher)
            begun = True
        return begun

    @property
    def candidates(self) -> list[Trial | Unlearning]:
        """The trials, or unlearning runs, that are compared, so far."""
        seeds = self._selection.seeds
        found = (
            trial
            for group in self._selection.groups
            for option in self._options[group.label]
            for trial in group.candidates(option, seeds)
        )
        return list({trial.key: trial for trial in found}.values())

    def _has_changed(self, parent: str) -> bool:
        """Whether the experiment's run says something else."""
        return not is_written(self._recorder, parent, self.choices)

    def _possible(self) -> set[str]:
        """The keys of all that could be reported."""
        return {
            with_values(template, option).key
            for group in self._selection.groups
            for template in group.templates
            for option in self._options[group.label]
        }
