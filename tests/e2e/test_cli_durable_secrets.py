"""DATA-12 on disk and in every command: a secret that went through a run is neither in files nor in what is printed."""

from __future__ import annotations

import base64
import json
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import AETHER, environment, read_until
from tests.e2e.store_cli import Cli, Said, make_cli

pytestmark = pytest.mark.rule("DATA-12")

SECRET = 'hunter2 "Geheim€nis" 日本'
PIN = "48151623"
FORMS = {SECRET, json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1], "hunter2", "Geheim", "日本", PIN,
         base64.b64encode(SECRET.encode()).decode()[:24]}

# Tells its secrets in every way: streams, in pieces, outputs, keys, messages; then waits, and fails once.
TELL = """
import base64, json, os, sys, time
p, q = os.environ["AETHER_INPUT_P"], os.environ["AETHER_INPUT_Q"]
print("plain", p, flush=True)
for part in (p[:5], p[5:9], p[9:]):
    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.05)
print()
print(json.dumps({p: [p]}), base64.b64encode(p.encode()).decode())
print("error", p, q, file=sys.stderr)
json.dump({"text": "got " + p, "deep": [{p: p}], "pin": int(os.environ["AETHER_INPUT_PIN"])},
          open(os.environ["AETHER_OUTPUTS"], "w"))
if os.environ.get("WAIT"):
    print("waiting", flush=True)
    time.sleep(60)
sys.exit(p if os.environ.get("FAIL") else 0)
"""

DOCUMENT = f"""
apiVersion: aether/v1
kind: Workflow
metadata: {{name: leaky}}
spec:
  entrypoint: main
  arguments:
    parameters:
      - {{name: pw, valueFrom: {{secretKeyRef: {{name: db, key: password}}}}}}
      - {{name: pin, valueFrom: {{secretKeyRef: {{name: db, key: pin}}}}}}
  hooks: {{onExit: {{template: bye}}}}
  templates:
    - dag:
        name: main
        tasks:
          - name: one
            template: tell
          - name: ask
            dependencies: [one]
            inputs: {{parameters: [{{name: p, value: "<{{{{workflow.parameters.pw}}}}>"}}]}}
            executor: {{type: await, config: {{message: "may {{{{inputs.parameters.p}}}} go on?"}}}}
          - {{name: two, template: tell, dependencies: [ask]}}
        outputs: {{parameters: [{{name: text, valueFrom: {{parameter: tasks.one.outputs.parameters.text}}}}]}}
    - task:
        name: tell
        inputs:
          parameters:
            - {{name: p, value: "{{{{workflow.parameters.pw}}}}"}}
            - {{name: q, value: "url://u:{{{{workflow.parameters.pw}}}}@h"}}
            - {{name: pin, value: "{{{{workflow.parameters.pin}}}}"}}
        executor: {{type: script, config: {{runtime: python3, source: {json.dumps(TELL)}}}}}
        outputs: {{parameters: [{{name: text}}, {{name: deep}}, {{name: pin}}]}}
    - task:
        name: bye
        executor: {{type: script, config: {{runtime: sh, source: "cat <<'END'\\n{{{{workflow.parameters.pw}}}}\\nEND"}}}}
"""


class Folder:
    """A working directory, and all that was ever printed there."""

    def __init__(self, path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.cli = cli
        self.monkeypatch = monkeypatch
        (path / "leaky.yaml").write_text(DOCUMENT, "utf-8")
        self.secrets = path.parent / "secrets.json"
        self.tell()

    def tell(self) -> None:
        self.secrets.write_text(json.dumps({"db": {"password": SECRET, "pin": PIN}}), "utf-8")

    def call(self, *arguments: str, **env: str) -> Said:
        if arguments[0] in ("run", "resume", "retry", "cancel"):
            arguments = (*arguments, "--secrets-file", str(self.secrets))
        with self.monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            said = self.cli(*arguments)
        self.clean(f"{arguments}", said.out + said.err)
        return said

    def clean(self, where: str, text: str) -> None:
        found = [form for form in FORMS if form in text]
        assert not found, f"{found} in {where}"

    def files_are_clean(self) -> None:
        for file in self.files():
            data = file.read_bytes()
            found = [form for form in FORMS for coding in ("utf-8", "utf-16-le") if form.encode(coding) in data]
            assert not found, f"{found} in {file.name}"

    def files(self) -> Iterator[Path]:
        used = self.being_used()
        yield from (file for file in (self.path / ".aether").rglob("*") if file.is_file() and file not in used)

    def being_used(self) -> list[Path]:
        """Files of running attempts, which only their owner may read."""
        live = [one for one in (self.path / ".aether" / "workspaces").glob(".live/*") if one.is_dir()]
        assert all(stat.S_IMODE(one.stat().st_mode) == 0o700 for one in live)
        return [file for one in live for file in one.rglob("*") if file.is_file()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Folder:
    work = tmp_path / "work"
    work.mkdir()
    return Folder(work, make_cli(work, monkeypatch, capsys), monkeypatch)


def look_everywhere(folder: Folder, run: str) -> None:
    """Every command that shows something of a run."""
    for command in ("show", "wait --timeout 100ms", "logs", "events", "export", "replay"):
        words = command.split()
        folder.call(words[0], run, *words[1:])
    for command in ("show", "logs", "replay", "wait --timeout 100ms"):
        words = command.split()
        folder.call(words[0], run, *words[1:], "--output", "json")
    folder.call("ls")
    folder.call("ls", "--output", "json")
    last = json.loads(folder.call("ls", "--output", "json").out)["runs"][0]["steps"]
    for seq in range(last):
        folder.call("replay", run, "--at", str(seq), "--output", "json")
    folder.call("replay", run, "--at", "0", "--diff", str(last))
    folder.call("db", "check")
    folder.files_are_clean()


@pytest.mark.rule("RT-59")
def test_a_run_that_is_answered_fails_and_is_retried(folder: Folder) -> None:
    assert folder.call("run", "leaky.yaml", "--run-id", "r1").code == 7
    look_everywhere(folder, "r1")
    assert folder.call("resume", "r1", "ask", "-p", f"note={SECRET}", "-p", f"n={PIN}", FAIL="1").code == 1
    look_everywhere(folder, "r1")
    assert folder.call("retry", "r1").code == 0
    for output in ("text", "json"):
        folder.call("diff", "r1", "r1.2", "--output", output)
        folder.call("retry", "r1", "--dry-run", "--output", output)
        folder.call("run", "leaky.yaml", "--run-id", "r1", "-p", f"pw={SECRET}", "--output", output)
    folder.call("run", "leaky.yaml", "--run-id", "r1", "--output", "events")
    folder.call("run", "leaky.yaml", "--dry-run", "--output", "json")
    folder.call("export", "r1.2", "--to", "out.jsonl")
    folder.clean("the exported file", (folder.path / "out.jsonl").read_text("ascii"))
    assert folder.call("import", "out.jsonl", "--store", "sqlite:.aether/there.db").code == 0
    folder.files_are_clean()


def test_a_process_that_is_killed_leaves_nothing_in_its_files(folder: Folder) -> None:
    process = subprocess.Popen(
        [*AETHER, "run", "leaky.yaml", "--run-id", "r1", "--secrets-file", str(folder.secrets), "--resume", "ask=yes"],
        cwd=folder.path, env=environment(AETHER_STORE="sqlite:.aether/aether.db", WAIT="1"), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert process.stderr is not None
    folder.clean("the view", read_until(process.stderr, "| waiting"))
    folder.files_are_clean()
    assert folder.being_used(), "a program gets its inputs in a file"
    process.send_signal(signal.SIGKILL)
    folder.clean("the view", "".join(process.communicate(timeout=60)))
    until = time.monotonic() + 20
    while folder.being_used() and time.monotonic() < until:  # the guard needs a moment
        time.sleep(0.02)
    assert folder.being_used() == []
    assert any(file.name.endswith("-wal") and file.stat().st_size for file in folder.files())
    look_everywhere(folder, "r1")
    assert folder.call("run", "leaky.yaml", "--run-id", "r1", "--resume", "ask=yes").code == 0
    look_everywhere(folder, "r1")


@pytest.mark.rule("RT-52")
def test_a_secret_that_cannot_be_read_any_more(folder: Folder) -> None:
    assert folder.call("run", "leaky.yaml", "--run-id", "r1").code == 7
    folder.secrets.write_text("{}", "utf-8")
    done = folder.call("resume", "r1", "ask", "-p", "approved=true")
    assert done.code == 4
    assert "secret 'db'" in done.out
    folder.tell()
    assert folder.call("retry", "r1", "--resume", "ask=yes").code == 0, "secrets are read anew"
