"""docs/reference/events.md and run-report.md tell what records and reports hold."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from aether_protocol import Engine
from aether_protocol.cli import exits
from aether_protocol.service import client_of
from aether_protocol.views.event_feed import _FIELDS

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
COMMON = {"v", "runId", "seq", "index", "at", "cause", "kind", "id", "path", "hook"}

DOCUMENT = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: all-kinds }
spec:
  entrypoint: main
  hooks: { onExit: { template: tell } }
  templates:
    - dag:
        name: main
        tasks:
          - { name: each, template: each }
          - { name: some, template: some }
          - { name: ask, dependencies: [each], executor: { type: await } }
          - name: again
            executor: { type: echo, config: { failCount: 1 } }
            inputs:
              parameters: [{ name: x, value: 1 }]
              artifacts: [{ name: note, path: note, source: { type: raw, config: { text: hello } } }]
            retry: { limit: 1, expression: "phase == 'Failed'", backoff: { duration: 0s } }
          - { name: bad, executor: { type: fail }, dependencies: [ask] }
          - { name: never, executor: { type: noop }, dependencies: [bad] }
        outputs: { parameters: [{ name: x, valueFrom: { parameter: tasks.ask.outputs.parameters.nothing } }] }
    - loop: { name: some, items: [one], body: tell }
    - loop: { name: each, body: tell, repeatCondition: loop_iter.index < 1, maxIterations: 3 }
    - task: { name: tell, executor: { type: noop } }
"""


def table(name: str) -> dict[str, tuple[str, str]]:
    """The rows between two marks of the page: the first cell's word to the other two."""
    text = (REFERENCE / "events.md").read_text("utf-8")
    part = text[text.index(f"<!-- {name}") : text.index(f"<!-- /{name} -->")]
    return {word: (second, third) for word, second, third in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", part, re.M)}


TYPES = {"string": str, "integer": int, "object": dict, "null": type(None)}


async def lose_an_attempt(store: str) -> list[dict[str, Any]]:
    """The records of a run that loses its engine while a task runs."""
    async with Engine(store=store) as first:
        run_id = await first.submit(DOCUMENT.replace("type: await", "type: sleep, config: { duration: 1h }"))
        async for record in client_of(first).runs.events(run_id, follow=True):
            if record["kind"] == "TaskRunning" and record["path"] == "main.ask":
                break
    async with Engine(store=store) as second:
        await second.recover([run_id])
        await client_of(second).control.cancel(run_id)
        await client_of(second).runs.wait(run_id)
        return [record async for record in client_of(second).runs.events(run_id, follow=True)]


async def run() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    async with Engine() as engine:
        run_id = await engine.submit(DOCUMENT)
        await client_of(engine).runs.wait(run_id, or_suspended=True)
        await client_of(engine).control.resume(run_id, "main.ask", {"approved": True})
        report = await client_of(engine).runs.wait(run_id)
        return [record async for record in client_of(engine).runs.events(run_id, follow=True)], report.to_json()


def test_every_kind_has_its_row_and_its_fields(tmp_path: Path) -> None:
    rows = {kind: set(re.findall(r"`(\w+)`", more)) for kind, (_, more) in table("kinds").items()}
    assert set(rows) == {kind.__name__ for kind in _FIELDS}
    records = asyncio.run(run())[0] + asyncio.run(lose_an_attempt(f"sqlite:{tmp_path}/a.db"))
    shown = {record["kind"]: set(record) - COMMON for record in records}
    assert shown == rows, "every kind occurs in these runs"
    assert set(table("common")) == COMMON
    assert set(table("fields")) == set().union(*rows.values())


def test_every_field_has_its_type(tmp_path: Path) -> None:
    fields = table("common") | table("fields")
    records = asyncio.run(run())[0] + asyncio.run(lose_an_attempt(f"sqlite:{tmp_path}/a.db"))
    seen: dict[str, set[type]] = {}
    for record in records:
        for field, value in record.items():
            seen.setdefault(field, set()).add(type(value))
    for field, (kinds, _) in fields.items():
        assert seen[field] <= {TYPES[kind] for kind in kinds.split(" or ")}, field
    assert seen["item"] == {str, type(None)}
    assert seen["code"] == {int, type(None)}


def test_records_come_once_in_order(tmp_path: Path) -> None:
    for records in (asyncio.run(run())[0], asyncio.run(lose_an_attempt(f"sqlite:{tmp_path}/a.db"))):
        places = [(record["seq"], record["index"]) for record in records]
        assert places == sorted(set(places)), "a kind's own field hides the place of its record"
        assert [record["seq"] for record in records if record["index"] == 0] == list(range(1, places[-1][0] + 1))
        assert [records[0]["kind"], records[-1]["kind"]] == ["RunCreated", "RunClosed"]
        times = [datetime.fromisoformat(record["at"]) for record in records]
        assert times == sorted(times)


def test_the_example_is_a_record() -> None:
    text = (REFERENCE / "events.md").read_text("utf-8")
    shown = json.loads(re.search(r"```json\n(.*?)```", text, re.S)[1])  # type: ignore[index]
    ended = next(record for record in asyncio.run(run())[0] if record["kind"] == "NodeEnded")
    assert list(shown) == list(ended)
    assert {key: type(value) for key, value in shown.items()} == {key: type(value) for key, value in ended.items()}


def test_the_report_has_the_fields_of_its_page() -> None:
    text = (REFERENCE / "run-report.md").read_text("utf-8")
    shown = json.loads(re.search(r"```json\n(.*?)```", text, re.S)[1])  # type: ignore[index]
    _, report = asyncio.run(run())

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items() if key not in ("inputs", "outputs")}
        return [shape(value[0])] if isinstance(value, list) and value else None

    assert shape(shown) == shape(report)
    told = text[text.index("## Fields") : text.index("## Exit codes")]
    named = set(re.findall(r"`(\w+)`", told))
    assert {*report, *report["tasks"][0], *report["hooks"][0], *report["warnings"][0]} <= named | {"message"}


def test_the_exit_codes_are_all_there() -> None:
    text = (REFERENCE / "run-report.md").read_text("utf-8")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)}
    held = {value for value in vars(exits).values() if type(value) is int} | set(exits.PHASE_EXITS.values())
    assert held <= codes
