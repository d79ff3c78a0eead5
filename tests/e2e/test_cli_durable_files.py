"""Runs as files, and what a store finds out about itself: hostile and damaged ones, targets that are no plain files."""

from __future__ import annotations

import copy
import hashlib
import json
import operator
import os
import random
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.stores.sql.records import COVERED, next_sum, sum_of, sum_of_moved
from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, environment
from tests.e2e.store_cli import Cli, ids, make_cli

LISTS = ("parameters", "libraries", "definitions")  # of the body of a plan
Records = list[dict[str, Any]]
THERE = ("--store", "sqlite:there.db")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


@pytest.fixture
def records(cli: Cli, tmp_path: Path) -> Records:
    """The lines of an exported run r1, without the last one."""
    path = workflow(tmp_path, task("a", "script", "{runtime: sh, source: 'echo one; exit 3'}"))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 1
    assert cli("export", "r1", "--to", "r1.jsonl").code == 0
    return [json.loads(line) for line in (tmp_path / "r1.jsonl").read_text().splitlines()[:-1]]


def write(path: Path, records: Records) -> None:
    """A file whose digest fits, whatever is in it."""
    lines = [json.dumps(record, separators=(",", ":")) + "\n" for record in records]
    end = hashlib.sha256("".join(lines).encode()).hexdigest()
    path.write_text("".join([*lines, json.dumps({"end": end}) + "\n"]))


def changed(text: str, **changes: Any) -> str:
    """The JSON of an object with other values; of a header's record, which is an array, in its second element."""
    record = json.loads(text)
    held = record[1] if isinstance(record, list) else record
    held.update(changes)
    return json.dumps(record)


def head(**changes: Any) -> Callable[[Records], Records]:
    return lambda records: [{**records[0], **changes}, *records[1:]]


def row(**changes: Any) -> Callable[[Records], Records]:
    return lambda records: [{**records[0], "row": {**records[0]["row"], **changes}}, *records[1:]]


def plan(**changes: Any) -> Callable[[Records], Records]:
    return lambda records: head(plan=changed(records[0]["plan"], **changes))(records)


def header(**changes: Any) -> Callable[[Records], Records]:
    return lambda records: head(header=changed(records[0]["header"], **changes))(records)


def step(fact: str, position: int, value: Any) -> Callable[[Records], Records]:
    """Another value at that position of the first fact of its kind."""

    def change(records: Records) -> Records:
        at, line = next((at, one["step"]) for at, one in enumerate(records) if f'"{fact}"' in one.get("step", ""))
        steps = json.loads(line)
        found = next(one for one in steps[4] if one[0] == fact)
        found[position] = value
        return [*records[:at], {"step": json.dumps(steps)}, *records[at + 1 :]]

    return change


FORGED: dict[str, Callable[[Records], Records]] = {
    "version that is none": head(version="1"),
    "no version": lambda records: [{"format": "aether-run"}],
    "no plan": head(plan=None),
    "a plan of nothing": head(plan="{}"),
    "a plan that is an object": head(plan={}),
    "no header": head(header="[]"),
    "a header that is an array": head(header=[]),
    "a snapshot of nothing": head(snapshot="{}"),
    "a snapshot that is a number": head(snapshot=1),
    "a definition that is none": plan(body={"root": ["m", 9], "hooks": {}} | {key: [] for key in LISTS}),
    "another id": row(run_id="other"),
    "an id that is none": row(run_id="../r1"),
    "an unknown tier": row(tier="diary"),
    "more steps than there are": row(seq=99),
    "fewer steps": row(seq=1),
    "a step is missing": lambda records: [records[0], *records[2:]],
    "steps in another order": lambda records: [records[0], records[2], records[1], *records[3:]],
    "a step that is none": lambda records: [records[0], {"step": 5}, *records[2:]],
    "a step of garbage": lambda records: [records[0], {"step": "garbage"}, *records[2:]],
    "a log that is none": lambda records: [*records, {"log": [1]}],
    "a log of other types": lambda records: [*records, {"log": ["0", "main", 1, "stdout", "text", 0]}],
    "a name that is a number": plan(name=5),
    "a label that is a list": plan(labels={"a": []}),
    "a timeout that is a text": plan(timeout="1h"),
    "an instant that no store can hold": header(created_at=2**70),
    "a parameter that is no number": header(parameters={"n": float("nan")}),
    "reused results that are none": header(reused={"main.a": 1}),
    "a message that is a list": step("NodeEnded", 4, ["x"]),
    "outputs that are a text": step("NodeEnded", 5, "x"),
    "the end of a task run that is none": step("NodeEnded", 1, 99),
    "a phase that is none": step("NodeEnded", 2, "Fine"),
    "a line that is none": lambda records: [*records, []],  # type: ignore[list-item]
}


@pytest.mark.rule("RT-56")
@pytest.mark.parametrize("forged", FORGED)
def test_a_file_is_not_believed_because_its_digest_fits(cli: Cli, records: Records, tmp_path: Path, forged: str) -> None:
    write(tmp_path / "forged.jsonl", FORGED[forged](records))
    said = cli("import", "forged.jsonl", *THERE)
    assert said.code == 2, said.err
    assert said.err.startswith("error: ")
    assert not (tmp_path / "there.db").exists()


COMMANDS = ("show", "events", "logs", "export", "retry", "cancel", "replay --at 2", "diff r1")
JUNK = (None, True, -1, 0, 1, 2**70, 1.5, float("inf"), "", "x", "Succeeded", "main.a", "a" * 3000, [], {}, [[]], {"x": 1})


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(what holds it, key or position) of everything in `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


@pytest.mark.rule("RT-56")
@pytest.mark.parametrize("seed", range(120))
def test_whatever_a_file_holds_it_is_refused_or_can_be_looked_at(cli: Cli, records: Records, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    at = chance.choice([0, chance.randrange(len(records))])
    record = records[at]
    inner = "step" if "step" in record else chance.choice(["plan", "plan", "header", ""]) if "plan" in record else ""
    parts = json.loads(record[inner]) if inner else record
    holder, key = chance.choice(list(places(parts)))
    another = operator.getitem(*chance.choice(list(places(parts))))
    holder[key] = chance.choice(JUNK) if chance.random() < 0.7 else copy.deepcopy(another)
    if inner:
        record[inner] = json.dumps(parts)
    write(tmp_path / "forged.jsonl", records)
    said = cli("import", "forged.jsonl", *THERE)
    assert said.code in (0, 2), said.err
    for command in COMMANDS if said.code == 0 else ():
        name, *more = command.split()
        said = cli(name, ids(cli("ls", "--output", "json", *THERE))[-1], *more, *THERE)
        assert said.code in (0, 1, 2, 4), (command, said.err)
    if said.code == 0:
        assert cli("db", "check", *THERE).code == 0


def saved(**changes: Any) -> Callable[[Any], None]:
    return lambda snapshot: snapshot.update(changes)


FORGED_SNAPSHOTS: dict[str, Callable[[Any], None]] = {
    "its instant is a text": saved(now="x"),
    "its instant is none that there is": saved(now=2**60),
    "it is of another run": lambda snapshot: snapshot["header"].update(run_id="../x"),
    "its run's id is none": lambda snapshot: snapshot["header"].update(run_id=[]),
    "its seed is a text": lambda snapshot: snapshot["header"].update(seed="x"),
    "its hooks have run in nothing": lambda snapshot: snapshot["pool"].__setitem__(snapshot["apart"][-1][1]["context"], 7),
    "it counts in texts": saved(leaves=["1", "1"]),
    "it is closed in a way": saved(closed="no"),
    "who left is a text": saved(exits=["x"]),
    "it has a field of another kind of node": lambda snapshot: snapshot["apart"][0][1].update(retries=1),
    "a reference to a value that is not there": lambda snapshot: snapshot["apart"][-1][1].update(context=99),
    "more children than there can be": lambda snapshot: snapshot["apart"][0][1].update(children=10**12),
}


@pytest.mark.rule("RT-56")
@pytest.mark.parametrize("forged", FORGED_SNAPSHOTS)
def test_a_snapshot_is_not_believed_either(cli: Cli, tmp_path: Path, forged: str) -> None:
    hooks = "  hooks: {onStart: {template: note}}\n"
    path = workflow(tmp_path, task("ask", "await"), spec=hooks)
    path.write_text(path.read_text() + "    - task: {name: note, executor: {type: noop}}\n")
    assert cli("run", path, "--quiet", "--run-id", "r1", "--store", "sqlite:kept.db?tier=snapshot").code == 7
    assert cli("export", "r1", "--to", "r1.jsonl", "--store", "sqlite:kept.db").code == 0
    records = [json.loads(line) for line in (tmp_path / "r1.jsonl").read_text().splitlines()[:-1]]
    write(tmp_path / "same.jsonl", records)
    assert cli("import", "same.jsonl", "--store", "sqlite:same.db").code == 0
    state = json.loads(records[0]["snapshot"])
    FORGED_SNAPSHOTS[forged](state)
    records[0]["snapshot"] = json.dumps(state)
    write(tmp_path / "forged.jsonl", records)
    said = cli("import", "forged.jsonl", *THERE)
    assert (said.code, "is damaged: " in said.err) == (2, True), said.err
    assert not (tmp_path / "there.db").exists()


@pytest.mark.rule("RT-56")
def test_a_first_step_of_another_run_is_refused(cli: Cli, records: Records, tmp_path: Path) -> None:
    records[1]["step"] = records[1]["step"].replace('"run_id":"r1"', '"run_id":"../r1"')
    write(tmp_path / "forged.jsonl", records)
    said = cli("import", "forged.jsonl", *THERE)
    assert (said.code, "its header is not that of its first step" in said.err) == (2, True), said.err


@pytest.mark.rule("RT-56")
def test_the_row_of_an_imported_run_is_what_its_steps_say(cli: Cli, records: Records, tmp_path: Path) -> None:
    wrong = row(phase="Succeeded", closed=False, message="fine", created_at=0, workflow="other", labels={"a": "b"})
    write(tmp_path / "forged.jsonl", [*wrong(records), {"news": "of a later version"}])
    assert cli("import", "forged.jsonl", *THERE).err == "imported run r1: Failed\n"
    assert cli("ls", "--output", "json", *THERE).json == cli("ls", "--output", "json").json
    assert cli("db", "check", *THERE).code == 0


def test_nothing_may_follow_the_end_of_a_file(cli: Cli, records: Records, tmp_path: Path) -> None:
    whole = (tmp_path / "r1.jsonl").read_text()
    (tmp_path / "twice.jsonl").write_text(whole * 2)
    assert "something follows its end" in cli("import", "twice.jsonl", *THERE).err
    refused = cli("import", "r1.jsonl")
    assert (refused.code, ids(cli("ls", "--output", "json"))) == (2, ["r1"])
    assert "aether rm" in refused.err


def test_an_export_goes_where_it_is_sent(cli: Cli, records: Records, tmp_path: Path) -> None:
    whole = (tmp_path / "r1.jsonl").read_text()
    assert cli("export", "r1", "--to", "-").out == whole
    before = os.umask(0)
    assert cli("export", "r1", "--to", "new.jsonl").code == 0
    os.umask(before)
    assert (tmp_path / "new.jsonl").stat().st_mode & 0o777 == 0o600, "a new file is its owner's alone"
    pipe, link, kept = tmp_path / "pipe", tmp_path / "link", tmp_path / "kept"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    assert cli("export", "r1", "--to", pipe).code == 0
    assert reader.communicate(timeout=60)[0] == whole
    assert pipe.is_fifo(), "it was written to, not replaced"
    kept.write_text("old")
    kept.chmod(0o640)
    link.symlink_to(kept)
    assert cli("export", "r1", "--to", link).code == 0
    assert (link.is_symlink(), kept.read_text(), kept.stat().st_mode & 0o777) == (True, whole, 0o640)
    assert cli("export", "nobody", "--to", kept).code == 2
    assert kept.read_text() == whole, "a file that would not be whole is not put there"
    assert cli("export", "r1", "--to", "nowhere/r1.jsonl").code == 9
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".") and item.name != ".aether"] == []


def test_a_full_disk_is_told(cli: Cli, records: Records) -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.fail("this system has no /dev/full")
    said = cli("export", "r1", "--to", full)
    assert said.code == 9
    assert "No space left" in said.err
    assert full.is_char_device()
    for command in (["show", "r1"], ["events", "r1"], ["logs", "r1"], ["ls"], ["export", "r1"]):
        with full.open("w") as out:
            done = subprocess.run([*AETHER, *command], env=environment(AETHER_STORE="sqlite:.aether/aether.db"), stdout=out,
                                  stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert done.returncode == 9
        assert "Traceback" not in done.stderr
        assert "No space left" in done.stderr


def change(tmp_path: Path, statement: str) -> None:
    connection = sqlite3.connect(tmp_path / ".aether" / "aether.db")
    with connection:
        connection.execute(statement)
    connection.close()


def sign(tmp_path: Path) -> None:
    """Give what is stored of the one run digests that fit."""
    connection = sqlite3.connect(tmp_path / ".aether" / "aether.db")
    with connection:
        before = b""
        for id_, *told in connection.execute("SELECT id, last, ended, change, lines FROM steps ORDER BY id").fetchall():
            before = next_sum(before, id_, *told)
            connection.execute("UPDATE steps SET sum = ? WHERE id = ?", (before, id_))
        header = connection.execute(f"SELECT {COVERED['heads']} FROM heads").fetchone()
        connection.execute("UPDATE heads SET sum = ?", (sum_of("heads", header),))
        moved = connection.execute(f"SELECT {COVERED['moved']} FROM runs").fetchone()
        connection.execute("UPDATE runs SET head = ?, moved = ?", (before, sum_of_moved(moved, before)))
    connection.close()


@pytest.mark.rule("RT-58", "RT-93")
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE runs SET phase = 'Succeeded'", "the row of run 'r1' does not fit its digest"),
        ("UPDATE steps SET lines = replace(lines, 'NodeEnded', 'NodeLost')", "that do not fit their digest"),
        ("UPDATE plans SET text = replace(text, 'exit 3', 'exit 4')", "plan 1 does not fit its digest"),
        ("UPDATE heads SET header = '[99]'", "the header of run 'r1' does not fit its digest"),
    ],
)
def test_what_is_read_is_held_against_its_digest(
    cli: Cli, records: Records, tmp_path: Path, statement: str, told: str
) -> None:
    change(tmp_path, statement)
    said = cli("db", "check")
    assert (said.code, told in said.out) == (9, True), said.out
    for arguments in (("show", "r1"), ("retry", "r1"), ("export", "r1", "--to", "x")):
        said = cli(*arguments)
        assert (said.code, "does not fit its digest" in said.err) == (9, True), said.err


@pytest.mark.rule("RT-58")
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE runs SET phase = 'Succeeded'", "the row of run 'r1' differs from its record: phase"),
        ("UPDATE steps SET lines = replace(lines, 'NodeEnded', 'NodeLost')", "cannot be read: a record holds the unknown fact"),
        ("UPDATE heads SET header = '[99]'", "run 'r1' cannot be read"),
    ],
)
def test_a_check_replays_every_run(cli: Cli, records: Records, tmp_path: Path, statement: str, told: str) -> None:
    """Digests that fit do not make a record a run: here they are made anew for what was written."""
    assert cli("db", "check").code == 0
    change(tmp_path, statement)
    sign(tmp_path)
    said = cli("db", "check")
    assert "does not fit its digest" not in said.out
    assert said.code == 9
    assert told in said.out
    shown = cli("show", "r1")
    assert shown.code in (0, 9)
    assert "internal error" not in shown.err


def test_a_check_of_a_file_that_is_damaged_does_not_advise_a_check(cli: Cli, records: Records, tmp_path: Path) -> None:
    path = tmp_path / ".aether" / "aether.db"
    held = path.read_bytes()
    path.write_bytes(held[:4096] + b"\x07" * (len(held) - 4096))
    said = cli("db", "check")
    assert said.code == 9
    assert "restore it from a backup" in said.out + said.err or "fault" in said.err
    assert "`aether db check`" not in said.err
    assert "`aether db check` reports more" in cli("show", "r1").err


@pytest.mark.rule("RT-58")
def test_commands_that_only_look_leave_the_store_as_it_is(cli: Cli, records: Records, tmp_path: Path) -> None:
    store = tmp_path / ".aether"
    before = {item.name: (item.read_bytes(), item.stat().st_mtime_ns) for item in store.iterdir()}
    commands = ["ls", "show r1", "show r1 --output json", "events r1", "logs r1", "replay r1 --at 1", "diff r1 r1", "wait r1",
                "export r1 --to out.jsonl", "db check", "db info", "prune --older-than 1ms --dry-run"]
    assert [cli(*command.split()).code for command in commands] == [1 if command == "wait r1" else 0 for command in commands]
    assert {item.name: (item.read_bytes(), item.stat().st_mtime_ns) for item in store.iterdir()} == before


def test_what_no_store_can_hold_is_told_as_such(cli: Cli, records: Records, tmp_path: Path) -> None:
    half = os.fsdecode(b"\xff")  # an argument that is not UTF-8
    path = workflow(tmp_path, task("a", "noop", "{}"))
    asked = [("show", half), ("rm", half), ("ls", "--name", half), ("run", path, "--lock", half), ("cron", "show", half)]
    for command in asked:
        said = cli(*command)
        assert (said.code, "is not UTF-8 text" in said.err) == (2, True), said.err
    said = cli("ls", "--page", f"{2**70}:r1")
    assert (said.code, "a number is too large" in said.err) == (2, True)
    write(tmp_path / "forged.jsonl", plan(namespace="\ud800")(records))
    assert cli("import", "forged.jsonl", *THERE).code == 2
    assert "no store" in cli("ls", *THERE).err
    assert ids(cli("ls", "--output", "json")) == ["r1"]
