"""docs/reference/events.md and run-report.md tell what records and reports hold."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from aether_protocol import Engine
from aether_protocol.cli import exits
from aether_protocol.engine.records import _FIELDS

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
          - { name: ask, dependencies: [each], executor: { type: await } }
          - name: again
            executor: { type: echo, config: { failCount: 1 } }
            inputs: { parameters: [{ name: x, value: 1 }] }
            retry: { limit: 1, expression: "phase == 'Failed'", backoff: { duration: 0s } }
          - { name: bad, executor: { type: fail }, dependencies: [ask] }
          - { name: never, executor: { type: noop }, dependencies: [bad] }
        outputs: { parameters: [{ name: x, valueFrom: { parameter: tasks.ask.outputs.parameters.nothing } }] }
    - loop: { name: each, body: tell, repeatCondition: loop_iter.index < 1, maxIterations: 3 }
    - task: { name: tell, executor: { type: noop } }
"""


async def run() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    async with Engine() as engine:
        run_id = await engine.submit(DOCUMENT)
        await engine.wait(run_id, or_suspended=True)
        await engine.resume(run_id, "main.ask", {"approved": True})
        report = await engine.wait(run_id)
        return [record async for record in engine.events(run_id)], report.to_json()


def test_every_kind_has_its_row_and_its_fields() -> None:
    text = (REFERENCE / "events.md").read_text("utf-8")
    table = text[text.index("<!-- kinds") : text.index("<!-- /kinds -->")]
    rows = {kind: set(re.findall(r"`(\w+)`", more)) for kind, more in re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", table, re.M)}
    assert set(rows) == {kind.__name__ for kind in _FIELDS}
    records, _ = asyncio.run(run())
    shown = {record["kind"]: set(record) - COMMON for record in records}
    assert shown == {kind: rows[kind] for kind in shown}
    assert set(rows) - set(shown) == {"AttemptRepeated"}
    places = [(record["seq"], record["index"]) for record in records]
    assert places == sorted(set(places)), "a kind's own field hides the place of its record"


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
