"""A folder with documents of each kind and a store with something of each kind, and lines of the command line for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.e2e.documents import task, workflow
from tests.e2e.process import HOME, aether
from tests.e2e.schedules import cron_file

TEMPLATE = """\
apiVersion: aether/v1
kind: WorkflowTemplate
metadata: {name: words}
spec:
  templates:
    - task: {name: word, executor: {type: noop, config: {}}}
"""
CASE = """\
case: it ends
documentFile: good.yaml
executors: [{match: {task: a}, attempts: [{code: 0}]}]
expect: {phase: Succeeded}
"""

# A line -> what its JSON is: an object or a list ("one"), or a line for each ("lines"). Each line has a text form as well.
READS = {
    "validate good.yaml": "one",
    "test cases.yaml": "one",
    "explain AE101": "one",
    "explain": "one",
    "executors": "one",
    "template ls": "one",
    "template show words": "one",
    "config show": "one",
    "config path": "one",
    "config validate": "one",
    "schema": "one",
    "ls": "one",
    "workflow list": "one",
    "show bad": "one",
    "show bad a": "one",
    "show bad --timeline": "one",
    "stats": "one",
    "stats bad": "one",
    "status bad": "one",
    "logs writes": "lines",
    "events good": "lines",
    "replay bad --at 1": "one",
    "replay bad --at 1 --diff 2": "one",
    "diff good bad": "one",
    "wait good": "one",
    "watch good": "one",
    "run good.yaml --dry-run": "one",
    "cron ls": "one",
    "cron show nightly": "one",
    "cron next nightly": "one",
    "cron next nightly.yaml": "one",
    "cron history nightly": "one",
    "cron backfill nightly --from 2026-01-01 --until 2026-01-02 --dry-run": "lines",
    "db info": "one",
    "db check": "one",
    "prune --older-than 1d --dry-run": "one",
}
WRITES = {
    "run good.yaml": "one",
    "retry bad": "one",
    "cancel waits": "one",
    "resume waits a -p approved=true": "one",
    "template apply words.yaml": "one",
    "template rm words": "one",
    "cron apply nightly.yaml": "one",
    "cron suspend nightly": "one",
    "cron resume nightly": "one",
    "cron rm nightly": "one",
    "cron tick": "lines",
    "cron trigger nightly": "one",
    "cron backfill nightly --from 2026-01-01 --until 2026-01-02": "lines",
    "rm good": "one",
    "prune --older-than 1ms": "one",
    "import good.jsonl --store sqlite:other.db": "one",
    "db migrate": "one",
    "db vacuum": "one",
}


@cache
def furnished_folder() -> Path:
    """Made once a process, below what is removed at its end. Copy it before a command writes to it."""
    folder = Path(mkdtemp(dir=HOME))

    def call(code: int, *arguments: str | Path) -> None:
        done = aether(*arguments, cwd=folder, AETHER_STORE="sqlite:.aether/aether.db")
        assert done.returncode == code, done.stderr

    for name, code, body in (
        ("good", 0, task("a", "noop")),
        ("bad", 1, task("a", "fail")),
        ("waits", 7, task("a", "await")),
        ("writes", 0, task("a", "script", "{source: 'echo hello'}")),
    ):
        call(code, "run", workflow(folder, body, name=f"{name}.yaml"), "-q", "--run-id", name)
    (folder / "words.yaml").write_text(TEMPLATE, "utf-8")
    (folder / "cases.yaml").write_text(CASE, "utf-8")
    cron_file(folder, "nightly", schedule="0 3 * * *")
    call(0, "template", "apply", "words.yaml")
    call(0, "cron", "apply", "nightly.yaml")
    call(0, "export", "good", "--to", "good.jsonl")
    return folder
