"""Schedules for tests of `aether cron`: documents, and a store in which a fire is due now though no test waited for it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from aether_protocol.adapters.stores.sqlite.store import SqliteStore, open_sqlite
from aether_protocol.errors import BusyError
from tests.e2e.process import AETHER, aether, environment

MINUTE = 60_000_000
NEVER = "0 0 1 1 *"  # while a test runs

_Result = TypeVar("_Result")


def cron_text(name: str, source: str = "echo done", schedule: str = NEVER, spec: str = "", workflow: str = "") -> str:
    """A CronWorkflow of one shell script; `spec` and `workflow` hold more lines of its spec and of its workflowSpec."""
    return (
        f"apiVersion: aether/v1\nkind: CronWorkflow\nmetadata: {{name: {name}}}\n"
        f'spec:\n  schedule: "{schedule}"\n{spec}  workflowSpec:\n    entrypoint: main\n{workflow}    templates:\n'
        f"      - task:\n          name: main\n          executor: {{type: script, config: "
        f"{{runtime: sh, source: {json.dumps(source)}}}}}\n"
    )


def cron_file(folder: Path, name: str, source: str = "echo done", **more: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(cron_text(name, source, **more), "utf-8")
    return path


class Place:
    """A folder with a store, and the command line there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "cron.db"
        self.url = f"sqlite:{self.path}"
        self._started: list[subprocess.Popen[str]] = []

    def call(self, *arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
        return aether(*arguments, cwd=self.folder, text=text, AETHER_STORE=self.url)

    def cron(self, *arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
        return self.call("cron", *arguments, text=text)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*AETHER, "cron", *map(str, arguments)], cwd=self.folder, env=environment(AETHER_STORE=self.url),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what a test that failed has left behind."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def apply(self, name: str, source: str = "echo done", **more: str) -> None:
        done = self.cron("apply", cron_file(self.folder, name, source, **more))
        assert done.returncode == 0, done.stderr

    def apply_all(self, names: Sequence[str], source: str, **more: str) -> None:
        """Several at once."""
        done = self.cron("apply", "-", text="---\n".join(cron_text(name, source, **more) for name in names))
        assert done.returncode == 0, done.stderr

    def json(self, *arguments: str | Path) -> Any:
        done = self.cron(*arguments, "--output", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def history(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("history", name)["fires"]
        return found

    def look(self, body: Callable[[SqliteStore], Awaitable[_Result]]) -> _Result:
        """What `body` makes of the store."""

        async def go() -> _Result:
            store = open_sqlite(str(self.path), durability="normal")
            try:
                return await body(store)
            finally:
                await store.close()

        return asyncio.run(go())

    def make_due(self, *names: str, minutes_ago: int = 1) -> int:
        """Set schedules back, so that one fire of each, so many minutes ago, is due now and the next one is far away; its
        instant."""
        at = int(datetime.now(UTC).timestamp()) * 1_000_000
        at -= at % MINUTE + minutes_ago * MINUTE

        async def body(store: SqliteStore) -> None:
            for name in names:
                await set_due(store, name, at)

        self.look(body)
        return at


async def set_due(store: SqliteStore, name: str, at: int, when: int | None = None) -> None:
    """Let the schedule have a fire at `at`, once a year, and none decided on it. A scheduler wakes for it at `when`."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    text = f"{moment.minute} {moment.hour} {moment.day} {moment.month} *"
    while True:
        before = await store.schedules.get("default", name)
        assert before is not None
        try:
            settings = replace(before.settings, schedule=text, timezone="UTC")
            await store.schedules.put(replace(before, settings=settings, seen=at - 1, next_at=when or at))
            return
        except BusyError:  # a scheduler at work
            continue
