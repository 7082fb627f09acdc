"""Recording a selection in the experiment's run: what was chosen, and from what."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from qlab.experiment.asking.trial import Trial, Unlearning, content_hash
from qlab.experiment.planning.choosing import Choice, marks, table_of
from qlab.experiment.recording.recorder import Recorder
from qlab.tracking import names
from qlab.tracking.query import Query

_TAG_CHARACTERS = 4500


def write_selection(
    recorder: Recorder, parent: str, choices: Sequence[Choice], candidates: Iterable[Trial | Unlearning]
) -> None:
    """Writes ``selection.csv``, the configurations of what was compared and chosen, and a tag with the choices."""
    with tempfile.TemporaryDirectory() as folder:
        table, configs = Path(folder) / Path(names.SELECTION_TABLE).name, Path(folder) / names.CONFIGS
        table_of(choices).to_csv(table, index=False)
        recorder.store.log_file(parent, table, str(Path(names.SELECTION_TABLE).parent))
        every = {item.key: item.config for item in (*candidates, *recorder.experiment.items)}
        configs.write_text(json.dumps(every, indent=1), encoding="utf-8")
        recorder.store.log_file(parent, configs)
    recorder.store.set_tags(parent, {names.CHOICES: _text(choices)})


def is_written(recorder: Recorder, parent: str, choices: Sequence[Choice]) -> bool:
    """Whether the experiment's run has these choices."""
    return recorder.store.get_run(parent).data.tags.get(names.CHOICES) == _text(choices)


def _text(choices: Sequence[Choice]) -> str:
    text = json.dumps([marks(choice) for choice in choices])
    if len(text) <= _TAG_CHARACTERS:
        return text
    return json.dumps({"choices": len(choices), "in": names.SELECTION_TABLE, "digest": content_hash(text)})


def supersede(recorder: Recorder, keys: Iterable[str]) -> None:
    """Takes what was reported of an earlier choice of the same selection out of the results, or puts it back.

    A candidate that failed, and has not since, may be chosen; what was reported before is then of another
    configuration, and must not be averaged with what is.

    Args:
        recorder: of the experiment, which has what is reported now.
        keys: what could have been reported.
    """
    now = {item.key for item in (*recorder.experiment.trials, *recorder.experiment.unlearnings)}
    others = set(keys) - now
    for kind, wanted in ((names.TRIAL, others), (names.UNLEARNING, others), (names.SUPERSEDED, now)):
        for run in list(recorder.store.search([recorder.experiment_id], Query({names.KIND: kind}))):
            if run.data.tags.get(names.TRIAL_KEY) not in wanted:
                continue
            # A method's run is one of a trained model.
            own = names.UNLEARNING if names.TEACHER in run.data.tags else names.TRIAL
            becomes = own if kind == names.SUPERSEDED else names.SUPERSEDED
            recorder.store.set_tags(str(run.info.run_id), {names.KIND: becomes})
