"""Nothing is lost and nothing is done behind the record's back when `aether run` is killed: at 200 random moments, for real.

Law: the side effects of scripts are held against the keys that they were given (AETHER_IDEMPOTENCY_KEY) and against the record.
No folder of a killed process is left after the next start, and files go from task to task whatever happened in between.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.recovery import rebuild
from aether_protocol.scheduler.state import RunState
from tests.e2e.process import AETHER, PATIENCE_S, environment

KILLS = 200
PARTS = 4  # so that several processes share the work
CHAIN, WIDE = 30, 30
LEAVES = CHAIN + WIDE + 5
SECRET = "a-word-that-stands-in-the-files-of-attempts"

DOCUMENT = f"""
apiVersion: aether/v1
kind: Workflow
metadata: {{name: effects}}
spec:
  entrypoint: main
  templates:
    - dag:
        name: main
        tasks:
          - {{name: prepare, template: step}}
          - {{name: chain, template: one-by-one, dependencies: [prepare]}}
          - {{name: wide, template: side-by-side, dependencies: [prepare]}}
          - {{name: make, template: make, dependencies: [prepare]}}
          - name: use
            template: use
            dependencies: [make]
            arguments: {{artifacts: [{{name: file, from: tasks.make.outputs.artifacts.file}}]}}
          - name: flaky
            template: twice
            dependencies: [prepare]
            retry: {{limit: 50, expression: "phase == 'Failed'", backoff: {{duration: 100ms}}}}
          - {{name: last, template: step, dependencies: [chain, wide, flaky, use]}}
    - loop: {{name: one-by-one, body: step, items: {list(range(CHAIN))}, concurrency: 1}}
    - loop: {{name: side-by-side, body: step, items: {list(range(WIDE))}, concurrency: 3}}
    - task:
        name: step
        inputs: {{parameters: [{{name: key, value: {SECRET}}}]}}
        executor:
          type: script
          config:
            runtime: sh
            source: |
              test -z "$(ls)" || {{ echo "$AETHER_IDEMPOTENCY_KEY" >> "$EFFECTS.strangers"; }}
              echo "$AETHER_IDEMPOTENCY_KEY" >> "$EFFECTS"
              echo "$AETHER_IDEMPOTENCY_KEY" > .mine
              touch "$AETHER_RUN_DIR/seen"
    - task:
        name: make
        executor:
          type: script
          config:
            runtime: sh
            source: |
              echo "$AETHER_IDEMPOTENCY_KEY" >> "$EFFECTS"
              mkdir out && seq 1 2000 > out/numbers
        outputs: {{artifacts: [{{name: file, path: out}}]}}
    - task:
        name: use
        inputs: {{artifacts: [{{name: file, path: in}}]}}
        executor:
          type: script
          config:
            runtime: sh
            source: |
              test "$(tail -n 1 in/numbers)" = 2000 && test "$(ls)" = in || exit 1
              echo "$AETHER_IDEMPOTENCY_KEY" >> "$EFFECTS"
    - task:
        name: twice
        executor:
          type: script
          config:
            runtime: sh
            source: |
              echo "$AETHER_IDEMPOTENCY_KEY" >> "$EFFECTS"
              test "$(grep -c "^$AETHER_IDEMPOTENCY_KEY$" "$EFFECTS")" -ge 5
"""


class Victim:
    """One run that is killed again and again. `kills` counts."""

    def __init__(self, folder: Path, name: str, rng: random.Random) -> None:
        self.folder = folder
        self.name = name
        self.effects = folder / f"{name}.effects"
        self.rng = rng
        self.kills = 0

    def start(self) -> subprocess.Popen[str]:
        env = environment(AETHER_STORE=f"sqlite:{self.folder / 'aether.db'}", EFFECTS=str(self.effects))
        command = [*AETHER, "run", "effects.yaml", "--run-id", self.name, "--output", "json"]
        return subprocess.Popen(
            command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )

    def live_and_die(self) -> dict[str, Any] | None:
        """Let it run for a moment and kill it; its report if it came to its end before."""
        process = self.start()
        assert process.stdout is not None
        assert process.stderr is not None
        if self.rng.random() < 0.85:
            process.stderr.readline()  # it is at work now
            moment = self.rng.uniform(0, 0.4)
        else:
            moment = self.rng.uniform(0, 1)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            self.kills += 1
        out, told = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (0, -9), told
        return json.loads(out) if process.returncode == 0 else None

    def finish(self) -> dict[str, Any]:
        """Let it run to its end."""
        out, told = self.start().communicate(timeout=PATIENCE_S)
        assert out, told
        report: dict[str, Any] = json.loads(out)
        return report


def handed_over(store: Path, run_id: str) -> Counter[str]:
    """How often the record says that each task run was given to its executor."""

    async def read() -> tuple[list[tuple[int, str]], RunState]:
        opened = open_sqlite(str(store))
        try:
            return await opened.runs.lines(run_id, 0, 1_000_000), rebuild(await opened.runs.load(run_id))
        finally:
            await opened.close()

    counts: Counter[str] = Counter()
    lines, state = asyncio.run(read())
    for number, (seq, line) in enumerate(lines, 1):
        assert number == seq
        for fact in json.loads(line)[4]:
            dispatched = fact[0] == "NodeCreated" and len(fact) > 4 and fact[4]  # as it was made
            if dispatched or fact[0] in ("TaskDispatched", "AttemptRepeated"):
                counts[f"{run_id}/{state.nodes[fact[1]].run_path}"] += 1
    return counts


def check(victim: Victim, report: dict[str, Any]) -> None:
    assert report["phase"] == "Succeeded"
    tasks = [task for task in report["tasks"] if task["templateType"] == "task"]
    leaves = {task["path"]: f"{victim.name}:{task['path']}" for task in tasks}
    assert len(leaves) == LEAVES
    keys = victim.effects.read_text().split()
    done = Counter(keys)
    assert set(done) == set(leaves.values())  # every task left its mark, under its own key and no other
    given = handed_over(victim.folder / "aether.db", victim.name)
    recorded = {leaves[task["path"]]: given[task["id"]] for task in tasks}
    assert {key: n for key, n in done.items() if n > recorded[key]} == {}  # nothing was done that was not recorded first
    first = {key: keys.index(key) for key in done}
    final = {key: len(keys) - 1 - keys[::-1].index(key) for key in done}
    assert all(first[key] > final[leaves["main.prepare"]] for key in done if key != leaves["main.prepare"])
    assert all(final[key] < first[leaves["main.last"]] for key in done if key != leaves["main.last"])
    for index in range(1, CHAIN):  # what was recorded is not done again: whatever follows it comes after its last mark
        assert first[leaves[f"main.chain[{index}]"]] > final[leaves[f"main.chain[{index - 1}]"]]
    assert done[leaves["main.flaky"]] >= 5
    assert not victim.effects.with_name(f"{victim.effects.name}.strangers").exists()  # every attempt began in an empty folder
    check_folders(victim.folder)


def check_folders(folder: Path) -> None:
    """What killed processes left is gone, and nothing of it is anywhere: only the failed attempts of `flaky` may be kept."""
    root = folder / ".aether" / "workspaces"
    until = time.monotonic() + PATIENCE_S
    while list(root.glob(".live/*")) and time.monotonic() < until:  # the guards of the last kill are at work
        time.sleep(0.02)
    assert [str(one) for one in root.glob(".live/*")] == []
    assert {one.name.partition("@")[0] for one in root.glob("*/*")} <= {"main.flaky"}
    assert [one for one in folder.rglob("*") if one.is_file() and one.suffix != ".yaml" and SECRET.encode() in one.read_bytes()
            and ".aether" in one.relative_to(folder).parts and "artifacts" not in one.parts] == []


@pytest.mark.rule("EXEC-3", "SCHED-9")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_survives_its_process(part: int, tmp_path: Path) -> None:
    rng = random.Random(part)
    (tmp_path / "effects.yaml").write_text(DOCUMENT)
    kills = runs = 0
    begin = time.monotonic()
    while kills < KILLS // PARTS:
        victim = Victim(tmp_path, f"run-{runs}", rng)
        runs += 1
        report = None
        while report is None and kills + victim.kills < KILLS // PARTS:
            report = victim.live_and_die()
        check(victim, victim.finish())  # once more where it ended: what a kill left behind goes with the next start
        kills += victim.kills
    print(f"{kills} kills, {runs} runs, {time.monotonic() - begin:.0f} s")
