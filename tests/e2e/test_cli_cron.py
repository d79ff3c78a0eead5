"""`aether cron` on real stores: what is applied, refused, listed, switched, removed and exported."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.schedules import NEVER, Place, cron_file, cron_text

TEMPLATE = """---
apiVersion: aether/v1
kind: WorkflowTemplate
metadata: {name: greetings}
spec:
  templates:
    - task: {name: hello, executor: {type: noop}}
"""
BORROWED = """---
apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: borrowed, namespace: ops}
spec:
  schedule: "@daily"
  timezone: Europe/Berlin
  workflowSpec:
    entrypoint: main
    templates:
      - dag: {name: main, tasks: [{name: a, templateRef: {name: greetings, template: hello, namespace: default}}]}
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- apply ---


@pytest.mark.rule("CRON-6")
def test_files_folders_and_standard_input_are_applied_and_told(place: Place) -> None:
    folder = place.folder / "jobs"
    folder.mkdir()
    (folder / "several.yaml").write_text(cron_text("one") + "---\n" + cron_text("two") + TEMPLATE + BORROWED)
    workflow(folder, task("a", "noop"))
    (folder / "notes.yaml").write_text("just: notes\n")
    done = place.cron("apply", folder, "-", text=cron_text("three", schedule="*/5 * * * *"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["created one", "created two", "created ops/borrowed", "created three"]
    assert re.fullmatch(r"created ops/borrowed: next \d{4}-\d\d-\d\d 00:00 CES?T, in .*", lines[2])
    assert "flow.yaml: Workflow flow has no schedule and was left alone" in done.stderr
    told = place.json("ls")["schedules"]
    assert [(one["namespace"], one["name"]) for one in told] == [
        ("default", "one"), ("default", "three"), ("default", "two"), ("ops", "borrowed"),
    ]


@pytest.mark.rule("CRON-6")
def test_what_has_changed_is_told_from_what_has_not(place: Place) -> None:
    path = cron_file(place.folder, "nightly")

    def applied(*more: str) -> str:
        done = place.cron("apply", path, *more)
        return done.stdout.split(" ")[0] if done.returncode == 0 else str(done.returncode)

    assert [applied(), applied()] == ["created", "unchanged"]
    path.write_text(cron_text("nightly", schedule="0 0 1 2 *"))
    assert [applied(), applied()] == ["updated", "unchanged"]
    path.write_text(cron_text("nightly", "echo other", schedule="0 0 1 2 *"))
    assert [applied(), applied("--replace"), applied()] == ["3", "replaced", "unchanged"]
    assert place.json("show", "nightly")["generation"] == 2
    (told,) = place.json("apply", path)["schedules"]
    assert (told["action"], told["name"], told["schedule"]) == ("unchanged", "nightly", "0 0 1 2 *")


@pytest.mark.rule("TMPL-2")
def test_references_are_looked_up_in_libraries_and_in_the_store(place: Place) -> None:
    path = place.folder / "borrowed.yaml"
    path.write_text(BORROWED)
    library = place.folder / "lib"
    library.mkdir()
    (library / "greetings.yaml").write_text(TEMPLATE)
    missing = place.cron("apply", path)
    assert missing.returncode == 3
    assert "AE203" in missing.stderr
    assert place.cron("apply", path, "--library", library).stdout.startswith("created ops/borrowed")
    assert place.call("template", "apply", library).returncode == 0
    assert place.cron("apply", path).stdout.startswith("unchanged ops/borrowed")


def refusals(folder: Path) -> dict[str, tuple[str, str, str]]:
    """By name: a document, the place of its fault, what is reported."""
    more = "  timezone: Europe/Berlin\n"
    parameter = "    arguments: {parameters: [{name: day, type: string}]}\n"
    return {
        "zone": (cron_text("bad", spec="  timezone: Europe/Rungholt\n"), "6:13: error AE124", "is not a time zone"),
        "never": (cron_text("bad", schedule="0 0 31 2 *"), "5:18: error AE502", "never fires"),
        "text": (cron_text("bad", schedule="0 25 * * *"), "5:16: error AE501", "'25'"),
        "end": (cron_text("bad", spec='  endAt: "2026-01-01T00:00:00Z"\n'), "6:10: error AE511", "its endAt is in the past"),
        "window": (
            cron_text("bad", spec=more + '  startAt: "2990-01-02T00:00:00Z"\n  endAt: "2990-12-01T00:00:00Z"\n'),
            "8:10: error AE503", "does not fire from startAt",
        ),
        "twice": (cron_text("good"), "3:18: error AE135", "is already there"),
        "same-file": (cron_text("bad") + "---\n" + cron_text("bad"), "15:18: error AE135", "is already there"),
        "parameter": (cron_text("bad", workflow=parameter), "8:30: error AE512", "parameter 'day' has no value"),
        "executor": (cron_text("bad").replace("script", "scirpt"), "11:28: error AE401", "scirpt"),
        "changed": (cron_text("applied", "echo other"), "6:3: error AE510", "runs another workflowSpec"),
    }


@pytest.mark.rule("CRON-1", "CRON-6", "DATA-14")
@pytest.mark.parametrize("name", list(refusals(Path())))
def test_what_is_wrong_is_told_with_its_place_and_nothing_is_stored(place: Place, name: str) -> None:
    place.apply("applied")
    before = place.json("ls")
    good = cron_file(place.folder, "good")
    text, where, what = refusals(place.folder)[name]
    bad = place.folder / "bad.yaml"
    bad.write_text(text)
    done = place.cron("apply", good, bad)
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    (told,) = [line for line in done.stderr.splitlines() if "error AE" in line]
    assert told.startswith(f"{bad}:{where}"), told
    assert what in told
    assert "error: nothing was applied" in done.stderr
    assert place.json("ls") == before


def test_all_faults_of_all_files_are_told_at_once_and_no_store_is_made(place: Place) -> None:
    (place.folder / "a.yaml").write_text(cron_text("a", schedule="0 0 30 2 *"))
    (place.folder / "b.yaml").write_text(cron_text("b", spec='  endAt: "2020-01-01T00:00:00Z"\n'))
    done = place.cron("apply", place.folder)
    assert done.returncode == 3
    assert [re.search(r"AE\d+", line)[0] for line in done.stderr.splitlines() if "error AE" in line] == [  # type: ignore[index]
        "AE502", "AE511",
    ]
    assert not place.path.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["apply", "flow.yaml"], "there is no CronWorkflow in 'flow.yaml'"),
        (["apply", "nowhere.yaml"], "there is no file 'nowhere.yaml'"),
        (["apply", "nightly.yaml", "--store", "memory"], "ends with its process"),
        (["run", "--store", "memory"], "ends with its process"),
        (["tick", "--store", "sqlite:nowhere.db"], "there is no store"),
        (["show", "nightli"], "did you mean 'nightly'?"),
        (["show", "ops/nightly"], "there is one in namespace 'default': default/nightly"),
        (["trigger", "nightli"], "did you mean 'nightly'?"),
        (["tick", "nightli"], "did you mean 'nightly'?"),
        (["rm", "nightly", "nightli"], "did you mean 'nightly'?"),
        (["suspend", "nightly", "nightli"], "did you mean 'nightly'?"),
        (["next", "nightli"], "did you mean 'nightly'?"),
        (["next", "flow.yaml"], "holds no CronWorkflow"),
        (["history", "nightly", "--page", "x"], "is not a page"),
        (["backfill", "nightly", "--from", "2026-01-02", "--until", "2026-01-01"], "--until is before --from"),
        (["backfill", "nightly", "--from", "2990-01-01"], "--from is in the future"),
        (["export", "nightly", "more", "-o", "crontab"], "'more' is not an option"),
        (["export", "nightly", "-o", "crontab", "--to", "units"], "--to is for units"),
        (["aply"], "did you mean 'apply'?"),
    ],
)
def test_wrong_usage(place: Place, arguments: list[str], told: str) -> None:
    place.apply("nightly")
    workflow(place.folder, task("a", "noop"))
    done = place.cron(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert not place.json("show", "nightly")["suspend"]  # there it is, and as it was


# --- looking ---


def test_a_list_of_schedules_without_a_store(tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.cron("ls", "--store", "sqlite:.aether/aether.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no store at 'sqlite:.aether/aether.db'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_schedule_is_listed_and_shown_with_its_last_run(place: Place) -> None:
    place.apply("nightly", "exit 3", spec="  concurrencyPolicy: Forbid\n  startingDeadlineSeconds: 600\n")
    at = place.make_due("nightly")
    assert place.cron("tick").returncode == 1
    (one,) = place.json("ls")["schedules"]
    (record,) = place.history("nightly")
    fired = datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (one["lastFireAt"], one["lastRun"]) == (fired, {"runId": record["runId"], "phase": "Failed"})
    assert (record["at"], record["kind"], record["phase"]) == (fired, "started", "Failed")
    assert record["runId"] == f"nightly.{datetime.fromtimestamp(at / 1e6, UTC):%Y%m%dT%H%M%SZ}"
    table = place.cron("ls").stdout.splitlines()
    assert len(table) == 2
    assert "✗ Failed" in table[1]
    shown = place.cron("show", "nightly").stdout
    for words in ("policy:      Forbid, late by 600 seconds at most", "next:", "fires so far:", "runs that are kept:"):
        assert words in shown
    told = place.json("show", "nightly")
    assert [run["runId"] for run in told["runs"]] == [record["runId"]]
    assert told["fires"] == [record]
    assert len(told["next"]) == 5
    assert told["document"]["kind"] == "CronWorkflow"


def test_history_has_pages(place: Place) -> None:
    place.apply("nightly", spec="  successfulJobsHistoryLimit: 10\n")
    place.make_due("nightly", minutes_ago=5)
    assert place.cron("tick").returncode == 0
    for _ in range(3):
        assert place.cron("trigger", "nightly", "--quiet").returncode == 0
    first = place.json("history", "nightly", "--limit", "3")
    second = place.json("history", "nightly", "--limit", "3", "--page", first["next"])
    kinds = [one["kind"] for page in (first, second) for one in page["fires"]]
    assert kinds == ["triggered", "triggered", "triggered", "started"]
    assert second["next"] is None
    assert len(place.cron("history", "nightly").stdout.splitlines()) == 5


@pytest.mark.rule("CRON-1")
def test_the_next_fires_of_a_file_need_no_store_and_tell_what_is_odd(place: Place) -> None:
    text = cron_text("nightly", schedule="30 2 * * *", spec="  timezone: Europe/Berlin\n")
    (place.folder / "nightly.yaml").write_text(text + "---\n" + cron_text("other", spec="  suspend: true\n"))
    done = place.cron("next", "nightly.yaml", "--limit", "3", "--after", "2026-03-28")
    assert done.returncode == 0, done.stderr
    lines = [re.sub(r"  (in \S+( \S+)?|\S+( \S+)? ago)", "", line) for line in done.stdout.splitlines()]
    assert lines == [
        "nightly  30 2 * * *  Europe/Berlin",
        "  2026-03-28 02:30 CET",
        "  2026-03-29 03:00 CEST  (for a time that is skipped: the clock goes from 02:00 to 03:00)",
        "  2026-03-30 02:30 CEST",
        f"other  {NEVER}  UTC",
        "  2027-01-01 00:00 UTC",
        "  2028-01-01 00:00 UTC",
        "  2029-01-01 00:00 UTC",
    ]
    assert "other is suspended" in done.stderr
    assert not place.path.exists()
    told = place.json("next", "nightly.yaml", "--limit", "2", "--after", "2026-10-24T02:30")["schedules"][0]
    assert told["next"][0] == {
        "at": "2026-10-25T00:30:00Z",
        "local": "2026-10-25T02:30:00+02:00",
        "oddity": "only-first",
        "note": "02:30 comes twice: it fires at the first one only",
    }


def test_the_next_fires_of_a_stored_schedule_end_with_it(place: Place) -> None:
    place.apply("yearly", spec='  endAt: "2028-06-01T00:00:00Z"\n')
    done = place.cron("next", "default/yearly", "--after", "2026-06-01")
    assert [line[:10] for line in done.stdout.splitlines()] == ["2027-01-01", "2028-01-01"]
    nothing = place.cron("next", "yearly", "--after", "2029-06-01")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "yearly does not fire any more" in nothing.stderr


# --- switching and removing ---


@pytest.mark.rule("CRON-2")
def test_suspend_and_resume_may_be_said_twice(place: Place) -> None:
    place.apply("nightly")
    place.apply("other")
    done = place.cron("suspend", "nightly", "other", "nightly")
    assert done.stdout.splitlines() == ["nightly is suspended", "other is suspended"]
    assert place.cron("suspend", "nightly").stdout == "nightly is suspended already\n"
    assert [one["nextFireAt"] for one in place.json("ls")["schedules"]] == [None, None]
    place_due = place.cron("tick")
    assert (place_due.returncode, place_due.stderr) == (0, "")
    resumed = place.cron("resume", "nightly", "other").stdout.splitlines()
    assert resumed[0].startswith("nightly is resumed: next ")
    assert place.cron("resume", "nightly").stdout.startswith("nightly was not suspended: next ")
    place.cron("suspend", "nightly")
    applied = place.cron("apply", "nightly.yaml").stdout  # the document says nothing of it: it is not suspended
    assert applied.startswith("updated nightly: it was suspended and is resumed, next ")


def test_runs_stay_when_their_schedule_is_removed_unless_that_is_asked_for(place: Place) -> None:
    for name in ("one", "two"):
        place.apply(name)
        assert place.cron("trigger", name, "--quiet").returncode == 0
    assert place.cron("rm", "one").stdout == "removed schedule one\n"
    assert place.cron("rm", "two", "--runs").stdout == "removed schedule two and 1 run of it\n"
    runs = json.loads(place.call("ls", "--output", "json").stdout)["runs"]
    assert [run["workflow"]["name"] for run in runs] == ["one"]
    assert place.json("ls") == {"schedules": []}


# --- exporting ---


def test_a_line_for_a_crontab_carries_a_schedule_out(place: Place) -> None:
    zone_line = "  timezone: Europe/Berlin\n"
    place.apply("nightly", f"echo done > {place.folder}/trace", schedule="5/20 2 * * MON-FRI", spec=zone_line)
    done = place.cron("export", "nightly", "-o", "crontab", "--", "--concurrency", "2")
    assert done.returncode == 0, done.stderr
    *comments, zone, line = done.stdout.splitlines()
    assert all(comment.startswith("#") for comment in comments)
    assert zone == "CRON_TZ=Europe/Berlin"
    fields, command = line.split("  ", 1)
    assert fields == "5-59/20 2 * * 1-5"
    place.make_due("nightly")
    ran = subprocess.run(["sh", "-c", command], cwd="/", capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (place.folder / "trace").read_text() == "done\n"


def test_units_for_systemd_are_written_for_each_schedule_of_a_file(place: Place) -> None:
    (place.folder / "two.yaml").write_text(cron_text("one", schedule="0 0 13 * FRI") + "---\n" + cron_text("two"))
    done = place.cron("export", "two.yaml", "-o", "systemd", "--to", "units")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (place.folder / "units").iterdir()) == [
        "aether-one.service", "aether-one.timer", "aether-two.service", "aether-two.timer",
    ]
    timer = (place.folder / "units" / "aether-one.timer").read_text()
    assert re.findall("^OnCalendar=(.*)$", timer, re.M) == ["*-*-13 00:00:00 UTC", "Fri *-*-* 00:00:00 UTC"]
    service = (place.folder / "units" / "aether-one.service").read_text()
    assert f"cron tick one --store {place.url}" in service
    assert f"WorkingDirectory={place.folder}" in service
