"""What is shown of stored runs: lists, one run, its past, two runs; files, deletion, upkeep, and stores that cannot be used."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.store_cli import Cli, ids, make_cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


@pytest.fixture
def runs(cli: Cli, tmp_path: Path) -> Cli:
    """Runs good (Succeeded) and bad (Failed, at its second task) in the default store."""
    labelled = "metadata: {name: flow, labels: {team: data}}"
    good = workflow(tmp_path, task("a", "echo", more=", inputs: {parameters: [{name: n, value: 1}]}"))
    good.write_text(good.read_text().replace("metadata: {name: flow}", labelled), "utf-8")
    tell = "{runtime: sh, source: 'echo one; echo two >&2; exit 3'}"
    bad = workflow(tmp_path, task("a", "noop"), task("b", "script", tell, ", dependencies: [a]"), name="bad.yaml")
    assert cli("run", good, "--quiet", "--run-id", "good").code == 0
    assert cli("run", bad, "--quiet", "--run-id", "bad").code == 1
    return cli


def test_runs_are_listed_newest_first(runs: Cli) -> None:
    table = runs("ls").out.splitlines()
    assert [line.split()[0] for line in table] == ["RUN", "bad", "good"]
    assert "✗ Failed" in table[1]
    listed = runs("ls", "--output", "json")
    assert ids(listed) == ["bad", "good"]
    assert listed.json["next"] is None


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (("--phase", "failed"), ["bad"]),
        (("--phase", "Failed", "--phase", "Succeeded"), ["bad", "good"]),
        (("--label", "team=data"), ["good"]),
        (("--name", "other"), []),
        (("--namespace", "default"), ["bad", "good"]),
        (("--since", "1h"), ["bad", "good"]),
        (("--until", "2020-01-01"), []),
        (("--open",), []),
        (("--ended",), ["bad", "good"]),
    ],
)
def test_lists_are_filtered(runs: Cli, filters: tuple[str, ...], found: list[str]) -> None:
    assert ids(runs("ls", *filters, "--output", "json")) == found


def test_lists_come_in_pages(runs: Cli) -> None:
    first = runs("ls", "--limit", "1", "--output", "json")
    assert ids(first) == ["bad"]
    second = runs("ls", "--limit", "1", "--page", str(first.json["next"]), "--output", "json")
    assert (ids(second), second.json["next"]) == (["good"], None)
    assert f"--page {first.json['next']}" in runs("ls", "--limit", "1").err


@pytest.mark.parametrize("wrong", [("--label", "team"), ("--page", "x"), ("--since", "soon"), ("--phase", "Done")])
def test_filters_that_make_no_sense(cli: Cli, wrong: tuple[str, ...]) -> None:
    assert cli("ls", *wrong).code == 2


@pytest.mark.rule("RT-58")
def test_looking_makes_no_store(cli: Cli, tmp_path: Path) -> None:
    for arguments in (("ls", "--store", "sqlite:other.db"), ("show", "latest", "--store", "sqlite:other.db")):
        said = cli(*arguments)
        assert said.code == 2
        assert "there is no store at 'sqlite:other.db'" in said.err
    assert "ends with its process" in cli("ls", "--store", "memory").err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rule("RT-41")
def test_a_run_is_found_by_the_beginning_of_its_id(runs: Cli, tmp_path: Path) -> None:
    assert runs("show", "go", "--output", "json").json["runId"] == "good"
    assert runs("show", "latest", "--output", "json").json["runId"] == "bad"
    assert runs("run", tmp_path / "bad.yaml", "--quiet", "--run-id", "bad", "--again", "failed").code == 1
    assert runs("show", "ba", "--output", "json").json["runId"] == "bad", "a retry does not hide its run"
    assert runs("run", tmp_path / "flow.yaml", "--quiet", "--run-id", "better").code == 0
    several = runs("show", "b")
    assert several.code == 2
    assert "bad, bad.2, better" in several.err
    missing = runs("show", "god")
    assert missing.code == 2
    assert "did you mean 'good'?" in missing.err


def test_show_tells_why_a_run_failed(runs: Cli) -> None:
    said = runs("show", "bad")
    assert said.code == 0
    assert "why: main.b Failed" in said.out
    assert "  | two" in said.out
    assert runs("show", "bad", "--output", "json").json["phase"] == "Failed"


def test_logs_are_those_of_a_task_or_of_all(runs: Cli) -> None:
    assert sorted(runs("logs", "bad").out.splitlines()) == ["main.b | one", "main.b | two"]
    for name in ("b", "main.b"):
        assert runs("logs", "bad", name, "--stream", "stderr").out == "two\n"
    lines = [json.loads(line) for line in runs("logs", "bad", "--output", "json").out.splitlines()]
    assert {line["stream"] for line in lines} == {"stdout", "stderr"}
    assert runs("logs", "bad", "a").out == ""
    assert "did you mean" in runs("logs", "bad", "main.bb").err


def test_events_are_the_same_as_while_it_ran(runs: Cli, tmp_path: Path) -> None:
    live = runs("run", tmp_path / "flow.yaml", "--quiet", "--run-id", "again", "--output", "events").out
    assert runs("events", "again").out == live
    assert runs("run", tmp_path / "flow.yaml", "--quiet", "--run-id", "again", "--output", "events").out == live


def test_the_past_can_be_seen_at_every_step(runs: Cli) -> None:
    events = [json.loads(line) for line in runs("events", "bad").out.splitlines()]
    last = events[-1]["seq"]
    phases = [runs("replay", "bad", "--at", str(seq), "--output", "json").json["phase"] for seq in range(last + 1)]
    assert (phases[0], phases[-1]) == ("Created", "Failed")
    assert runs("replay", "bad", "--output", "json").json == runs("show", "bad", "--output", "json").json
    changed = runs("replay", "bad", "--at", str(last - 1), "--diff", str(last), "--output", "json").json
    assert {"path": "main.b", "field": "phase", "before": "Running", "after": "Failed"} in changed["changes"]
    assert "main.b phase: Running -> Failed" in runs("replay", "bad", "--at", str(last - 1), "--diff", str(last)).out
    assert runs("replay", "bad", "--at", "99").code == 2


def test_two_runs_are_compared(runs: Cli, tmp_path: Path) -> None:
    assert runs("run", tmp_path / "flow.yaml", "--quiet", "--run-id", "same").code == 0
    same = runs("diff", "good", "same")
    assert (same.code, "no difference" in same.out, "main.a took" in same.out) == (0, True, True)
    differs = runs("diff", "good", "bad", "--output", "json")
    assert (differs.code, differs.json["durations"][0]["path"]) == (1, "main.a")
    assert any(line.startswith("+") for line in differs.json["documents"])
    found = differs.json["changes"]
    fields = {(change["path"], change["field"]) for change in found}
    assert {("", "digest"), ("", "phase"), ("main.b", "phase"), ("main.a", "outputs.n")} <= fields


@pytest.mark.rule("RT-56")
def test_a_run_survives_its_way_through_a_file(runs: Cli, tmp_path: Path) -> None:
    assert runs("export", "bad", "--to", "run.jsonl").code == 0
    there = ("--store", "sqlite:there.db")
    assert runs("import", "run.jsonl", *there).code == 0
    for look in (("show", "bad"), ("show", "bad", "--output", "json"), ("logs", "bad"), ("events", "bad")):
        assert runs(*look, *there).out == runs(*look).out
    assert runs("export", "bad", *there).out == (tmp_path / "run.jsonl").read_text()
    twice = runs("import", "run.jsonl", *there)
    assert twice.code == 2
    assert "exists already" in twice.err


@pytest.mark.rule("RT-56")
@pytest.mark.parametrize("damage", ["cut", "changed", "newer", "other", "empty"])
def test_files_that_are_no_whole_run_are_refused(runs: Cli, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "run.jsonl"
    assert runs("export", "bad", "--to", file).code == 0
    text = file.read_text()
    file.write_text({
        "cut": "".join(text.splitlines(keepends=True)[:-1]),
        "changed": text.replace("exit code 3", "exit code 4"),
        "newer": text.replace('"version":2', '"version":3', 1),
        "other": "{}\n",
        "empty": "",
    }[damage])
    said = runs("import", file, "--store", "sqlite:there.db")
    assert said.code == 2
    assert not (tmp_path / "there.db").exists()


@pytest.mark.rule("RT-57")
def test_runs_are_deleted_all_or_none(runs: Cli) -> None:
    assert runs("rm", "good", "nobody").code == 2
    assert ids(runs("ls", "--output", "json")) == ["bad", "good"]
    assert runs("rm", "good").code == 0
    assert ids(runs("ls", "--output", "json")) == ["bad"]


@pytest.mark.rule("RT-57")
def test_unfinished_runs_are_deleted_by_force_only(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", workflow(tmp_path, task("ok", "await")), "--quiet", "--run-id", "r1").code == 7
    assert cli("rm", "r1").code == 2
    assert cli("prune", "--older-than", "1ms").err == "deleted 0 runs\n"
    assert cli("rm", "r1", "--force").code == 0
    assert ids(cli("ls", "--output", "json")) == []


@pytest.mark.rule("RT-57")
def test_old_runs_are_pruned(runs: Cli) -> None:
    assert runs("prune", "--older-than", "1h").err == "deleted 0 runs\n"
    assert runs("prune", "--older-than", "1ms", "--phase", "Failed", "--dry-run").out == "bad\n"
    assert runs("prune", "--older-than", "1ms").err == "deleted 2 runs\n"
    assert runs("prune", "--older-than", "soon").code == 2


def test_a_retry_begins_where_it_is_told(runs: Cli) -> None:
    assert runs("retry", "good", "--quiet").code == 2
    said = runs("retry", "good", "--from", "a", "--quiet", "--output", "json")
    assert (said.code, said.json["runId"], said.json["phase"]) == (0, "good.2", "Succeeded")
    assert runs("retry", "good.2", "--from", "nobody", "--quiet").code == 2


@pytest.mark.rule("RT-50")
def test_the_tier_snapshot_keeps_no_past(cli: Cli, tmp_path: Path) -> None:
    store = ("--store", "sqlite:s.db?tier=snapshot")
    assert cli("run", workflow(tmp_path, task("a", "noop")), "--quiet", "--run-id", "r1", *store).code == 0
    assert cli("show", "r1", "--output", "json", *store).json["phase"] == "Succeeded"
    for look in (("events", "r1"), ("replay", "r1", "--at", "1")):
        said = cli(*look, *store)
        assert said.code == 2
        assert "not kept" in said.err
    assert cli("export", "r1", "--to", "r1.jsonl", *store).code == 0
    assert cli("import", "r1.jsonl", "--store", "sqlite:t.db").code == 0
    assert cli("show", "r1", "--output", "json", "--store", "sqlite:t.db").json["phase"] == "Succeeded"


def test_the_store_tells_about_itself(runs: Cli) -> None:
    assert runs("db", "check").err == "all is well\n"
    info = runs("db", "info", "--output", "json").json
    assert (info["runs"], info["openRuns"]) == (2, 0)
    assert "runs:        2" in runs("db", "info").out
    assert runs("db", "migrate").code == 0
    assert runs("db", "vacuum").code == 0


def test_a_damaged_store_is_found_out(runs: Cli, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / ".aether" / "aether.db")
    with connection:
        connection.execute("DELETE FROM steps")
    connection.close()
    said = runs("db", "check")
    assert said.code == 9
    assert "'bad'" in said.out


@pytest.mark.parametrize("obstacle", ["file", "foreign", "garbage"])
def test_a_store_that_cannot_be_used_is_told_before_anything_runs(cli: Cli, tmp_path: Path, obstacle: str) -> None:
    place = tmp_path / ".aether"
    if obstacle == "file":
        place.write_text("")
    else:
        place.mkdir()
        (place / "aether.db").write_bytes(b"no database at all" * 100)
        if obstacle == "foreign":
            (place / "aether.db").unlink()
            connection = sqlite3.connect(place / "aether.db")
            connection.execute("CREATE TABLE theirs (x)")
            connection.close()
    path = workflow(tmp_path, task("a", "script", "{runtime: sh, workingDir: document, source: touch started}"))
    said = cli("run", path)
    assert (said.code, said.out) == (9, "")
    assert "--store memory" in said.err
    assert not (tmp_path / "started").exists()
    assert cli("run", path, "--quiet", "--store", "memory").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--again", "failed"), "--again needs --run-id"),
        (("--lock", "x", "--store", "memory"), "--lock needs a store"),
        (("--run-id", "a b"), "not a run id"),
        (("--store", "sqllite:x"), "unknown store"),
        (("--lock-mode", "perhaps"), "perhaps"),
    ],
)
def test_wrong_usage(cli: Cli, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    said = cli("run", workflow(tmp_path, task("a", "noop")), *options)
    assert said.code == 2
    assert words in said.err


def test_an_answer_needs_its_task(runs: Cli) -> None:
    assert runs("resume", "bad", "-p", "approved=true").code == 2
    assert runs("resume", "bad", "b", "--payload", "[1]").code == 2


def test_memory_keeps_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", workflow(tmp_path, task("a", "noop")), "--store", "memory", "--run-id", "x", "--quiet").code == 0
    assert not (tmp_path / ".aether").exists()
