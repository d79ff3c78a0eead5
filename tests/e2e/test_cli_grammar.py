"""What every command prints: its forms, the file of `--to`, and what `-q` leaves out. The store has something of each kind."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.furnished import READS, WRITES, furnished_folder
from tests.e2e.process import aether, start
from tests.e2e.store_cli import Cli, make_cli

CODES = {"retry bad": 1, "wait bad": 1}
PICTURES = {
    "graph good.yaml": ("text", "ascii", "svg", "html", "mermaid", "dot"),
    "cron export nightly -o crontab": (),
    "export good": ("jsonl",),
    "report good --log-lines 5": ("html",),
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    shutil.copytree(furnished_folder(), tmp_path, dirs_exist_ok=True)
    return make_cli(tmp_path, monkeypatch, capsys)


def parsed(text: str, kind: str) -> Any:
    return json.loads(text) if kind == "one" else [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("line", "kind"), READS.items())
def test_what_is_read_is_printed_in_each_form_and_into_a_file(cli: Cli, line: str, kind: str, tmp_path: Path) -> None:
    words = line.split()
    code = 1 if words[0] == "diff" else 0  # these two differ
    form = "events" if "backfill" in words else "json"
    data = cli(*words, "--json")
    assert (data.code, data.err) == (code, data.err if words[0] == "test" else "")
    parsed(data.out, kind)
    assert "\x1b" not in data.out
    for same in (["-o", form], [f"--output={form.upper()}"], ["--format", form]):
        assert parsed(cli(*words, *same).out, kind) is not None
    assert cli(*words, "--json", "--to", "made.json").out == ""
    parsed(Path("made.json").read_text("utf-8"), kind)
    if words[0] == "schema":
        return
    text = cli(*words, "-o", "text", "-q")
    assert (text.code, text.err) == (code, "")
    assert cli(*words, "--format", "table", "-q", "--to", "made.txt").out == ""
    assert Path("made.txt").read_text("utf-8") or not text.out
    assert sorted(one for one in os.listdir() if one.startswith(".made")) == []


@pytest.mark.parametrize(("line", "kind"), WRITES.items())
@pytest.mark.parametrize("to", [None, "made.json"])
def test_what_is_done_is_printed_as_json(cli: Cli, line: str, kind: str, to: str | None) -> None:
    done = cli(*line.split(), "--json", *(("--to", to) if to else ()))
    assert done.code == CODES.get(line, 0), done.err
    text = done.out if to is None else Path(to).read_text("utf-8")
    assert to is None or done.out == ""
    parsed(text, kind)


@pytest.mark.parametrize("line", WRITES)
def test_quiet_leaves_standard_error_empty(cli: Cli, line: str) -> None:
    done = cli(*line.split(), "-q")
    assert (done.code, done.err) == (CODES.get(line, 0), "")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "line", ["run waits.yaml --run-id again", "run bad.yaml", "cron tick", "cron next nightly", "ls --name x"]
)
def test_quiet_may_stand_before_the_command(cli: Cli, line: str, before: bool) -> None:
    assert cli("cron", "suspend", "nightly").code == 0
    words = line.split()
    assert cli(*(["-q", *words] if before else [*words, "-q"])).err == ""
    assert (cli(*words).err == "") == (line == "cron tick")


@pytest.mark.parametrize(("line", "forms"), PICTURES.items())
def test_what_has_other_forms_goes_into_a_file_as_well(cli: Cli, line: str, forms: tuple[str, ...]) -> None:
    for form in forms or ("",):
        words = [*line.split(), *(("-o", form) if form else ())]
        said = cli(*words)
        assert (said.code, bool(said.out)) == (0, True)
        if "crontab" not in words:
            assert cli(*words, "--to", "made").out == ""
            assert Path("made").read_text("utf-8") == said.out


def test_a_run_writes_its_report_into_the_file_whatever_became_of_it(cli: Cli) -> None:
    for document, code in (("good.yaml", 0), ("bad.yaml", 1), ("waits.yaml", 7)):
        done = cli("run", document, "--json", "--to", "report.json")
        assert (done.code, done.out) == (code, "")
        assert json.loads(Path("report.json").read_text("utf-8"))["phase"] in ("Succeeded", "Failed", "Suspended")
    before = Path("report.json").read_bytes()
    assert cli("run", "nothing.yaml", "--json", "--to", "report.json").code == 2
    assert Path("report.json").read_bytes() == before
    assert cli("run", "good.yaml", "--to", "no/such/folder").code == 9


def test_events_are_in_the_file_as_they_come(tmp_path: Path) -> None:
    shutil.copytree(furnished_folder(), tmp_path, dirs_exist_ok=True)
    flow = workflow(tmp_path, task("a", "script", "{source: 'cat pipe', workingDir: document}"), name="slow.yaml")
    os.mkfifo(tmp_path / "pipe")
    running = start("run", flow.name, "-o", "events", "--to", "events.jsonl", cwd=tmp_path)
    events = tmp_path / "events.jsonl"
    with (tmp_path / "pipe").open("w"):  # opened once the task reads it
        while '"TaskRunning"' not in events.read_text("utf-8"):
            assert running.poll() is None
            time.sleep(0.02)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, ""), err
    assert json.loads(events.read_text("utf-8").splitlines()[-1])["phase"] == "Succeeded"


@pytest.mark.parametrize(("line", "code"), [("run {flow} --json", 0), ("run {flow} -o events", 0), ("show r --json", 9)])
def test_a_full_disk_at_the_file_breaks_no_run(tmp_path: Path, line: str, code: int) -> None:
    flow = workflow(tmp_path, task("a", "noop"))
    assert aether("run", flow, "--run-id", "r", cwd=tmp_path).returncode == 0
    done = aether(*line.format(flow=flow).split(), "--to", "/dev/full", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    label = "error" if code else "warning"
    assert f"{label}: cannot write '/dev/full': No space left on device" in done.stderr


def test_what_is_interrupted_leaves_no_half_file(tmp_path: Path) -> None:
    flow = workflow(tmp_path, task("a", "script", "{source: 'echo began; trap : TERM INT; while :; do sleep 1; done'}"))
    running = start("run", flow, "--json", "--to", "report.json", cwd=tmp_path)
    assert running.stderr is not None
    for line in running.stderr:
        if "began" in line:
            break
    for _ in range(3):
        running.terminate()
    running.communicate(timeout=60)
    assert running.returncode == 130
    left = [one for one in tmp_path.iterdir() if "report" in one.name]
    assert [json.loads(one.read_text("utf-8"))["phase"] for one in left] in ([], ["Cancelled"])
