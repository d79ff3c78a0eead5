"""Single bytes of a store's file are changed: `aether db check` tells each change that reaches content, and no command fails by
an internal error, whatever was changed (exit codes 0, or 9 with a reason)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from aether_protocol.cli import main
from aether_protocol.cli.stored import existing
from aether_protocol.errors import PortError, UsageError
from aether_protocol.service.store_check import find_faults

RUNS: Final = """
apiVersion: aether/v1
kind: Workflow
metadata: {name: build, labels: {team: core}}
spec:
  entrypoint: main
  templates:
    - dag:
        name: main
        tasks:
          - {name: a, template: say, arguments: {parameters: [{name: who, value: world}]}}
          - name: b
            template: say
            dependencies: [a]
            arguments: {parameters: [{name: who, value: "{{tasks.a.outputs.parameters.stdout}}"}]}
          - {name: ok, template: ask, dependencies: [b]}
    - task:
        name: say
        executor: {type: script, config: {runtime: sh, source: 'echo "hello $AETHER_INPUT_WHO"; echo careful >&2'}}
        inputs: {parameters: [{name: who}]}
        outputs: {parameters: [{name: stdout}]}
    - task: {name: ask, executor: {type: await, config: {message: "is it good?"}}}
"""
CRON: Final = """
apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  workflowSpec:
    entrypoint: main
    templates: [{dag: {name: main, tasks: [{name: a, executor: {type: noop}}]}}]
"""
TEMPLATE: Final = """
apiVersion: aether/v1
kind: WorkflowTemplate
metadata: {name: lib}
spec: {templates: [{task: {name: rest, executor: {type: noop}}}]}
"""
MADE: Final = (  # how the store is filled, with the exit code of each
    (("run", "runs.yaml", "--run-id", "done", "--resume", "ok=yes", "--quiet"), 0),
    (("run", "runs.yaml", "--run-id", "open", "--quiet"), 7),
    (("cron", "apply", "cron.yaml"), 0),
    (("cron", "trigger", "nightly"), 0),
    (("template", "apply", "lib.yaml"), 0),
)
LOOKS: Final = (
    ("db", "check"),
    ("db", "info"),
    ("ls",),
    ("ls", "--output", "json"),
    ("show", "done"),
    ("show", "open", "--output", "json"),
    ("events", "done"),
    ("logs", "done"),
    ("replay", "done"),
    ("diff", "done", "open"),
    ("export", "open", "--to", "/dev/null"),
    ("retry", "done", "--quiet"),
    ("resume", "open", "ok=yes", "--quiet"),
    ("cancel", "open"),
    ("template", "ls"),
    ("template", "show", "lib"),
    ("cron", "ls"),
    ("cron", "show", "nightly"),
    ("cron", "history", "nightly"),
    ("prune", "--older-than", "1ms", "--dry-run"),
    ("rm", "done"),
)
TABLES: Final = (
    *("runs", "heads", "plans", "steps", "snapshots", "requests"),
    *("logs", "log_bounds", "documents", "schedules", "fires", "artifacts"),
)
DRIVERS: Final = ("owner", "token", "epoch", "wake_at")  # of `runs`: which engine drives it, and when, is not content


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a store that holds something of each kind."""
    home = tmp_path_factory.mktemp("whole")
    patch = pytest.MonkeyPatch()
    patch.chdir(home)
    patch.setenv("AETHER_STORE", "sqlite:whole.db")
    for name, text in (("runs.yaml", RUNS), ("cron.yaml", CRON), ("lib.yaml", TEMPLATE)):
        Path(name).write_text(text)
    for arguments, code in MADE:
        assert main(list(arguments)) == code, arguments
    with sqlite3.connect("whole.db") as connection:
        connection.execute("VACUUM")
    connection.close()
    patch.undo()
    return (home / "whole.db").read_bytes()


def content(path: Path) -> dict[str, list[Any]] | None:
    """All rows that are content; None where they cannot be read."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    try:
        found = {}
        for table in TABLES:
            asked = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in asked.description]
            wanted = [at for at, name in enumerate(names) if table != "runs" or name not in DRIVERS]
            found[table] = sorted(repr([row[at] for at in wanted]) for row in asked)
        return found
    except (sqlite3.Error, UnicodeError):
        return None
    finally:
        connection.close()


def faults(path: Path) -> list[str]:
    """What `aether db check` tells."""
    try:
        return asyncio.run(_find(f"sqlite:{path}"))
    except (PortError, UsageError) as error:
        return [error.message]


async def _find(url: str) -> list[str]:
    async with existing(url, writes=False) as store:
        return await find_faults(store)


def flipped(whole: bytes, rng: random.Random) -> bytes:
    held = bytearray(whole)
    at = rng.choice([number for number, byte in enumerate(held) if byte])  # what is 0 is for the most part unused space
    held[at] ^= rng.randrange(1, 256)
    return bytes(held)


def test_a_changed_byte_of_the_file_is_told_or_reaches_no_content(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(whole)
    before = content(path)
    assert before is not None
    assert all(before[table] for table in ("runs", "steps", "logs", "documents", "schedules", "fires"))
    assert faults(path) == []
    told, rng = 0, random.Random(9)
    for number in range(270):
        path.write_bytes(flipped(whole, rng))
        found = faults(path)
        told += bool(found)
        path.with_name("a.db-wal").unlink(missing_ok=True)
        path.with_name("a.db-shm").unlink(missing_ok=True)
        assert found or content(path) == before, f"change {number} is not told"
    assert told > 150, "most bytes are content"


def columns(path: Path) -> list[tuple[str, int, str]]:
    """(table, rowid or number of the row, column) of every value that is content."""
    connection = sqlite3.connect(path)
    found = []
    for table in TABLES:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        found += [(table, at, name) for at in range(count) for name in names if table != "runs" or name not in DRIVERS]
    connection.close()
    return found


def another(value: Any, rng: random.Random) -> Any:
    """A value that differs in one byte."""
    if isinstance(value, str) and value:
        at = rng.randrange(len(value))
        return value[:at] + ("x" if value[at] != "x" else "y") + value[at + 1 :]
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:] if value else b"x"
    return value ^ 1 if isinstance(value, int) else "x"


def test_every_value_that_sql_changes_is_told(tmp_path: Path, whole: bytes) -> None:
    """Here SQLite itself finds nothing wrong: pages and indexes fit."""
    path = tmp_path / "a.db"
    path.write_bytes(whole)
    rng, missed = random.Random(3), []
    places = columns(path)
    for table, at, column in rng.sample(places, min(len(places), 200)):
        path.write_bytes(whole)
        connection = sqlite3.connect(path)
        key = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
        row = connection.execute(f"SELECT * FROM {table} LIMIT 1 OFFSET {at}").fetchone()
        value = dict(zip(key.split(", "), row, strict=True))[column]
        where = " AND ".join(f"{name} IS ?" for name in key.split(", "))
        connection.execute(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {where}", (another(value, rng), *row))
        connection.commit()
        connection.close()
        if not faults(path):
            missed.append((table, column, value))
    assert not missed, str(missed)


@pytest.mark.parametrize("table", ["steps", "heads", "plans", "logs", "log_bounds"])
def test_a_row_that_is_gone_is_told(tmp_path: Path, whole: bytes, table: str) -> None:
    path = tmp_path / "a.db"
    count = 0
    while True:
        path.write_bytes(whole)
        connection = sqlite3.connect(path)
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
        if count == min(len(rows), 12):
            connection.close()
            break
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        where = " AND ".join(f"{name} IS ?" for name in names)
        connection.execute(f"DELETE FROM {table} WHERE {where}", rows[-1 - count])
        connection.commit()
        connection.close()
        assert faults(path), f"row {rows[-1 - count]} of {table} is missing"
        count += 1
    assert count


def test_no_command_fails_by_a_fault_of_ours(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AETHER_STORE", "sqlite:a.db")
    rng = random.Random(5)
    wrong = []
    for number in range(30):
        changed = flipped(whole, rng)
        for arguments in LOOKS:
            for name in ("a.db-wal", "a.db-shm"):
                Path(name).unlink(missing_ok=True)
            Path("a.db").write_bytes(changed)
            capsys.readouterr()
            code = main(list(arguments))
            said = capsys.readouterr()
            differs = code == 1 and arguments[0] == "diff"  # which is said on standard output
            known = differs or (code in (0, 2, 5, 9) and (said.err or not code))
            if not known or "Traceback" in said.err + said.out:
                wrong.append((number, arguments, code, said.err[-300:]))
    assert wrong == []


@pytest.mark.parametrize(
    "column", ["runs.message", "steps.lines", "heads.header", "plans.text", "logs.text", "schedules.settings"]
)
def test_text_that_is_no_text_is_told(
    tmp_path: Path, whole: bytes, column: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AETHER_STORE", "sqlite:a.db")
    table, name = column.split(".")
    for value in (b"\xff\xfe", b"\x00\x01"):
        for kind in ("BLOB", "TEXT"):
            for arguments in LOOKS:
                Path("a.db").write_bytes(whole)
                connection = sqlite3.connect("a.db")
                connection.execute(f"UPDATE {table} SET {name} = CAST(? AS {kind})", (value,))
                connection.commit()
                connection.close()
                code = main(list(arguments))
                said = capsys.readouterr()
                assert code in (0, 2, 5, 9) or (arguments[0], code) == ("diff", 1), (arguments, kind, said.err)
                assert "Traceback" not in said.err
                assert arguments != ("db", "check") or code == 9


def test_the_tables_are_those_of_this_version(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(whole)
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX logs_path")
    connection.commit()
    connection.close()
    assert faults(path) == ["the tables are not those that this version makes"]
