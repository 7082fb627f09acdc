"""Hostile text in every field that a store or an address can hold, on every page of the explorer: none of it runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import param
import pytest
import safetensors.numpy
from support.experiments import TASK
from support.hostile import PAYLOADS, Fields, Watch
from support.runs import runner

from qlab.experiment.asking import schema
from qlab.explorer.state import PAGES, State
from qlab.landscape.result import ProbeResult
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

STUDY = f"""
name = "study"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
[[model]]
type = "MLP"
hidden = [2]
[[model]]
type = "PennyLaneQNN"
depth = 1
[training]
epochs = 2
[run]
seeds = 1
[[unlearner]]
type = "Finetune"
steps = 2
[[probe]]
type = "HessianProbe"
[[probe]]
type = "SliceProbe"
resolution = 5
"""

NUMERIC = ("corruption.ratio", "seed", "unlearner.steps", "training.epochs")
"""Params that are read as numbers: text in them is another experiment's matter."""

STRUCTURE = (names.KIND, names.TRIAL_KEY, names.TEACHER, names.PARENT, names.CONTENT, names.FOLDER)
"""Tags without which there is nothing to show."""

PARTS = 6
"""Addresses among which the hostile texts are divided: one has no room for all."""

SHOWN = {
    *("experiment", "run name", "param key", "class of a corruption", "class of an unlearner", "broken number"),
    *("configuration", "empty experiment", "filter", "unknown name", "refused value", "missing experiment"),
}
"""Fields whose text must have come to the browser: else the test would test nothing."""


class Study:
    """A store with hostile text in it.

    Args:
        store: an empty one.
    """

    def __init__(self, store: Store) -> None:
        self.store, self.fields = store, Fields()
        runner(store).run(schema.parse(STUDY, source="study.toml"))
        number = store.experiment_id("study")
        self.name = self.fields.text("experiment", count=9)
        self.runs = {run.info.run_id: run.data.tags for run in store.client.search_runs([number])}
        self._results()
        self._files()
        self.broken = self._broken()
        self.damaged = self._damaged()
        self.empty = self.fields.text("empty experiment", count=9)
        store.experiment_id("empty")
        with sqlite3.connect(store.uri.removeprefix("sqlite:///")) as base:
            self._rows(base)
            base.execute("update experiments set name = ? where name = 'study'", [self.name])
            base.execute("update experiments set name = ? where name = 'empty'", [self.empty])
        base.close()

    def of_kind(self, kind: str) -> list[str]:
        return [run for run, tags in self.runs.items() if tags.get(names.KIND) == kind]

    def _results(self) -> None:
        for run in self.of_kind(names.PROBE):
            file = Path(self.store.artifact_place(run)) / names.PROBE_RESULT
            result = ProbeResult.load(file)
            about = _spoiled(dict(result.about), self.fields.text("about of a result", count=20))
            scalars = {**result.scalars, self.fields.text("scalar of a result", count=20): 1.0}
            ProbeResult(scalars, result.arrays, result.view, about, result.probe, result.config).save(file)
        # One that is only a table of numbers.
        ProbeResult(scalars, {}, "", about, self.fields.text("probe"), {}).save(file)

    def _files(self) -> None:
        for run in self.of_kind(names.TRIAL):
            for first in range(0, PAYLOADS, 3):
                name = (
                    self.fields.text("artifact", first, 3).replace("/", "\u2215").encode()[:120].decode(errors="ignore")
                )
                (Path(self.store.artifact_place(run)) / name).write_text("x")

    def _broken(self) -> str:
        """An experiment with text where numbers should be."""
        text = self.fields.text("broken number", count=30)
        number = self.store.experiment_id("broken")
        for kind in (names.TRIAL, names.UNLEARNING, names.PROBE):
            params = dict.fromkeys(("corruption.ratio", "seed", "model.type", "probe.type", "unlearner.type"), text)
            tags = {names.KIND: kind, names.TRIAL_KEY: text, names.PARENT: text, names.ERROR: text, names.HEALTH: text}
            self.store.finish(self.store.create_run(number, text[:200], params=params, tags=tags), "FAILED")
        return "broken"

    def _damaged(self) -> str:
        """An experiment whose configurations and checkpoints name classes that are none."""
        text = self.fields.text("configuration")
        number = self.store.experiment_id("damaged")
        parent = self.store.create_run(number, "damaged", tags={names.KIND: names.EXPERIMENT})
        parts = {"task": {"type": text}, "corruption": {"type": text, "ratio": 0.5}, "model": {"type": text}, "seed": 0}
        file = Path(self.store.artifact_place(parent)) / names.CONFIGS
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"k": parts}))
        params = {"corruption.type": "LabelFlip", "corruption.ratio": "0.5", "seed": "0", "model.type": "MLP"}
        tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: "k", names.PARENT: parent}
        run = self.store.create_run(number, "trial", params={**params, "task.type": "XXZ"}, tags=tags)
        file = Path(self.store.artifact_place(run)) / names.CHECKPOINT
        file.parent.mkdir(parents=True, exist_ok=True)
        described = {"format": 1, "model": {"type": self.fields.text("checkpoint")}, "features": {}}
        safetensors.numpy.save_file({"x": np.zeros(1)}, file, {"qlab": json.dumps(described)})
        for run_id in (run, parent):
            self.store.finish(run_id)
        return "damaged"

    def _rows(self, base: sqlite3.Connection) -> None:
        text = self.fields.text
        for run in self.runs:
            base.execute(
                "update runs set name = ?, user_id = ? where run_uuid = ?", [text("run name"), text("user"), run]
            )
            for (key,) in base.execute("select key from tags where run_uuid = ?", [run]).fetchall():
                if key not in STRUCTURE:
                    base.execute(
                        "update tags set value = ? where run_uuid = ? and key = ?", [text(_tag(key)), run, key]
                    )
            for (key,) in base.execute("select key from params where run_uuid = ?", [run]).fetchall():
                if key not in NUMERIC and key != "probe.type":
                    value = text(_FIELDS.get(key, "param value"))
                    base.execute("update params set value = ? where run_uuid = ? and key = ?", [value, run, key])
        for number, run in enumerate(self.runs):
            tags = {text("tag key"): text("tag value"), names.NOTE: text("tag note"), names.HEALTH: text("tag health")}
            tags |= {names.ERROR: text("tag error"), names.USER: text("tag user")}
            for key, value in tags.items():
                base.execute("insert or replace into tags (key, value, run_uuid) values (?, ?, ?)", [key, value, run])
            param_key = f"model.{text('param key')}"
            row = [param_key, f"{text('param value')} {number}", run]
            base.execute("insert into params (key, value, run_uuid) values (?, ?, ?)", row)
            base.execute(
                "insert into latest_metrics (key, value, timestamp, step, is_nan, run_uuid) values (?, 1, 1, 1, 0, ?)",
                [text("metric"), run],
            )
        base.execute(
            "update datasets set name = ?, dataset_source = ?", [text("data set"), text("source of a data set")]
        )


_FIELDS = {
    "model.type": "class of a model",
    "corruption.type": "class of a corruption",
    "task.type": "class of a task",
    "unlearner.type": "class of an unlearner",
    "probe.label": "label of a probe",
}


def _tag(key: str) -> str:
    return {names.HEALTH: "tag health", names.NOTE: "tag note", names.USER: "tag user"}.get(key, "tag value")


def _spoiled(value: Any, text: str) -> Any:
    """A JSON value with the text instead of every text in it."""
    if isinstance(value, dict):
        return {key: _spoiled(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_spoiled(item, text) for item in value]
    return text if isinstance(value, str) else value


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("<img src=x onerror=top.ring('store')> & 'more' $x$")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Study(Store(f"sqlite:///{folder}/mlflow.db"))


@pytest.fixture(scope="module")
def served(study: Study, serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(study.store.uri, tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture(scope="module")
def watch(browser: Any, study: Study) -> Iterator[Watch]:
    """Without the content security policy: the pages themselves must not obey."""
    context = browser.new_context(bypass_csp=True, viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield Watch(page, study.fields)
    context.close()


def walk(watch: Watch, address: str, pages: tuple[str, ...] = PAGES) -> None:
    """Opens an address, then each page, and touches what is on it."""
    watch.page.goto(address, wait_until="domcontentloaded")
    watch.page.wait_for_function("location.search.includes('same_colours=')")
    watch.page.wait_for_timeout(700)  # the store is read
    for name in pages:
        button = watch.page.get_by_role("button", name=name, exact=True)
        button.click()
        watch.page.wait_for_timeout(300)
        watch.look()
        for x, y, width, height in watch.page.evaluate(_TOUCH):
            for step in range(8):
                watch.page.mouse.move(x + width * (step + 0.5) / 8, y + height * 0.45)
        watch.look(rest=False)


_TOUCH = """async () => {
  const found = [], wait = () => new Promise(done => setTimeout(done, 60));
  const walk = (node, selector) => [...node.querySelectorAll("*")].flatMap(one =>
    [...(one.matches(selector) ? [one] : []), ...(one.shadowRoot ? walk(one.shadowRoot, selector) : [])]);
  for (const tab of walk(document, "[role=tab]")) { tab.click(); await wait(); }
  for (const choice of walk(document, "[role=combobox]").slice(0, 5)) {
    choice.dispatchEvent(new MouseEvent("mousedown", {bubbles: true, composed: true}));
    await wait();
    document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true}));
  }
  for (const figure of walk(document, ".bk-Figure").slice(0, 4)) {
    const box = figure.getBoundingClientRect();
    found.push([box.x, box.y, box.width, box.height]);
  }
  return found;
}"""
"""Opens tabs and lists of choices; where figures are."""


def test_no_text_of_a_store_is_obeyed_on_any_page(watch: Watch, study: Study, served: str) -> None:
    trial = study.of_kind(names.TRIAL)[0]
    walk(
        watch,
        f"{served}?{urlencode({'experiment': study.name, 'runs': json.dumps([trial]), 'resolution': 11, 'row': 1})}",
    )
    others: dict[str, tuple[str, ...]] = {
        study.broken: ("Runs", "Resilience", "Unlearning", "Curvature"),
        study.damaged: ("Landscape", "Data and circuit"),
        study.empty: ("Runs", "Landscape", "Curvature"),
    }
    for name, pages in others.items():
        walk(watch, f"{served}?{urlencode({'experiment': name, 'resolution': 11, 'row': 0})}", pages)
    compared = {"runs": json.dumps(study.of_kind(names.TRIAL)[:2]), "compare_by": "runs", "compare_row": 1}
    walk(watch, f"{served}?{urlencode({'experiment': study.name, 'resolution': 11} | compared)}", ("Compare",))


@pytest.mark.parametrize("part", range(PARTS))
def test_no_text_of_an_address_is_obeyed_on_any_page(watch: Watch, study: Study, served: str, part: int) -> None:
    def text(field: str) -> str:
        return study.fields.text(field, part * PAYLOADS // PARTS, PAYLOADS // PARTS + 1)

    query: list[tuple[str, str]] = [(text("unknown name"), text("unknown value"))]
    for name, field in State.param.objects().items():
        if name in ("name", "page", "experiment"):
            continue
        value = {"runs": "missing run", "where": "filter"}.get(name, f"address {name}")
        if isinstance(field, param.List) and field.item_type is str:
            query.append((name, json.dumps([text(value)])))
        else:
            query.append((name, text(value if isinstance(field, param.String) else "refused value")))
    query.append(("experiment", study.name if part % 2 else text("missing experiment")))
    walk(watch, f"{served}?{urlencode(query)}")
    watch.page.goto(f"{served}?{urlencode({'page': text('address page')})}#{text('fragment')}")
    watch.look()


def test_all_of_it_was_shown(watch: Watch, study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{len(PAGES)} pages, {watch.looks} states, {len(study.fields.names)} fields, {PAYLOADS} payloads")
        print("not shown anywhere:", sorted(set(study.fields.names) - watch.reached))
    assert watch.reached >= SHOWN
