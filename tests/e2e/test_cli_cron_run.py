"""Schedulers as processes: started, stopped, killed, several at once, on one SQLite file. Fires are made due by setting stored
schedules back, so no test waits for a minute to pass."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.stores.sqlite.store import SqliteStore
from aether_protocol.engine.mailbox import resume_question
from aether_protocol.ports.store.schedules import FireRecord
from tests.e2e.process import environment, read_until
from tests.e2e.schedules import MINUTE, Place, cron_text, set_due

PATIENCE_S = 60


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def gate(folder: Path, name: str = "open") -> str:
    """A script that writes a line and ends when a file is there."""
    return f"echo $AETHER_IDEMPOTENCY_KEY >> {folder}/trace; until test -e {folder}/{name}; do sleep 0.02; done"


def until(process: subprocess.Popen[str], words: str, out: bool = False) -> str:
    return read_until(process.stdout if out else process.stderr, words)


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def phases(place: Place) -> dict[str, str]:
    told = json.loads(place.call("ls", "--output", "json").stdout)
    return {run["runId"]: run["phase"] for run in told["runs"]}


# --- run ---


@pytest.mark.rule("CRON-6")
def test_a_scheduler_starts_what_is_due_tells_of_it_and_ends_on_sigterm(place: Place) -> None:
    place.apply("fine", f"echo fine >> {place.folder}/trace")
    place.apply("bad", "exit 3")
    place.make_due("fine", "bad")
    process = place.start("run")
    told = until(process, "run fine.") + until(process, "Succeeded")
    code, out, err = end(process)
    told += err
    assert (code, out) == (0, "")
    assert "scheduler of sqlite:" in told
    for name in ("fine", "bad"):
        assert sum(f"{name}: fire " in line and " started, run " in line for line in told.splitlines()) == 1
    assert [line for line in told.splitlines() if "bad" in line and "Failed in" in line and "exit code 3" in line]
    assert told.splitlines()[-1].endswith("the scheduler ends")
    assert (place.folder / "trace").read_text() == "fine\n"


def test_a_scheduler_tells_the_same_as_json_lines(place: Place) -> None:
    place.apply("fine")
    place.make_due("fine")
    process = place.start("run", "--output", "events")
    out = until(process, "RunEnded", out=True)
    code, rest, err = end(process)
    assert (code, err) == (0, "")
    told = events(out + rest)
    assert [one["kind"] for one in told] == [
        "SchedulerStarted", "FireStarted", "RunEnded", "SchedulerLeaving", "SchedulerEnded"
    ]
    assert told[1]["runId"] == told[2]["runId"]
    assert (told[2]["phase"], told[2]["schedule"]) == ("Succeeded", {"name": "fine", "namespace": "default"})
    assert told[-1]["leftRunIds"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_runs_get_a_grace_to_end(place: Place, number: int) -> None:
    place.apply("slow", gate(place.folder))
    place.make_due("slow")
    process = place.start("run", "--grace", "60")
    until(process, "started, run")
    process.send_signal(number)
    until(process, "1 run may continue for 60s")
    (place.folder / "open").touch()
    assert process.wait(PATIENCE_S) == 0
    assert "Succeeded" in process.communicate()[1]
    assert list(phases(place).values()) == ["Succeeded"]


@pytest.mark.rule("CRON-6")
def test_what_does_not_end_in_its_grace_is_left_and_the_next_scheduler_goes_on_with_it(place: Place) -> None:
    place.apply("slow", gate(place.folder))
    place.make_due("slow")
    process = place.start("run", "--grace", "0")
    until(process, "started, run")
    read_trace(place, 1)
    code, _, err = end(process)
    assert code == 0
    assert "left for the next one: slow." in err
    assert list(phases(place).values()) == ["Running"]
    (place.folder / "open").touch()
    second = place.start("run")
    told = until(second, "Succeeded")
    assert "recovered run slow." in told
    assert end(second)[0] == 0
    keys = (place.folder / "trace").read_text().split()
    assert len(set(keys)) == 1  # the same attempt, dispatched again


@pytest.mark.rule("RT-124")
def test_a_scheduler_drops_a_run_that_only_waits_and_wakes_it_when_it_is_answered(place: Place) -> None:
    path = place.folder / "asks.yaml"
    script = 'type: script, config: {runtime: sh, source: "echo done"}'
    path.write_text(cron_text("asks").replace(script, "type: await"), "utf-8")
    assert place.cron("apply", path).returncode == 0
    place.make_due("asks")
    process = place.start("run", "--passivate-after", "0.1")
    until(process, "waits for an answer")
    row: dict[str, Any] = {"asleep": False}
    while not row["asleep"]:
        [row] = json.loads(place.call("ls", "-o", "json").stdout)["runs"]
    assert (row["phase"], row["wakeAt"] is not None) == ("Suspended", True), "its time limit wakes it"
    assert "asleep until " in place.call("ls").stdout
    assert "no process: it is asleep until " in place.call("show", "latest").stdout
    shown = json.loads(place.call("show", "latest", "-o", "json").stdout)
    assert (shown["asleep"], shown["wakeAt"]) == (True, row["wakeAt"])
    place.look(lambda store: store.mailbox.post(row["runId"], resume_question("main", {"approved": True})))
    assert "Succeeded" in until(process, "Succeeded")
    assert end(process)[0] == 0
    assert list(phases(place).values()) == ["Succeeded"]


def read_trace(place: Place, lines: int) -> None:
    """Return once the scripts have written so many lines."""
    process = subprocess.run(
        ["sh", "-c", f"until test $(wc -l < {place.folder}/trace || echo 0) -ge {lines}; do sleep 0.02; done"],
        timeout=PATIENCE_S, check=True, stderr=subprocess.DEVNULL,
    )
    assert process.returncode == 0


def test_a_second_signal_ends_it_at_once(place: Place) -> None:
    place.apply("slow", gate(place.folder))
    place.make_due("slow")
    process = place.start("run", "--grace", "3600")
    until(process, "started, run")
    process.send_signal(signal.SIGTERM)
    until(process, "may continue")
    assert end(process)[0] == 0
    assert list(phases(place).values()) == ["Running"]


def test_nothing_more_is_started_after_a_signal(place: Place) -> None:
    place.apply("slow", gate(place.folder))
    place.apply("later", f"echo later >> {place.folder}/later")
    place.make_due("slow")
    process = place.start("run", "--grace", "60")
    until(process, "started, run")
    process.send_signal(signal.SIGTERM)
    until(process, "nothing more is started")
    place.make_due("later")
    (place.folder / "open").touch()
    process.communicate(timeout=PATIENCE_S)
    assert not (place.folder / "later").exists()
    assert [one["kind"] for one in place.history("later")] == []


def test_what_others_change_counts_while_a_scheduler_works(place: Place) -> None:
    process = place.start("run")  # there is no store yet
    until(process, "0 schedules")
    place.apply("new")
    place.make_due("new")
    until(process, "new: run new.")
    assert place.cron("suspend", "new").returncode == 0
    assert place.cron("rm", "new").returncode == 0
    assert end(process)[0] == 0


@pytest.mark.rule("CTRL-1")
def test_a_suspended_run_is_told_and_answered_from_elsewhere(place: Place) -> None:
    run_id = waiting(place, "1h")
    process = place.start("run")
    told = until(process, "waits for an answer")
    assert f"aether resume {run_id} main.ok" in told
    assert place.call("resume", run_id, "main.ok", "-p", "approved=true").returncode == 0
    until(process, "Succeeded")
    assert end(process)[0] == 0


# --- several ---

SCHEDULES, ROUNDS = 12, 8
SOON = 1_500_000  # a scheduler looks every second what others changed; then all of them wait for the same instant


async def dealt_with(store: SqliteStore, when: int) -> None:
    """Return once a scheduler has looked at every schedule after that instant."""
    while True:
        if all(schedule.seen >= when for schedule in await store.schedules.find()):
            return
        await asyncio.sleep(0.02)


@pytest.mark.rule("CRON-6")
def test_two_schedulers_that_wake_at_one_instant_never_start_a_fire_twice_and_lose_none(place: Place) -> None:
    names = [f"job-{number:02}" for number in range(SCHEDULES)]
    source = f"echo $AETHER_IDEMPOTENCY_KEY >> {place.folder}/trace"
    place.apply_all(names, source, spec=f"  successfulJobsHistoryLimit: {ROUNDS + 1}\n")
    processes = [place.start("run", "--output", "events") for _ in range(2)]
    for process in processes:
        until(process, "SchedulerStarted", out=True)

    async def rounds(store: SqliteStore) -> list[FireRecord]:
        for number in range(ROUNDS):
            now = int(datetime.now(UTC).timestamp() * 1_000_000)
            at = now - now % MINUTE - (2 * ROUNDS - number) * MINUTE  # a minute of its own, whenever the clock's changes
            for name in names:
                await set_due(store, name, at, now + SOON)
            async with asyncio.timeout(PATIENCE_S):
                await dealt_with(store, now + SOON)
        return [record for name in names for record in await store.schedules.fires("default", name)]

    records = place.look(rounds)
    each = [events(end(process)[1]) for process in processes]
    print([sum(one["kind"] == "FireStarted" for one in several) for several in each])
    told = [one for several in each for one in several]
    started = Counter(one["runId"] for one in told if one["kind"] == "FireStarted")
    assert len(started) == SCHEDULES * ROUNDS
    assert set(started.values()) == {1}
    assert Counter(one["runId"] for one in told if one["kind"] == "RunEnded") == started
    assert {record.kind for record in records} == {"started"}
    assert Counter(record.run_id for record in records) == started
    keys = (place.folder / "trace").read_text().split()
    assert len(keys) == len(set(keys)) == SCHEDULES * ROUNDS


@pytest.mark.rule("CRON-6")
def test_ticks_at_the_same_time_share_what_is_due(place: Place) -> None:
    names = [f"job-{number}" for number in range(6)]
    place.apply_all(names, f"echo $AETHER_IDEMPOTENCY_KEY >> {place.folder}/trace")
    place.make_due(*names)
    ticks = [place.start("tick", "--output", "events") for _ in range(4)]
    outs = [process.communicate(timeout=PATIENCE_S) for process in ticks]
    assert [process.returncode for process in ticks] == [0] * 4, outs
    started = Counter(one["schedule"]["name"] for out, _ in outs for one in events(out) if one["kind"] == "FireStarted")
    assert started == Counter(names)
    keys = (place.folder / "trace").read_text().split()
    assert len(keys) == len(set(keys)) == len(names)


DIES_BEFORE_IT_BEGINS = """
import os, signal, sys
from aether_protocol.engine.api import RunEngine

def die(self, draft, token):
    os.kill(os.getpid(), signal.SIGKILL)

RunEngine.begin = die
from aether_protocol.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.rule("CRON-6")
@pytest.mark.parametrize("command", ["run", "tick"])
def test_a_scheduler_that_is_killed_between_the_record_and_the_run_loses_nothing(place: Place, command: str) -> None:
    place.apply("nightly", f"echo ran >> {place.folder}/trace")
    place.make_due("nightly")
    dead = subprocess.run(
        [sys.executable, "-c", DIES_BEFORE_IT_BEGINS, "cron", command], cwd=place.folder,
        env=environment(AETHER_STORE=place.url), capture_output=True, timeout=PATIENCE_S, check=False,
    )
    assert dead.returncode == -signal.SIGKILL
    assert [(one["kind"], one["phase"]) for one in place.history("nightly")] == [("started", "Created")]
    assert not (place.folder / "trace").exists()
    done = place.cron("tick")
    assert done.returncode == 0, done.stderr
    assert "recovered run nightly." in done.stderr
    assert (place.folder / "trace").read_text() == "ran\n"
    assert [(one["kind"], one["phase"]) for one in place.history("nightly")] == [("started", "Succeeded")]


@pytest.mark.rule("CRON-6")
def test_a_scheduler_that_is_killed_at_work_is_followed_by_one_that_goes_on(place: Place) -> None:
    place.apply("slow", gate(place.folder))
    place.make_due("slow")
    process = place.start("run")
    until(process, "started, run")
    read_trace(place, 1)
    end(process, signal.SIGKILL)
    (place.folder / "open").touch()
    second = place.start("run")
    assert "recovered run slow." in until(second, "Succeeded")
    assert end(second)[0] == 0
    assert len(place.history("slow")) == 1


# --- tick ---


def test_a_tick_without_anything_due_says_and_does_nothing(place: Place) -> None:
    place.apply("nightly")
    done = place.cron("tick")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.rule("CRON-5")
def test_a_tick_sees_everything_to_its_end_and_gives_the_worst_code(place: Place) -> None:
    place.apply("fine")
    place.apply("fails", "exit 1")
    place.apply("late", "sleep 60", workflow="    timeout: 300ms\n")
    place.make_due("fine", "fails", "late")
    done = place.cron("tick", "--quiet")
    assert done.returncode == 1
    assert sorted({line.split("  ")[1].split(":")[0] for line in done.stderr.splitlines()}) == ["fails", "late"]
    assert sorted(phases(place).values()) == ["Failed", "Succeeded", "Timeout"]


def test_a_tick_for_one_schedule_leaves_the_others_to_others(place: Place) -> None:
    for name in ("one", "two"):
        place.apply(name, f"echo {name} >> {place.folder}/trace")
    place.make_due("one", "two")
    assert place.cron("tick", "two").returncode == 0
    assert (place.folder / "trace").read_text() == "two\n"
    assert place.cron("tick").returncode == 0
    assert (place.folder / "trace").read_text() == "two\none\n"


def waiting(place: Place, timeout: str) -> str:
    """A schedule with a task that waits for an answer, and a fire that is due; the id of its run."""
    text = (
        "apiVersion: aether/v1\nkind: CronWorkflow\nmetadata: {name: asks}\nspec:\n  schedule: '0 0 1 1 *'\n  workflowSpec:\n"
        f"    entrypoint: main\n    timeout: {timeout}\n    templates:\n      - dag:\n          name: main\n          tasks:\n"
        "            - {name: ok, executor: {type: await}}\n"
    )
    (place.folder / "asks.yaml").write_text(text)
    assert place.cron("apply", "asks.yaml").returncode == 0
    at = place.make_due("asks")
    return f"asks.{datetime.fromtimestamp(at / 1e6, UTC):%Y%m%dT%H%M%SZ}"


@pytest.mark.rule("CTRL-1")
def test_a_tick_leaves_suspended_runs_and_says_so_once(place: Place) -> None:
    run_id = waiting(place, "1h")
    first = place.cron("tick")
    assert first.returncode == 7
    assert f"aether resume {run_id} main.ok" in first.stderr
    second = place.cron("tick")
    assert (second.returncode, second.stderr) == (0, "")
    assert place.call("resume", run_id, "main.ok", "-p", "approved=true").returncode == 0
    assert phases(place) == {run_id: "Succeeded"}


def test_a_run_that_has_not_ended_outlives_its_schedule(place: Place) -> None:
    run_id = waiting(place, "1h")
    assert place.cron("tick", "--quiet").returncode == 7
    removed = place.cron("rm", "asks", "--runs")
    assert removed.stdout == f"removed schedule asks and 0 runs of it; not ended, and left alone: {run_id}\n"
    assert phases(place) == {run_id: "Suspended"}


@pytest.mark.rule("SCHED-10")
def test_a_tick_lets_the_time_of_a_suspended_run_run_out(place: Place) -> None:
    run_id = waiting(place, "300ms")
    codes = [place.cron("tick").returncode]
    while codes[-1] != 5 and len(codes) < 50:  # a tick may be quicker than the time limit
        codes.append(place.cron("tick").returncode)
    assert codes[-1] == 5
    assert {*codes[:-1]} <= {7, 0}
    assert codes.count(7) <= 1, "that it is suspended is reported once"
    assert phases(place) == {run_id: "Timeout"}


def test_an_interrupted_tick_leaves_its_runs_to_the_next_one(place: Place) -> None:
    place.apply("slow", gate(place.folder))
    place.make_due("slow")
    process = place.start("tick")
    until(process, "started, run")
    read_trace(place, 1)
    assert end(process)[0] == 130
    assert list(phases(place).values()) == ["Running"]
    (place.folder / "open").touch()
    done = place.cron("tick")
    assert (done.returncode, "recovered run slow." in done.stderr) == (0, True)


# --- trigger and backfill ---


@pytest.mark.rule("CRON-5")
def test_a_run_is_triggered_whatever_the_schedule_says(place: Place) -> None:
    place.apply("nightly", "exit 4", spec="  suspend: true\n  concurrencyPolicy: Forbid\n")
    done = place.cron("trigger", "nightly", "--output", "json")
    assert done.returncode == 1
    first = json.loads(done.stdout)
    assert (first["phase"], first["workflow"]["name"]) == ("Failed", "nightly")
    assert place.cron("trigger", "nightly", "--quiet").returncode == 1
    records = place.history("nightly")
    assert [one["kind"] for one in records] == ["triggered", "triggered"]
    assert [one["phase"] for one in records] == ["Failed", None]  # failedJobsHistoryLimit is 1: the older one is deleted
    assert first["runId"] == records[1]["runId"]


@pytest.mark.rule("CRON-5")
def test_past_fires_are_run_once_oldest_first(place: Place) -> None:
    source = f"echo {{{{workflow.scheduledTime}}}} >> {place.folder}/trace"
    place.apply("hourly", source, schedule="0 * * * *", spec="  successfulJobsHistoryLimit: 2\n  timezone: Europe/Berlin\n")
    span = ["--from", "2026-03-29T00:30", "--until", "2026-03-29T05:00"]
    dry = place.cron("backfill", "hourly", *span, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    local = ["01:00 CET", "03:00 CEST", "04:00 CEST", "05:00 CEST"]  # clocks are set forward
    assert [line.split("  ")[0] for line in dry.stdout.splitlines()] == [f"2026-03-29 {one}" for one in local]
    assert phases(place) == {}
    done = place.cron("backfill", "hourly", *span)
    assert done.returncode == 0, done.stderr
    assert "backfilled 4 fires of 4, 0 left out" in done.stderr
    fires = [f"2026-03-29T0{hour}:00:00Z" for hour in range(4)]
    assert (place.folder / "trace").read_text().split() == fires
    assert sorted(phases(place)) == ["hourly.20260329T020000Z", "hourly.20260329T030000Z"]  # the history limit
    again = place.cron("backfill", "hourly", *span)
    assert (again.returncode, "backfilled 0 fires of 4, 4 left out" in again.stderr) == (0, True)
    assert "run hourly.20260329T000000Z was there and is deleted" in again.stderr
    anew = place.cron("backfill", "hourly", *span, "--again")
    assert "backfilled 2 fires of 4, 2 left out" in anew.stderr
    assert (place.folder / "trace").read_text().split() == fires + fires[:2]


def test_the_worst_run_of_a_backfill_is_told(place: Place) -> None:
    source = 'case "{{workflow.scheduledTime}}" in *T01*) exit 1;; esac'
    place.apply("hourly", source, schedule="0 * * * *")
    done = place.cron("backfill", "hourly", "--from", "2026-01-01T00:00Z", "--until", "2026-01-01T03:00Z", "--concurrency", "4")
    assert done.returncode == 1
    assert Counter(phases(place).values()) == {"Succeeded": 3, "Failed": 1}


def test_an_interrupted_backfill_starts_nothing_more_and_is_gone_on_with(place: Place) -> None:
    place.apply("hourly", gate(place.folder), schedule="0 * * * *", spec="  successfulJobsHistoryLimit: 10\n")
    span = ["--from", "2026-01-01T00:00Z", "--until", "2026-01-01T03:00Z"]
    process = place.start("backfill", "hourly", *span)
    until(process, "backfilled, run")
    read_trace(place, 1)
    code, _, err = end(process)
    assert code == 130
    assert "backfilled 1 fire of 4, 0 left out, 3 not started" in err
    (place.folder / "open").touch()
    assert place.cron("tick").returncode == 0
    rest = place.cron("backfill", "hourly", *span)
    assert (rest.returncode, "backfilled 3 fires of 4, 1 left out" in rest.stderr) == (0, True)
    assert Counter(phases(place).values()) == {"Succeeded": 4}


def test_nothing_that_a_scheduler_started_outlives_it(place: Place) -> None:
    place.apply("slow", f"echo $$ > {place.folder}/pid; echo x >> {place.folder}/trace; exec sleep 3600")
    place.make_due("slow")
    process = place.start("run", "--grace", "0")
    until(process, "started, run")
    read_trace(place, 1)
    assert end(process)[0] == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((place.folder / "pid").read_text()), 0)
