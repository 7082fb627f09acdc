"""Which points a probe can name, and which trials it applies to."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator

from qlab.errors import ConfigError, unknown
from qlab.experiment.asking.trial import CLEAN, INITIAL, ORACLE, ProbeRun, Trial, Unlearning
from qlab.landscape import LandscapeProbe
from qlab.landscape.base import LAST
from qlab.landscape.landscape import TRAINED


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks:
    """The points of an experiment's landscapes.

    Args:
        trials: of the file.
        unlearnings: of the file.
    """

    trials: tuple[Trial, ...]
    unlearnings: tuple[Unlearning, ...]

    def probe_runs(self, name: str, probe: LandscapeProbe) -> Iterator[ProbeRun]:
        """The runs of one probe.

        A probe that compares with the clean twin, an oracle or an unlearned model, or looks at the forget set, applies
        only to trials with a ratio above 0; the others are what it compares with.

        Args:
            name: how the experiment file names the probe.
            probe: the probe.

        Raises:
            ConfigError: it needs a point that does not exist, or there is no trial it applies to.
        """
        points = probe.needed_points
        for point in points:
            if point not in self._names:
                raise ConfigError(unknown("point", point, [TRAINED, *self._names]))
        self._check_step(name, probe)
        polluted_only = (
            probe.needs().reference or probe.samples.startswith("forget") or any(point != INITIAL for point in points)
        )
        through = self.methods_of(probe)
        suited = [trial for trial in self.trials if not probe.unsuited(trial.network)]
        if self.trials and not suited:
            raise ConfigError(f"{name}: {probe.unsuited(self.trials[0].network)}.")
        found = [trial for trial in suited if trial.corruption.ratio > 0.0 or not polluted_only]
        found = [trial for trial in found if self._methods.get(trial.key, {}).keys() >= through]
        if not found:
            raise ConfigError(f"this {name} is for models trained on corrupted data; give corruption a ratio above 0.")
        for trial in found:
            if ORACLE in points and trial.corruption.ratio == 1.0:
                raise ConfigError(f"{trial.label} has no oracle: every row is corrupted.")
            own = self._methods.get(trial.key, {})
            yield ProbeRun(trial, name, probe, {point: own[point] for point in points if point in own})

    def _check_step(self, name: str, probe: LandscapeProbe) -> None:
        """Whether the methods that a probe looks at take as many steps as it says."""
        if probe.step == LAST:
            return
        methods = [own[probe.at] for own in self._methods.values() if probe.at in own]
        if not methods:
            raise ConfigError(
                f'{name}: step = {probe.step}, but at = "{probe.at}" is not an unlearner of the file; name one, such '
                'as at = "Finetune", or leave step out.'
            )
        # What a budget pays for is known once the method has been applied.
        most = min((item.unlearner.steps for item in methods if not item.unlearner.budget), default=probe.step)
        if probe.step > most:
            raise ConfigError(
                f"{name}: got step = {probe.step}, accepts 0 to {most}, as {probe.at} takes {most} steps; or -1 for "
                "the last."
            )

    def methods_of(self, probe: LandscapeProbe) -> set[str]:
        """The points that a probe needs which are results of methods: trials without them are left out."""
        return set(probe.needed_points) - {INITIAL, CLEAN, ORACLE}

    @functools.cached_property
    def _names(self) -> list[str]:
        methods = dict.fromkeys(name for own in self._methods.values() for name in own)
        return [INITIAL, CLEAN, ORACLE, *methods]

    @functools.cached_property
    def _methods(self) -> dict[str, dict[str, Unlearning]]:
        """For each trial, by key, its unlearnings by name: the method's, numbered where several share it."""
        by_trial: dict[str, list[Unlearning]] = {}
        for item in self.unlearnings:
            if item.repeat:  # the first stands for all
                continue
            by_trial.setdefault(item.teacher.key, []).append(item)
        named: dict[str, dict[str, Unlearning]] = {}
        for key, items in by_trial.items():
            counts = collections.Counter(item.name for item in items)
            numbers: collections.Counter[str] = collections.Counter()
            for item in items:
                numbers[item.name] += 1
                name = item.name if counts[item.name] == 1 else f"{item.name}[{numbers[item.name]}]"
                named.setdefault(key, {})[name] = item
        return named
